"""Measured steps as a device without a law: mean and spread of the step per pulse at each conductance."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import StepTableSpec
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.rng import Purpose, stream
from circuitmem.study.fit.chip import around
from circuitmem.study.fit.curves import PulseCurve, read_pulses
from circuitmem.study.fit.estimate import Estimate
from circuitmem.study.fit.model import Curve, Fit
from circuitmem.study.fit.problem import Parameter
from circuitmem.study.fit.table import Reading

__all__ = ["fit_steps"]

Floats = NDArray[np.float64]

PER_ROW = 12
"""Fewest steps for a row of the table; there are as many rows as that allows, up to :data:`MOST`."""
MOST = 24
LEAST = 6
"""Fewest steps of a direction."""
INNER = 0.1
"""Part of the range at each end whose steps do not count for the spread from device to device."""
NOTHING = 0.02
"""A mean step smaller than this part of the largest, at the end to which pulses lead, counts as none."""
RESAMPLES = 400


def fit_steps(
    path: str | os.PathLike[str], *, seed: int = 0, confidence: float = 0.95, reading: Reading | None = None
) -> Fit:
    """Fit :class:`~circuitmem.config.StepTableSpec` to ramps of pulses, several of one device or of several.

    The steps of each direction are put into groups of equal size by the conductance at which they begin. What reading
    noise adds to their spread is found from the covariance of a step with the next, which it lowers, and subtracted.

    Parameters
    ----------
    path : path
        The file: pulse, conductance, polarity and, for several devices, cell.
    seed, confidence, reading
        As in :func:`~circuitmem.study.fit.fit.fit_device`.

    Raises
    ------
    DataFileError
        If the file is not such a table, has too few steps of a direction, or pulses of a direction do nothing.
    """
    read = read_pulses(path, reading)
    notes: list[str] = []
    rng = stream(seed, Purpose.FIT, 2)
    tables: dict[str, Any] = {}
    values: dict[str, float] = {}
    intervals: dict[str, tuple[float, float] | None] = {}
    parameters: list[Parameter] = []
    points: list[Floats] = []
    factors: list[Floats] = []
    tail = 0.5 - 0.5 * confidence
    for name, is_up in (("steps_up", True), ("steps_down", False)):
        begin, step, device = _steps(read, is_up=is_up)
        way = "up" if is_up else "down"
        if len(step) < LEAST:
            rule = f"must have at least {LEAST} steps {way}, from one pulse to the next"
            raise DataFileError(path, f"{rule} (got {len(step)})")
        reading_variance = _reading_variance(read, is_up=is_up)
        order = np.argsort(begin, kind="stable")
        rows = np.array_split(order, min(MOST, max(2, len(order) // PER_ROW)))
        means = [float(step[own].mean()) for own in rows]
        kept = _moving(means, is_up=is_up)
        if len(kept) < 2 or min(means[k] for k in kept) <= 0.0:
            k = int(np.argmin(means))
            rule = f"pulses {way} about {begin[rows[k]].mean():.4g} S move it by {means[k]:.3g} S on average"
            raise DataFileError(path, f"{rule}: that is no step in their direction")
        if len(kept) < len(rows):
            end = float(begin[rows[kept[-1] if is_up else kept[0]]].mean())
            notes.append(f"pulses {way} do next to nothing beyond {end:.4g} S, where the range ends")
        table = []
        for own in (rows[k] for k in kept):
            place, mean = float(begin[own].mean()), float(step[own].mean())
            spread = float(np.sqrt(max(step[own].var(ddof=1) - 2.0 * reading_variance, 0.0)))
            table.append([place, mean, spread])
            label = f"step {way} at {place:.4g} S"
            drawn = step[own][rng.integers(0, len(own), (RESAMPLES, len(own)))].mean(axis=1)
            low, high = np.quantile(drawn, [tail, 1.0 - tail])
            parameters.append(Parameter(label, mean, mean, "linear", unit="S"))
            values[label], intervals[label] = mean, (float(low), float(high))
        used = np.concatenate([begin[rows[k]] for k in kept])
        tables[name] = _over_the_range(table, used)
        moved = np.concatenate([step[rows[k]] for k in kept])
        places, means, _ = np.array(tables[name]).T
        points.append(np.column_stack([used, moved, np.interp(used, places, means), np.full(len(used), is_up)]))
        factors.append(_of_devices(begin, step, device, table))
    low, high = (_rounded(end) for end in _range(tables))
    device_spread = _device_spread(factors, notes)
    cycle = "the spread from pulse to pulse is left over after reading noise, found from steps that follow each other"
    notes += [cycle, "amplitudes and widths of the pulses are not in the data, and are yours to add"]
    try:
        spec = StepTableSpec(
            minimum_conductance=low,
            maximum_conductance=high,
            device_spread=device_spread,
            steps_up=tuple(map(tuple, tables["steps_up"])),
            steps_down=tuple(map(tuple, tables["steps_down"])),
        )
    except ValidationError as error:
        raise DataFileError(path, f"makes no device: {error}") from None
    begin, measured, fitted, rising = np.concatenate(points).T
    scale = float(np.abs(measured).max())
    found: dict[str, Any] = {"minimum_conductance": low, "maximum_conductance": high, **tables}
    return Fit(
        model="steps",
        spec=spec,
        table="chip.device",
        parameters=parameters,
        estimate=Estimate(values, intervals, [], (measured - fitted) / scale, 0, 0),
        derived={"device_spread": device_spread, "minimum_conductance": low, "maximum_conductance": high},
        curve=Curve("conductance before the pulse [S]", begin, "step [S]", measured, fitted, rising > 0.5),
        scale=scale,
        assumed=read.assumed,
        notes=notes,
        beside=found,
        around=around(spec),
    )


def _pairs(read: PulseCurve, *, is_up: bool) -> NDArray[np.intp]:
    """Return the readings of one direction that come one pulse after the reading before, of the same device."""
    same = (read.up[1:] == is_up) & (read.up[:-1] == is_up) & (read.cell[1:] == read.cell[:-1])
    return np.flatnonzero(same & (np.diff(read.count) == 1.0)) + 1


def _steps(read: PulseCurve, *, is_up: bool) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Return, for the steps of a direction, where each begins [S], its size in that direction [S], and its device."""
    after = _pairs(read, is_up=is_up)
    step = read.conductance[after] - read.conductance[after - 1]
    return read.conductance[after - 1], step if is_up else -step, read.cell[after]


