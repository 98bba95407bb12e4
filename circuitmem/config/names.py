"""Names of things that the registry knows: what a declaration may say for each kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Annotated, Any

import pydantic

from circuitmem import registry
from circuitmem.config.base import Spec
from circuitmem.errors import ValidationError

__all__ = [
    "CalibrationName",
    "EngineName",
    "OptimiserName",
    "Options",
    "RuleName",
    "check_options",
    "declaration",
    "options_of",
]


def _known(kind: str, name: str) -> str:
    """Return the name if it is known or can be imported; pydantic adds the key to the error."""
    try:
        return registry.check(kind, name)
    except ValidationError as error:
        raise ValueError(error.rule) from None


CalibrationName = Annotated[str, pydantic.AfterValidator(partial(_known, "calibrations"))]
EngineName = Annotated[str, pydantic.AfterValidator(partial(_known, "engines"))]
OptimiserName = Annotated[str, pydantic.AfterValidator(partial(_known, "optimisers"))]
RuleName = Annotated[str, pydantic.AfterValidator(partial(_known, "rules"))]
Options = dict[str, dict[str, Any]]
"""Options of rules, optimisers and calibrations: a table for each name."""


def declaration(room: str, usual: str, value: Any) -> Any:
    """Return the specification of a declared table, of the class that its ``kind`` names.

    Parameters
    ----------
    room : str
        Where the registry looks for the kind: ``devices`` or ``mappings``.
    usual : str
        Kind of a table that declares none, as in files from before there were other kinds.
    value : object
        What was declared; anything but a table is returned as it is.

    Returns
    -------
    object
        The specification, an instance of the class's ``Spec``.

    Raises
    ------
    ValidationError
        If the kind is not a name or not known, or the table breaks a rule of its specification.
    """
    if not isinstance(value, dict):
        return value
    kind = value.get("kind", usual)
    if not isinstance(kind, str):
        raise ValidationError("kind", "must be a name", kind)
    return registry.find(room, kind, "kind").Spec(**{**value, "kind": kind})


def check_options(options: Options | None, chosen: Iterable[tuple[str, str]]) -> None:
    """Check options against the classes that take them.

    Parameters
    ----------
    options : mapping, optional
        The declared table of each name.
    chosen : iterable of (kind, name)
        What the run uses.

    Raises
    ------
    ValidationError
        If a table is for something that the run does not use, or breaks a rule of its class.
    """
    given, used = options or {}, {name: kind for kind, name in chosen}
    for name, table in given.items():
        if name not in used:
            raise ValidationError(f"options.{name}", f"must be of what is used: {', '.join(used)}", table)
    for name, kind in used.items():
        if name in given or not registry.is_built_in(kind, name):
            _options(registry.find(kind, name), name, given.get(name))


def options_of(kind: str, options: Options | None, owner: type) -> Spec | None:
    """Return the declared options of a class, or its defaults if none are declared; None if it takes none."""
    for name, table in (options or {}).items():
        if _is_named(kind, name, owner):
            return _options(owner, name, table)
    return _options(owner, owner.__name__, None)


def _is_named(kind: str, name: str, owner: type) -> bool:
    """Say whether the name stands for this class among things of a kind; other kinds may use it too."""
    try:
        return registry.find(kind, name) is owner
    except ValidationError:
        return False


def _options(owner: Any, name: str, table: Mapping[str, Any] | None) -> Spec | None:
    kind: type[Spec] | None = getattr(owner, "Options", None)
    if kind is None:
        if table is not None:
            raise ValidationError(f"options.{name}", "must be left out: it takes none", dict(table))
        return None
    try:
        return kind(**(table or {}))
    except ValidationError as error:
        raise error.within(f"options.{name}") from None
