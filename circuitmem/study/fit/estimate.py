"""Parameters from data: bounded least squares from many seeded starts, with confidence intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult

from circuitmem.errors import ConvergenceError
from circuitmem.rng import Purpose, stream
from circuitmem.study.fit.intervals import BetterFitError, intervals, is_near
from circuitmem.study.fit.problem import FINEST, HOPELESS, ROUGH, Parameter, Problem

__all__ = ["Estimate", "Search", "concluded", "estimate"]

Floats = NDArray[np.float64]

AT_BOUND = 1e-6
"""A parameter this near to an end of its range, relative to the range, counts as being at it."""
FINER = 5e-5
"""Error of the model at the end of a search, relative to the residuals."""
AGAIN = 4
"""Largest number of new searches from better fits that profiles found."""


@dataclass(frozen=True)
class Estimate:
    """Parameters as determined by the data.

    Attributes
    ----------
    values : dict
        Values by parameter.
    intervals : dict
        (low, high) by parameter; an end that the data do not determine is that of the parameter's scale (0, infinity,
        1), and a parameter that they do not determine at all has None.
    at_bound : list of str
        Parameters at an end of the range that was searched.
    residuals : ndarray
        Residuals of the fit.
    agreeing : int
        Number of starts that ended at this fit, to 0.1 % of its sum of squares: 1 is a reason for doubt, and 0 means
        that only the search for an interval found it.
    starts : int
        Number of all starts.
    """

    values: dict[str, float]
    intervals: dict[str, tuple[float, float] | None]
    at_bound: list[str]
    residuals: Floats
    agreeing: int
    starts: int


class Search:
    """The minima reached from the starts of one problem.

    Parameters
    ----------
    parameters, residual, points
        As :class:`.problem.Problem` takes them.
    seed : int
        Seed of the starts.
    random_points, searches : int
        Number of random points that are evaluated, and number of the best of them that become starts.
    improve : callable
        Improves a random start by what is known of the model.
    guesses : tuple of dict
        Starts that are always searched from.

    Attributes
    ----------
    problem : Problem
        What is searched.
    found : OptimizeResult
        The lowest minimum.
    ends : list of OptimizeResult
        All of them.

    Raises
    ------
    ConvergenceError
        If no start has a finite sum of squares.
    """

    def __init__(
        self,
        parameters: list[Parameter],
        residual: Callable[[dict[str, float], float], Floats],
        points: int,
        *,
        seed: int = 0,
        random_points: int = 400,
        searches: int = 5,
        improve: Callable[[dict[str, float]], dict[str, float]] = lambda values: values,
        guesses: tuple[dict[str, float], ...] = (),
    ) -> None:
        problem = self.problem = Problem(parameters, residual, points)
        candidates = [problem.placed(guess) for guess in guesses]
        drawn = stream(seed, Purpose.FIT).random((random_points, len(parameters)))
        candidates += [problem.placed(improve(problem.named(1.0 + point))) for point in drawn]
        costs = np.array([float((problem.differences(place, ROUGH) ** 2).sum()) for place in candidates])
        best = np.argsort(costs, kind="stable")[:searches]
        chosen = list(dict.fromkeys([*range(len(guesses)), *best.tolist()]))
        self.ends = [_rough(problem, candidates[k]) for k in chosen]
        self.starts, nearest = len(chosen), min(self.ends, key=lambda end: float(end.cost))
        self.found, self._least = _polished(problem, nearest), float(nearest.cost)
        if np.abs(self.found.fun).max() >= HOPELESS:
            raise ConvergenceError("a fit", float(np.abs(self.found.fun).max()), HOPELESS, self.starts)

    @property
    def agreeing(self) -> int:
        """How many starts ended at the minimum."""
        least = min(self._least, float(self.found.cost))
        # Searches end with the error of the rough model, which is all the residual that exact data have.
        unseen = 0.5 * self.problem.points * ROUGH**2
        return sum(float(end.cost) <= 1.001 * least + unseen for end in self.ends[-self.starts :])

    def go_on(self, place: Floats) -> None:
        """Search from a place that is lower than the minimum."""
        self.ends, self.found = [self.found, *self.ends], _polished(self.problem, _rough(self.problem, place))


def estimate(
    parameters: list[Parameter],
    residual: Callable[[dict[str, float], float], Floats],
    points: int,
    *,
    confidence: float = 0.95,
    **how: Any,
) -> Estimate:
    """Find the parameters whose residuals have the least sum of squares, and their intervals.

    Parameters
    ----------
    parameters, residual, points, **how
        As :class:`Search` takes them.
    confidence : float
        Of the intervals, in (0, 1).

    Returns
    -------
    Estimate
        Values, intervals and residuals.

    Raises
    ------
    ConvergenceError
        If no start has a finite sum of squares.
    """
    return concluded([Search(parameters, residual, points, **how)], confidence)[0]


def concluded(variants: list[Search], confidence: float) -> tuple[Estimate, list[Search]]:
    """Return the best fit of all variants of a model, with its intervals, and the variants that fit about as well.

    The intervals are those of independent normal errors of one size (:func:`.intervals.intervals`). If their search
    finds a better fit, the fit is searched again from there.

    Parameters
    ----------
    variants : list of Search
        Searches for the same parameters, at least one.
    confidence : float
        Of the intervals, in (0, 1).

    Returns
    -------
    estimate : Estimate
        That of the best variant.
    order : list of Search
        The best variant, and those that the data do not exclude: the intervals hold for them too.
    """
    for again in range(AGAIN + 1):
        order = sorted(variants, key=lambda each: float(each.found.cost))
        best = order[0]
        order = [best, *(each for each in order[1:] if is_near(best.found, each.found, confidence))]
        try:
            minima = [(each.problem, [each.found, *each.ends]) for each in order]
            own = intervals(minima, confidence, _error(best.found), final=again == AGAIN)
            break
        except BetterFitError as better:
            next(each for each in order if each.problem is better.problem).go_on(better.place)
    found, problem = best.found, best.problem
    at_bound = [
        p.name
        for p, place in zip(problem.parameters, found.x, strict=True)
        if not 1.0 + AT_BOUND < place < 2.0 - AT_BOUND
    ]
    values, left = problem.named(found.x), np.asarray(found.fun)
    return Estimate(values, own, at_bound, left, best.agreeing, best.starts), order


def _rough(problem: Problem, start: Floats) -> OptimizeResult:
    return problem.search(start, error=ROUGH, precision=1e-6, step=1e-4, central=False)


def _polished(problem: Problem, end: OptimizeResult) -> OptimizeResult:
    """Continue the search with a model whose errors are far below the noise of the data, and derivatives to match."""
    error = _error(end)
    if error > FINEST:
        return problem.search(end.x, error=error, precision=1e-8, step=1e-3, central=True)
    return problem.search(end.x, error=error, precision=1e-12, step=1e-4, central=True)


def _error(end: OptimizeResult) -> float:
    """Return an error of the model that is far below the residuals."""
    left = float(np.sqrt(np.mean(end.fun**2)))
    return min(max(FINER * left, FINEST), ROUGH)
