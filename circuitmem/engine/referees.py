"""The referees, by name: the circuit simulators that can check the results of the kernels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from circuitmem.engine.spice import SpiceEngine
from circuitmem.engine.vacask import VacaskEngine
from circuitmem.errors import SpiceUnavailableError, ValidationError
from circuitmem.validation import did_you_mean

__all__ = ["REFEREES", "Referee", "RefereeName", "referee_names", "simulator_versions", "simulators"]

Referee: TypeAlias = SpiceEngine | VacaskEngine
RefereeName = Literal["ngspice", "vacask"]

REFEREES: dict[RefereeName, type[Referee]] = {"ngspice": SpiceEngine, "vacask": VacaskEngine}
"""The engine of each referee; they share no code below the wiring of a tile."""


def referee_names(choice: str) -> tuple[RefereeName, ...]:
    """Return the referees for ``ngspice``, ``vacask`` or ``all``, ngspice first.

    Raises
    ------
    ValidationError
        If it is none of these.
    """
    for name in REFEREES:
        if choice == name:
            return (name,)
    if choice == "all":
        return tuple(REFEREES)
    names = (*REFEREES, "all")
    raise ValidationError("referee", f"must be one of {', '.join(names)}{did_you_mean(choice, names)}", choice)


def simulators(names: Iterable[RefereeName]) -> str:
    """Return the names of the simulators as they appear in a sentence."""
    return " and ".join(REFEREES[name].simulator for name in names)


def simulator_versions(names: Iterable[RefereeName] = ("ngspice",)) -> dict[str, str | None]:
    """Return the version of each simulator, None where it is not installed or does not start."""
    versions: dict[str, str | None] = {}
    for name in names:
        try:
            versions[name] = REFEREES[name].probe().version
        except SpiceUnavailableError:
            versions[name] = None
    return versions
