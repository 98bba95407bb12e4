"""Parameters from data: bounded least squares from many seeded starts, with confidence intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, least_squares
from scipy.stats import t as student

from circuitmem.errors import CircuitmemError, ConvergenceError
from circuitmem.rng import Purpose, stream

__all__ = ["Estimate", "Parameter", "estimate", "is_weak"]

Floats = NDArray[np.float64]

AT_BOUND = 1e-6
"""A parameter this near to an end of its range, relative to the range, lies on it."""

HOPELESS = 1e6
"""Difference where there is none: residuals are relative to the largest measured value."""

LOST = 1e10
"""Condition of the Jacobian beyond which some parameters are not determined by the data at all."""


WEAK = 3.0
"""An interval whose ends are further apart than by this factor hardly says anything."""
WIDE = 0.8
"""So does an interval of a number between 0 and 1 that is longer than this."""


@dataclass(frozen=True)
class Parameter:
    """One number to be found.

    Attributes
    ----------
    name : str
        Its name in the specification.
    low, high : float
        Range that is searched.
    scale : {"log", "linear", "logit"}
        In which it is searched, and its error is normal: ``"log"`` for positive numbers, ``"logit"`` between 0 and 1.
    unit : str
        Its unit.
    sign : {1, -1}
        -1 if the specification wants it negative.
    """

    name: str
    low: float
    high: float
    scale: Literal["log", "linear", "logit"] = "log"
    unit: str = ""
    sign: int = 1

    def into(self, value: float | Floats) -> Floats:
        """Return where a value lies in the scale."""
        value = np.asarray(value) * self.sign
        if self.scale == "linear":
            return value
        return np.asarray(np.log(value) if self.scale == "log" else np.log(value / (1.0 - value)))

    def out(self, place: float | Floats) -> Floats:
        """Return the value at a place in the scale."""
        if self.scale == "linear":
            return np.asarray(self.sign * np.asarray(place))
        found = np.exp(place) if self.scale == "log" else 1.0 / (1.0 + np.exp(-np.asarray(place)))
        return np.asarray(self.sign * found)


@dataclass(frozen=True)
class Estimate:
    """What the data say.

    Attributes
    ----------
    values : dict
        By parameter.
    intervals : dict
        (low, high) by parameter; None for one that the data do not determine.
    at_bound : list of str
        Parameters at an end of the range that was searched.
    residuals : ndarray
        Differences that are left.
    agreeing : int
        How many of the starts ended at this fit, to 0.1 % of its sum of squares: 1 is a reason for doubt.
    starts : int
        Of how many.
    """

    values: dict[str, float]
    intervals: dict[str, tuple[float, float] | None]
    at_bound: list[str]
    residuals: Floats
    agreeing: int
    starts: int


def estimate(
    parameters: list[Parameter],
    residual: Callable[[dict[str, float], bool], Floats],
    points: int,
    *,
    seed: int = 0,
    confidence: float = 0.95,
    random_points: int = 400,
    searches: int = 5,
    improve: Callable[[dict[str, float]], dict[str, float]] = lambda values: values,
    guesses: tuple[dict[str, float], ...] = (),
) -> Estimate:
    """Find the parameters whose residuals have the least sum of squares.

    The intervals are those of a linear model with independent normal errors of one size, ``(J^T J)^-1`` times the
    variance that is left, in the scale of each parameter.

    Parameters
    ----------
    parameters : list of Parameter
        What to find, at least one.
    residual : callable
        Differences between model and data, relative to the largest measured value, for values by name, and whether
        they are only to be searched with.
    points : int
        How many differences.
    seed : int
        Seed of the starts.
    confidence : float
        Of the intervals, in (0, 1).
    random_points, searches : int
        Random points that are looked at, and how many of the best are searched from.
    improve : callable
        Makes a better start of a random one, by what is known of the model.
    guesses : tuple of dict
        Starts that are searched from in any case.

    Raises
    ------
    ConvergenceError
        If no start has a finite sum of squares.
    """
    low = np.array([float(p.into(p.sign * p.low)) for p in parameters])
    span = np.array([float(p.into(p.sign * p.high)) for p in parameters]) - low

    # Searched from 1 to 2, so that a step relative to the place means the same everywhere.
    def named(place: Floats) -> dict[str, float]:
        scaled = low + (place - 1.0) * span
        return {p.name: float(p.out(x)) for p, x in zip(parameters, scaled, strict=True)}

    def placed(values: dict[str, float]) -> Floats:
        scaled = np.array([float(p.into(values[p.name])) for p in parameters])
        return np.asarray(np.clip(1.0 + (scaled - low) / span, 1.0 + 1e-9, 2.0 - 1e-9))

    def differences(place: Floats, rough: bool) -> Floats:
        try:
            found = residual(named(place), rough)
        except CircuitmemError:  # numbers that no device has, or that no solver can follow
            return np.full(points, HOPELESS)
        return np.where(np.isfinite(found), found, HOPELESS)

    def search(place: Floats, rough: bool) -> OptimizeResult:
        scheme: Literal["2-point", "3-point"] = "2-point" if rough else "3-point"
        step = np.full(len(parameters), 1e-4)
        p, limits = 1e-6 if rough else 1e-12, (1.0, 2.0)
        return least_squares(
            differences, place, jac=scheme, diff_step=step, bounds=limits, xtol=p, ftol=p, gtol=p, args=(rough,)
        )

    candidates = [placed(guess) for guess in guesses]
    drawn = stream(seed, Purpose.FIT).random((random_points, len(parameters)))
    candidates += [placed(improve(named(1.0 + point))) for point in drawn]
    costs = np.array([float((differences(place, True) ** 2).sum()) for place in candidates])
    best = np.argsort(costs, kind="stable")[:searches]
    chosen = list(dict.fromkeys([*range(len(guesses)), *best.tolist()]))
    ends = [search(candidates[k], True) for k in chosen]
    nearest = min(ends, key=lambda end: float(end.cost))
    found = search(nearest.x, False)
    if np.abs(found.fun).max() >= HOPELESS:
        raise ConvergenceError("a fit", float(np.abs(found.fun).max()), HOPELESS, len(chosen))
    half = _spread(found.jac, found.fun, confidence) * span
    intervals: dict[str, tuple[float, float] | None] = {}
    for p, place, reach in zip(parameters, low + (found.x - 1.0) * span, half, strict=True):
        with np.errstate(over="ignore", invalid="ignore"):
            first, last = sorted((float(p.out(place - reach)), float(p.out(place + reach))))
        intervals[p.name] = (first, last) if np.isfinite([first, last, reach]).all() else None
    at_bound = [
        p.name for p, place in zip(parameters, found.x, strict=True) if not 1.0 + AT_BOUND < place < 2.0 - AT_BOUND
    ]
    agreeing = sum(float(end.cost) <= 1.001 * float(nearest.cost) + 1e-300 for end in ends)
    return Estimate(named(found.x), intervals, at_bound, np.asarray(found.fun), agreeing, len(ends))


def is_weak(parameter: Parameter, interval: tuple[float, float] | None) -> bool:
    """Say whether the data hardly determine a parameter: it has no interval, or a very wide one."""
    if interval is None:
        return True
    near, far = sorted(abs(end) for end in interval)
    return {"log": far > WEAK * near, "logit": far - near > WIDE, "linear": False}[parameter.scale]


def _spread(jacobian: Floats, residuals: Floats, confidence: float) -> Floats:
    """Return half the width of each interval in the parameter's scale; infinite where the data say nothing."""
    freedom = len(residuals) - jacobian.shape[1]
    if freedom < 1:
        return np.full(jacobian.shape[1], np.inf)
    size = np.linalg.norm(jacobian, axis=0)
    seen = size > 0.0
    half = np.full(jacobian.shape[1], np.inf)
    if not seen.any():
        return half
    _, singular, directions = np.linalg.svd(jacobian[:, seen] / size[seen], full_matrices=False)
    strong = singular > singular[0] / LOST
    variance = float(residuals @ residuals) / freedom
    within = (directions[strong] / singular[strong, None]) ** 2
    lost = (directions[~strong] ** 2).sum(axis=0) > 1e-6
    found = np.sqrt(variance * within.sum(axis=0)) / size[seen] * float(student.ppf(0.5 + 0.5 * confidence, freedom))
    half[seen] = np.where(lost, np.inf, found)
    return half