def _reading_variance(read: PulseCurve, *, is_up: bool) -> float:
    """Return the variance of one reading, from successive steps, which share a reading with opposite signs."""
    after = _pairs(read, is_up=is_up)
    follows = np.flatnonzero(np.diff(after) == 1)
    step = np.diff(read.conductance)
    first, second = step[after[follows] - 1], step[after[follows + 1] - 1]
    if len(first) < LEAST:
        return 0.0
    # Steps grow smaller along a ramp: their moving average, which neighbours have in common, is subtracted.
    place = np.argsort(read.conductance[after[follows]], kind="stable")
    first, second = first[place], second[place]
    width = max(LEAST, len(first) // MOST)
    smooth = np.ones(width) / width
    level = [
        np.convolve(each, smooth, "same") / np.convolve(np.ones(len(each)), smooth, "same") for each in (first, second)
    ]
    return max(-float(np.mean((first - level[0]) * (second - level[1]))) * width / (width - 1.0), 0.0)


def _moving(means: list[float], *, is_up: bool) -> list[int]:
    """Return the groups of steps that count: not those at the end to which pulses lead, where pulses do nothing."""
    kept, least = list(range(len(means))), NOTHING * max(means)
    while kept and means[kept[-1 if is_up else 0]] < least:
        kept.pop(-1 if is_up else 0)
    return kept


def _over_the_range(table: list[list[float]], begin: Floats) -> list[list[float]]:
    """Return a table extended, with the values of its outer rows, to where the first and the last step begin."""
    rows = [[_rounded(each) for each in row] for row in table]
    low, high = _rounded(float(begin.min())), _rounded(float(begin.max()))
    rows = [[low, *rows[0][1:]]] * (low < rows[0][0]) + rows + [[high, *rows[-1][1:]]] * (high > rows[-1][0])
    places = [row[0] for row in rows]
    return [row for k, row in enumerate(rows) if k == 0 or row[0] > places[k - 1]]


def _range(tables: dict[str, Any]) -> tuple[float, float]:
    """Return the range that both tables cover."""
    return max(table[0][0] for table in tables.values()), min(table[-1][0] for table in tables.values())


def _of_devices(begin: Floats, step: Floats, device: NDArray[np.intp], table: list[list[float]]) -> Floats:
    """Return the ratio of each device's steps to the mean of all, and the variance of that ratio, (devices, 2)."""
    places, means, _ = np.array(table).T
    margin = INNER * (places[-1] - places[0])
    some = (begin > places[0] + margin) & (begin < places[-1] - margin)  # at the ends all devices are held alike
    begin, step, device = begin[some], step[some], device[some]
    ratio = step / np.interp(begin, places, means)
    rows = [ratio[device == one] for one in np.unique(device)]
    return np.array([[own.mean(), own.var(ddof=1) / len(own)] for own in rows if len(own) > 1]).reshape(-1, 2)


def _device_spread(factors: list[Floats], notes: list[str]) -> float:
    """Return the spread from device to device: the part that the steps' own spread does not explain."""
    if min(len(each) for each in factors) < 3:
        notes.append("the spread from device to device is unknown and taken to be 0: fewer than three cells")
        return 0.0
    variance = np.mean([each[:, 0].var(ddof=1) - each[:, 1].mean() for each in factors])
    return float(f"{min(np.sqrt(max(float(variance), 0.0)), 0.5):.4g}")


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
