"""Fit of a device known by statistics: programming error, drift and read noise, each as a function of the target.

The logarithm of each cell's conductance is fitted by a line in the logarithm of time: its intercept is the conductance
after programming, its slope the drift exponent. The residuals have the covariance of white and 1/f noise, whose
amplitudes are found by non-negative least squares of second moments. What noise adds to the spread of intercepts and
slopes is subtracted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

from circuitmem.config import StatisticalSpec
from circuitmem.device import flicker_covariance
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.rng import Purpose, stream
from circuitmem.study.fit.cells import CellReads, read_cells
from circuitmem.study.fit.chip import around
from circuitmem.study.fit.estimate import Estimate
from circuitmem.study.fit.model import Curve, Fit
from circuitmem.study.fit.problem import Parameter
from circuitmem.study.fit.table import Reading
from circuitmem.validation import did_you_mean

__all__ = ["fit_statistics"]

Floats = NDArray[np.float64]

LEAST_CELLS = 5
"""Fewest cells of a level: the spread of fewer says nothing."""
RESAMPLES = 500
"""Number of times that cells are resampled for the intervals."""
TIMES = ("drift_time", "flicker_time")
"""Parameters that can be held."""
FIGURES = 5
"""Significant digits of numbers in tables."""


class _Cells(NamedTuple):
    """What is computed from the reads of each cell."""

    left: Floats
    """Conductance after programming, the intercept [S]."""
    exponent: Floats
    moments: Floats
    """Second moments of the residuals: their own, and with the covariance of 1/f noise, (cells, 2)."""
    gram: Floats
    """The same moments expected of white and of 1/f noise of amplitude 1, (cells, 2, 2)."""
    gain: Floats
    """Variances that noises of amplitude 1 add to the logarithm of the intercept and to the slope, (cells, 2, 2)."""


def fit_statistics(
    path: str | os.PathLike[str],
    *,
    held: dict[str, float] | None = None,
    seed: int = 0,
    confidence: float = 0.95,
    reading: Reading | None = None,
) -> Fit:
    """Fit :class:`~circuitmem.config.StatisticalSpec`, drift and noise to a table of cell, time, target and read.

    Times count from the end of a cell's programming. Intervals come from a bootstrap over cells, bias-corrected and
    accelerated (Efron, J. Am. Stat. Assoc. 82:171, 1987).

    Parameters
    ----------
    path : path
        The file.
    held : dict, optional
        ``drift_time`` and ``flicker_time`` [s]; when left out, the first time of a read, and half of the shortest time
        between two reads.
    seed : int
        Seed of the bootstrap.
    confidence : float
        Confidence of the intervals.
    reading : Reading, optional
        How to read the file.

    Raises
    ------
    DataFileError
        If the file is not such a table, or has too few cells or targets.
    ValidationError
        If something is held that cannot be held.
    """
    reads = read_cells(path, reading)
    times, notes = _times(reads, held or {}), []
    levels = [np.flatnonzero(reads.level == level) for level in np.unique(reads.level)]
    targets = np.array([reads.target[own].mean() for own in levels])
    if len(levels) < 2:
        raise DataFileError(path, f"must have at least two different targets (got {len(levels)})")
    for target, own in zip(targets, levels, strict=True):
        if len(own) < LEAST_CELLS:
            rule = f"must have at least {LEAST_CELLS} cells of each target (got {len(own)} of {target:g} S)"
            raise DataFileError(path, rule)
    cells = _cells(reads, times)
    moves, fluctuates = cells.exponent.any(), cells.gram.any()
    if not moves:
        notes.append("drift is unknown and left out: no cell was read at two times")
    if not fluctuates:
        notes.append("noise is unknown and left out, and counts in the others: no cell was read at three times")
    rng = stream(seed, Purpose.FIT, 1)
    names = ["programming_error", *(["drift_exponent", "drift_spread"] if moves else [])]
    names += ["white", "flicker"] if fluctuates else []
    found: dict[str, list[float]] = {name: [] for name in names}
    parameters: list[Parameter] = []
    values: dict[str, float] = {}
    intervals: dict[str, tuple[float, float] | None] = {}
    for target, own in zip(targets, levels, strict=True):
        ones = np.ones((1, len(own)))
        best = _estimate(cells, own, reads.target, ones)
        drawn = _estimate(cells, own, reads.target, rng.multinomial(len(own), ones[0] / len(own), RESAMPLES))
        without = _estimate(cells, own, reads.target, 1.0 - np.eye(len(own)))
        ends = np.quantile(drawn["bias"], [0.0015, 0.9985])
        if not ends[0] <= 0.0 <= ends[1] and abs(best["bias"][0]) > 0.1 * best["programming_error"][0]:
            off = 100.0 * best["bias"][0] / target
            notes.append(f"cells of {target:.4g} S miss their target by {off:+.2g} % on average, which is not modelled")
        for name in names:
            label = f"{name} at {target:.4g} S"
            value = float(best[name][0])
            intervals[label] = _interval(value, drawn[name], without[name], confidence)
            parameters.append(Parameter(label, value, value, "linear", unit="S" if name == "programming_error" else ""))
            values[label] = value
            found[name].append(value)
    laws = {name: _table(targets, numbers) for name, numbers in found.items()}
    capped = [name for name in ("drift_spread",) if name in laws and max(found[name]) > 1.0]
    for name in capped:
        laws[name] = _table(targets, np.minimum(found[name], 1.0).tolist())
        notes.append(f"{name} was more than 1 and is limited to it: drift is small beside its spread")
    spec = StatisticalSpec(
        minimum_conductance=float(f"{targets[0]:.{FIGURES}g}"),
        maximum_conductance=float(f"{targets[-1]:.{FIGURES}g}"),
        programming_error=laws["programming_error"],
    )
    fitted = _mean_conductance(reads, cells, levels, times["drift_time"])
    scale = float(reads.conductance.max())
    return Fit(
        model="statistical",
        spec=spec,
        table="chip.device",
        parameters=parameters,
        estimate=Estimate(values, intervals, [], (fitted[1] - fitted[2]) / scale, 0, 0),
        derived=dict(times),
        curve=Curve(
            "time since programming [s]",
            fitted[0],
            "mean conductance [S]",
            fitted[1],
            fitted[2],
            group=fitted[3].astype(np.intp),
            x_log=bool((fitted[0] > 0.0).all()),
        ),
        scale=scale,
        assumed=reads.assumed,
        notes=[*notes, _PULSES],
        beside={name: getattr(spec, name) for name in ("minimum_conductance", "maximum_conductance")}
        | {"programming_error": laws["programming_error"]},
        around=_around(spec, laws, times, max(found["programming_error"])),
    )


_PULSES = "amplitude and duration of programming are not in the data, and are yours to add"


def _times(reads: CellReads, held: dict[str, float]) -> dict[str, float]:
    """Return the times of the laws, held or assumed; assumptions are noted."""
    for name, value in held.items():
        if name not in TIMES:
            raise ValidationError(f"--fix {name}", f"must be one of {', '.join(TIMES)}{did_you_mean(name, TIMES)}")
        if not 1e-12 <= value <= 9e6:
            raise ValidationError(f"--fix {name}", "must be between 1e-12 and 9e+06", value)
    steps = np.diff(reads.time)
    steps = steps[np.setdiff1d(np.arange(len(steps)), reads.first[1:-1] - 1)]
    later = reads.time[reads.time > 0.0]
    own = {
        "drift_time": float(later.min()) if later.size else 1.0,
        "flicker_time": 0.5 * float(steps[steps > 0.0].min()) if (steps > 0.0).any() else 1.0,
    }
    why = {"drift_time": "the first time of a read", "flicker_time": "half of the shortest time between two reads"}
    for name, value in own.items():
        if name not in held:
            own[name] = float(f"{value:.{FIGURES}g}")
            reads.assumed.append(f"{name}: {own[name]:g} s, {why[name]} (--fix {name}=SECONDS)")
    return own | held


def _patterns(reads: CellReads) -> Iterator[tuple[NDArray[np.intp], Floats]]:
    """Yield groups of cells that were read at the same times, and these times."""
    groups: dict[bytes, list[int]] = {}
    for cell, (begin, end) in enumerate(zip(reads.first[:-1], reads.first[1:], strict=True)):
        groups.setdefault(reads.time[begin:end].tobytes(), []).append(cell)
    for times, own in groups.items():
        yield np.array(own, dtype=np.intp), np.frombuffer(times)


def _cells(reads: CellReads, times: dict[str, float]) -> _Cells:
    """Compute the numbers of each cell from its reads."""
    count = len(reads.target)
    left, exponent = np.empty(count), np.zeros(count)
    moments, gram, gain = np.zeros((count, 2)), np.zeros((count, 2, 2)), np.zeros((count, 2, 2))
    for own, when in _patterns(reads):
        logs = np.log(np.array([reads.conductance[reads.first[k] : reads.first[k] + len(when)] for k in own]))
        lines = np.ones((len(when), 1 + (len(np.unique(when)) > 1)))
        lines[:, 1:] = -np.log1p(when / times["drift_time"])[:, None]
        solve = np.linalg.pinv(lines)
        place = logs @ solve.T
        left[own] = np.exp(place[:, 0])
        if lines.shape[1] == 2:
            exponent[own] = place[:, 1]
        slow = flicker_covariance(when[:, None], when, times["flicker_time"])
        for noise, covariance in enumerate((np.eye(len(when)), slow)):
            gain[own, : lines.shape[1], noise] = np.diag(solve @ covariance @ solve.T)
        if len(when) > lines.shape[1] and lines.shape[1] == 2:
            rest, keeps = logs - place @ lines.T, np.eye(len(when)) - lines @ solve
            moments[own] = np.stack([(rest**2).sum(axis=1), np.einsum("ci,ij,cj->c", rest, slow, rest)], axis=1)
            both = keeps, keeps @ slow
            gram[own] = [[np.trace(first @ second) for second in both] for first in both]
    return _Cells(left, exponent, moments, gram, gain)


def _estimate(cells: _Cells, own: NDArray[np.intp], target: Floats, counts: NDArray[Any]) -> dict[str, Floats]:
    """Return the parameters of one level for each of several samples of its cells, (samples,) each.

    ``counts`` says how often each cell is in each sample, (samples, cells).
    """
    number = counts.sum(axis=1)

    def mean(values: Floats) -> Floats:
        return np.asarray(counts @ values / number)

    def variance(values: Floats) -> Floats:
        middle = mean(values)
        return np.asarray((mean(values**2) - middle**2) * (number / (number - 1)))

    moments, gram = counts @ cells.moments[own], np.einsum("sc,cij->sij", counts, cells.gram[own])
    white, slow = _non_negative(moments, gram)
    added = [mean(cells.gain[own, k, 0]) * white + mean(cells.gain[own, k, 1]) * slow for k in (0, 1)]
    off = cells.left[own] - target[own]
    error = variance(off) - mean(cells.left[own]) ** 2 * added[0]
    drift, spread = mean(cells.exponent[own]), variance(cells.exponent[own]) - added[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(drift == 0.0, 0.0, np.sqrt(np.maximum(spread, 0.0)) / np.abs(drift))
    return {
        "programming_error": np.sqrt(np.maximum(error, 0.0)),
        "drift_exponent": drift,
        "drift_spread": relative,
        "white": np.sqrt(white),
        "flicker": np.sqrt(slow),
        "bias": mean(off),
    }


def _interval(value: float, drawn: Floats, without: Floats, confidence: float) -> tuple[float, float]:
    """Return the interval of a number whose estimates are skewed, so that plain bootstrap quantiles lie too low.

    Parameters
    ----------
    value : float
        Estimate from all cells.
    drawn : (resamples,) ndarray
        Estimates from resampled cells.
    without : (cells,) ndarray
        Estimates from all cells but one.
    confidence : float
        Confidence of the interval.
    """
    below = float(np.mean(drawn < value) + 0.5 * np.mean(drawn == value))
    bias = float(norm.ppf(np.clip(below, 1.0 / len(drawn), 1.0 - 1.0 / len(drawn))))
    away = without.mean() - without
    power = float((away**2).sum()) ** 1.5
    acceleration = float((away**3).sum()) / (6.0 * power) if power > 0.0 else 0.0
    # With few cells the bootstrap is too narrow, by factors from the variance and Student's t (Hesterberg 2015).
    freedom = len(without) - 1
    wider = np.sqrt(1.0 + 1.0 / freedom) * student.ppf(0.5 + 0.5 * confidence, freedom)
    reach = bias + np.array([-wider, wider])
    low, high = np.quantile(drawn, norm.cdf(bias + reach / (1.0 - acceleration * reach)))
    return float(low), float(high)


def _non_negative(moments: Floats, gram: Floats) -> tuple[Floats, Floats]:
    """Solve two equations for two non-negative numbers, by least squares, for each sample."""
    a, b, c = gram[:, 0, 0], gram[:, 0, 1], gram[:, 1, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = a * c - b * b
        first = (c * moments[:, 0] - b * moments[:, 1]) / whole
        second = (a * moments[:, 1] - b * moments[:, 0]) / whole
        alone = np.where(a > 0.0, moments[:, 0] / a, 0.0), np.where(c > 0.0, moments[:, 1] / c, 0.0)
    seen = whole > 1e-9 * a * c
    first, second = np.where(seen, first, alone[0]), np.where(seen, second, 0.0)
    only_white, only_slow = second < 0.0, first < 0.0
    white = np.where(only_white, alone[0], np.maximum(first, 0.0))
    return white, np.where(only_slow, alone[1], np.maximum(second, 0.0))


def _table(targets: Floats, numbers: list[float]) -> tuple[tuple[float, float], ...]:
    pairs = zip(targets.tolist(), numbers, strict=True)
    return tuple((float(f"{target:.{FIGURES}g}"), float(f"{number:.{FIGURES}g}")) for target, number in pairs)


def _mean_conductance(
    reads: CellReads, cells: _Cells, levels: list[NDArray[np.intp]], drift_time: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return times, mean conductances at them as measured and from the lines of the cells, and their level."""
    rows = []
    owner = np.repeat(np.arange(len(reads.target)), np.diff(reads.first))
    for number, own in enumerate(levels):
        some = np.isin(owner, own)
        for when in np.unique(reads.time[some]):
            read = some & (reads.time == when)
            cell = owner[read]
            law = cells.left[cell] * (1.0 + when / drift_time) ** -cells.exponent[cell]
            rows.append((when, reads.conductance[read].mean(), law.mean(), number))
    when, measured, fitted, group = np.array(rows).T
    return when, measured, fitted, group


def _around(spec: StatisticalSpec, laws: dict[str, Any], times: dict[str, float], error: float) -> dict[str, Any]:
    """Return the tables of a chip beside the device's."""
    tables = around(spec)
    span = spec.maximum_conductance - spec.minimum_conductance
    tables["programming"] = {
        "deadband": 0.0,
        "verify_tries": 0,
        "verify_tolerance": float(f"{min(2.0 * error, 0.5 * span) or 1e-3 * span:.3g}"),
    }
    if "drift_exponent" in laws:
        own = {name: laws[name] for name in ("drift_exponent", "drift_spread")}
        tables["retention"] = {"drift_time": times["drift_time"], **own}
    if "flicker" in laws:
        own = {name: laws[name] for name in ("white", "flicker")}
        tables["noise"] = {"flicker_time": times["flicker_time"], **own}
    return tables
