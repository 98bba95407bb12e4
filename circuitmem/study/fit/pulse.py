"""Fit of a device that counts pulses to its measured curves."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import PulseUpdateSpec
from circuitmem.device import pulse_curves
from circuitmem.errors import DataFileError
from circuitmem.study.fit.chip import around
from circuitmem.study.fit.curves import read_pulses
from circuitmem.study.fit.estimate import estimate
from circuitmem.study.fit.model import Curve, Fit
from circuitmem.study.fit.problem import Parameter
from circuitmem.study.fit.table import Reading

__all__ = ["fit_pulses"]

Floats = NDArray[np.float64]

MOST_PULSES = 10_000
BEYOND = 0.05
"""An end of the range is extrapolated where it lies further than this beyond the data, relative to their span."""


def fit_pulses(
    path: str | os.PathLike[str], *, seed: int = 0, confidence: float = 0.95, reading: Reading | None = None
) -> Fit:
    """Fit :class:`~circuitmem.config.PulseUpdateSpec` to a CSV file.

    Its columns are those of :func:`.curves.read_pulses`. Ramps up begin at the minimum, ramps down at the maximum. The
    highest pulse of each direction is taken for ``states`` and ``states_down``. If only one direction was measured, the
    other is unknown.

    Parameters
    ----------
    path : path
        The file.
    seed, confidence, reading
        As in :func:`~circuitmem.study.fit.fit.fit_device`.

    Raises
    ------
    DataFileError
        If the file is not such a table.
    """
    read = read_pulses(path, reading)
    count, up, measured = read.count, read.up, read.conductance
    seen = {name: len(np.unique(count[some])) for name, some in (("up", up), ("down", ~up))}
    for name, different in seen.items():
        if 0 < different < 3 or not any(seen.values()):
            raise DataFileError(path, f"must have at least three different pulses {name} (got {different})")
    most = {name: int(count[some].max()) for name, some in (("up", up), ("down", ~up)) if seen[name]}
    if np.ptp(measured) == 0.0:
        raise DataFileError(path, f"conductance must change with the pulses; all are {float(measured[0]):g} S")
    if max(most.values()) > MOST_PULSES:
        raise DataFileError(path, f"must have at most {MOST_PULSES} pulses of one direction (got {max(most.values())})")
    pulses: dict[str, Any] = {"states": most.get("up", most.get("down"))}
    if len(most) == 2 and most["down"] != most["up"]:
        pulses["states_down"] = most["down"]
    down = pulses.get("states_down", pulses["states"])
    lowest, largest = float(measured.min()), float(measured.max())

    def curve(values: dict[str, Any]) -> Floats:
        spec = PulseUpdateSpec(**(pulses | values))
        found = np.empty(len(count))
        # Down, the curve is counted from its bottom.
        found[up], found[~up] = pulse_curves(spec, count[up], down - count[~up])
        return found

    ways = {
        "up": Parameter("potentiation", -7.0, 9.0, "linear"),
        "down": Parameter("depression", -7.0, 9.0, "linear", sign=-1),
    }
    parameters = [
        Parameter("minimum_conductance", 1e-3 * lowest, largest, unit="S"),
        Parameter("maximum_conductance", lowest, 10.0 * largest, unit="S"),
        *(ways[name] for name in most),
    ]
    first = {"minimum_conductance": lowest, "maximum_conductance": largest}
    bends = ((0.5, 0.5), (0.5, 4.0), (4.0, 0.5), (4.0, 4.0), (-3.0, 0.5), (0.5, -3.0), (-3.0, -3.0))
    found = estimate(
        parameters,
        lambda values, _: (curve(values) - measured) / largest,
        len(measured),
        seed=seed,
        confidence=confidence,
        random_points=40,
        searches=4,
        guesses=tuple(first | {"potentiation": a, "depression": -b} for a, b in bends),
    )
    spec = PulseUpdateSpec(**{**pulses, "cycle_noise": 0.0, **found.values})
    spec = spec.model_copy(update={"cycle_noise": _cycle_noise(spec, count, up, measured)})
    notes = _beyond(spec, lowest, largest)
    for name, parameter in (("up", "potentiation"), ("down", "depression")):
        if name not in most:
            notes.append(
                f"no pulses {name} were measured: {parameter} is unknown and left out, and a chip takes "
                f"{getattr(spec, parameter):g} until it is set"
            )
    return Fit(
        model="pulse",
        spec=spec,
        table="chip.device",
        parameters=parameters,
        estimate=found,
        derived={**{name: float(number) for name, number in pulses.items()}, "cycle_noise": spec.cycle_noise},
        curve=Curve("pulses, up and down", count, "conductance [S]", measured, curve(found.values), up),
        scale=largest,
        assumed=read.assumed,
        notes=notes,
        around=around(spec),
    )


def _beyond(spec: PulseUpdateSpec, lowest: float, largest: float) -> list[str]:
    """Return a note for each end of the range that lies beyond what was measured."""
    span, notes = largest - lowest, []
    for name, end, measured, side in (
        ("minimum_conductance", spec.minimum_conductance, lowest, lowest - spec.minimum_conductance),
        ("maximum_conductance", spec.maximum_conductance, largest, spec.maximum_conductance - largest),
    ):
        if side > BEYOND * span:
            notes.append(
                f"{name} ({end:.4g} S) is extrapolated: {100.0 * side / span:.0f} % of the measured span beyond the "
                f"last measured value ({measured:.4g} S)"
            )
    return notes


def _cycle_noise(spec: PulseUpdateSpec, count: Floats, up: NDArray[np.bool_], measured: Floats) -> float:
    """Return the spread of the steps about the law, from each measured value to the next, relative to the range.

    Errors of readings are included, twice: the result is an upper limit.
    """
    span = spec.maximum_conductance - spec.minimum_conductance
    dense = [np.linspace(0.0, most, 20 * most + 1) for most in (spec.states, spec.pulses_down)]
    curves = pulse_curves(spec, *dense)
    off = []
    for k in range(1, len(count)):
        pulses = count[k] - count[k - 1]
        if up[k] != up[k - 1] or pulses < 1:
            continue
        law, places = (curves[0], dense[0]) if up[k] else (curves[1], dense[1])
        place = np.interp(measured[k - 1], law, places) + (pulses if up[k] else -pulses)
        expected = np.interp(np.clip(place, 0.0, places[-1]), places, law)
        off.append((measured[k] - expected) / (span * np.sqrt(pulses)))
    return float(min(np.std(off), 1.0)) if off else 0.0
