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
    """Return a name that is known, or one that leads to what it names; pydantic says which key has it."""
    try:
        return registry.check(kind, name)
    except ValidationError as error:
        raise ValueError(error.rule) from None


CalibrationName = Annotated[str, pydantic.AfterValidator(partial(_known, "calibrations"))]
EngineName = Annotated[str, pydantic.AfterValidator(partial(_known, "engines"))]
OptimiserName = Annotated[str, pydantic.AfterValidator(partial(_known, "optimisers"))]
RuleName = Annotated[str, pydantic.AfterValidator(partial(_known, "rules"))]
Options = dict[str, dict[str, Any]]
"""Numbers of things of somebody else, by their names."""


def declaration(room: str, usual: str, value: Any) -> Any:
    """Return a declaration, a table with its ``kind``, as the specification that the class of its kind takes.

    Parameters
    ----------
    room : str
        Where the registry looks for the kind: ``devices`` or ``mappings``.
    usual : str
        The kind of a table that says none: files from before there were others.
    value : object
        What was given; all but a table is returned as it is.

    Returns
    -------
    object
        The specification, the class's ``Spec``.

    Raises
    ------
    ValidationError
        If the kind is no name or not known, or the table breaks a rule of its specification.
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
        For each name its table, as declared.
    chosen : iterable of (kind, name)
        What is declared to be used.

    Raises
    ------
    ValidationError
        If a table is not of something that is used, or breaks a rule of its class.
    """
    given, used = options or {}, {name: kind for kind, name in chosen}
    for name, table in given.items():
        if name not in used:
            raise ValidationError(f"options.{name}", f"must be of what is used: {', '.join(used)}", table)
    for name, kind in used.items():
        if name in given or not registry.is_built_in(kind, name):
            _options(registry.find(kind, name), name, given.get(name))


def options_of(kind: str, options: Options | None, owner: type) -> Spec | None:
    """Return the options of a class as declared, or its own where none are; None if it takes none."""
    for name, table in (options or {}).items():
        if _is_named(kind, name, owner):
            return _options(owner, name, table)
    return _options(owner, owner.__name__, None)


def _is_named(kind: str, name: str, owner: type) -> bool:
    """Say whether this is the name of a class among things of a kind; it may be one of another kind."""
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
