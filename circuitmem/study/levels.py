"""Axes of a study: the levels of each, and the keys that these set."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from circuitmem.config import AxisSpec, set_key
from circuitmem.config.protocol import FactorLevel
from circuitmem.errors import ValidationError

__all__ = ["axis_levels", "changed", "declared_level", "level_kind", "overlap"]


def axis_levels(axis: AxisSpec) -> Iterator[tuple[FactorLevel, dict[str, Any]]]:
    """Yield every level of an axis, and the settings that it stands for."""
    if axis.key is None:
        yield from axis.levels.items()
        return
    for value in axis.values:
        level = value if isinstance(value, FactorLevel) else "-".join(str(item) for item in value)
        yield level, {axis.key: value}


def level_kind(level: FactorLevel) -> type:
    """Return what a level is: true or false, a word, or a number."""
    return bool if isinstance(level, bool) else str if isinstance(level, str) else float


def declared_level(key: str, axis: AxisSpec, level: FactorLevel) -> FactorLevel:
    """Return a level as its axis declares it, such as 1.0 for 1, but not for true.

    Parameters
    ----------
    key : str
        What gave the level, for the message.
    axis : AxisSpec
        The axis.
    level : str, int, float or bool
        The level.

    Returns
    -------
    str, int, float or bool
        The equal level of the axis.

    Raises
    ------
    ValidationError
        If the axis has no such level.
    """
    known = [own for own, _ in axis_levels(axis)]
    for own in known:
        if own == level and level_kind(own) is level_kind(level):
            return own
    raise ValidationError(key, f"must be one of {', '.join(map(str, known))}", level)


def changed(values: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of the tables with dotted keys set; a value that is a table replaces the whole old one."""
    new = deepcopy(values)
    for key, value in settings.items():
        set_key(new, key, deepcopy(value))
    return new


def overlap(late: str, early: str) -> bool:
    """Say whether a dotted key that is set late changes what an early one has set, or something within it.

    A ``kind`` that changes clears the table in which it stands.
    """
    late = late.removesuffix(".kind")
    return late == early or late.startswith(f"{early}.") or early.startswith(f"{late}.")
