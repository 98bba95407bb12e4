"""Fit of a device that counts pulses to its measured curves."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import PulseUpdateSpec
from circuitmem.device import pulse_curves
from circuitmem.errors import DataFileError
from circuitmem.study.fit.curves import read_pulses
from circuitmem.study.fit.estimate import Parameter, estimate
from circuitmem.study.fit.model import Curve, Fit
from circuitmem.study.fit.table import Reading

__all__ = ["fit_pulses"]

Floats = NDArray[np.float64]


def fit_pulses(
    path: str | os.PathLike[str], *, seed: int = 0, confidence: float = 0.95, reading: Reading | None = None
) -> Fit:
    """Fit :class:`~circuitmem.config.PulseUpdateSpec` to a CSV file.

    Columns: ``pulse``, how many pulses of this polarity the device has had, from 0; ``conductance_s``; ``polarity``, up
    or down. The ways up begin at the minimum, those down at the maximum. The highest pulse is taken for ``states``.

    Parameters
    ----------
    path : path
        The file.
    seed : int
        Seed of the starts.
    confidence : float
        Of the intervals.
    reading : Reading, optional
        How to read the file.

    Raises
    ------
    DataFileError
        If the file is not such a table.
    """
    read = read_pulses(path, reading)
    count, up, measured = read.count, read.up, read.conductance
    for name, some in (("up", up), ("down", ~up)):
        if len(np.unique(count[some])) < 3:
            raise DataFileError(path, f"column polarity: must have at least three different pulses {name}")
    states = int(count.max())
    largest = float(measured.max())

    def curve(values: dict[str, Any]) -> Floats:
        spec = PulseUpdateSpec(**({"states": states} | values))
        # Down, the curve is counted from its bottom.
        return np.where(up, *pulse_curves(spec, np.where(up, count, states - count)))

    parameters = [
        Parameter("minimum_conductance", 1e-3 * float(measured.min()), largest, unit="S"),
        Parameter("maximum_conductance", float(measured.min()), 10.0 * largest, unit="S"),
        Parameter("potentiation", 0.0, 9.0, "linear"),
        Parameter("depression", 0.0, 9.0, "linear", sign=-1),
    ]
    first = {"minimum_conductance": float(measured.min()), "maximum_conductance": largest}
    guesses = tuple(first | {"potentiation": a, "depression": -b} for a in (0.5, 4.0) for b in (0.5, 4.0))
    found = estimate(
        parameters,
        lambda values, _: (curve(values) - measured) / largest,
        len(measured),
        seed=seed,
        confidence=confidence,
        random_points=40,
        searches=4,
        guesses=guesses,
    )
    values: dict[str, Any] = {"states": states, "cycle_noise": 0.0, **found.values}
    spec = PulseUpdateSpec(**values)
    spec = spec.model_copy(update={"cycle_noise": _cycle_noise(spec, count, up, measured)})
    return Fit(
        model="pulse",
        spec=spec,
        table="chip.device",
        parameters=parameters,
        estimate=found,
        derived={"states": float(states), "cycle_noise": spec.cycle_noise},
        curve=Curve("pulses, up and down", count, "conductance [S]", measured, curve(found.values), up),
        scale=largest,
        assumed=read.assumed,
    )


def _cycle_noise(spec: PulseUpdateSpec, count: Floats, up: NDArray[np.bool_], measured: Floats) -> float:
    """Return the spread of the steps about the law, from each measured value to the next, relative to the range.

    The error of readings counts too, twice: it is an upper limit.
    """
    span = spec.maximum_conductance - spec.minimum_conductance
    dense = np.linspace(0.0, spec.states, 20 * spec.states + 1)
    rise, fall = pulse_curves(spec, dense)
    off = []
    for k in range(1, len(count)):
        pulses = count[k] - count[k - 1]
        if up[k] != up[k - 1] or pulses < 1:
            continue
        law = rise if up[k] else fall
        place = np.interp(measured[k - 1], law, dense) + (pulses if up[k] else -pulses)
        expected = np.interp(np.clip(place, 0.0, spec.states), dense, law)
        off.append((measured[k] - expected) / (span * np.sqrt(pulses)))
    return float(min(np.std(off), 1.0)) if off else 0.0
