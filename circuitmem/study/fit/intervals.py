"""Confidence intervals of a fit: from profiles of the sum of squares, or from its curvature where data are exact."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import OptimizeResult
from scipy.stats import t as student

from circuitmem.study.fit.descent import At
from circuitmem.study.fit.problem import Parameter, Problem
from circuitmem.study.fit.profile import LOWER, BetterFitError, Ends, Profile, unit_spread

__all__ = ["BetterFitError", "intervals", "is_near", "is_weak"]

EXACT = 1e-5
"""Data with smaller residuals count as exact: the sum of squares is taken to be a parabola about them."""
WEAK = 3.0
"""Ratio of the ends of an interval above which it says hardly anything."""
WIDE = 0.8
"""Length of an interval of a number between 0 and 1 above which it says hardly anything."""
OTHERS = 2
"""Largest number of further minima that are followed."""


def intervals(
    variants: list[tuple[Problem, list[OptimizeResult]]], confidence: float, error: float, *, final: bool = False
) -> dict[str, tuple[float, float] | None]:
    """Return the interval of each parameter: the values with which the data can be fitted nearly as well.

    An interval ends where the least sum of squares, with all other parameters searched again, exceeds that of the fit
    by Student's t squared times the residual variance: the profile likelihood of independent normal errors of one size.
    For a model that is linear in its parameters this is the textbook interval. Another minimum that is nearly as low,
    of this or of another variant of the model, widens it. An end that is not reached within the range searched is not
    determined by the data: the parameter's own limit (0, infinity, 1) replaces it, and if neither end is reached the
    parameter has no interval. Intervals of data without noise come from the Jacobian, because a profile would show the
    error of the solver.

    Parameters
    ----------
    variants : list of (Problem, list of OptimizeResult)
        Variants of the model, the best first, then others that fit about as well, each with the minima that were found,
        the lowest first, with residuals and Jacobian of all parameters.
    confidence : float
        In (0, 1).
    error : float
        Error that is allowed in the model along the profiles.
    final : bool
        Whether to ignore a better fit that is found on the way.

    Returns
    -------
    dict
        (low, high) by name, or None.

    Raises
    ------
    BetterFitError
        If a profile finds a better fit, unless ``final``.
    """
    problem, found = variants[0][0], variants[0][1][0]
    points, count = found.jac.shape
    if points <= count:
        return {parameter.name: None for parameter in problem.parameters}
    least, variance, reach = _limit(found, confidence)
    places: list[Ends]
    if math.sqrt(variance) < EXACT:
        half = reach * math.sqrt(variance) * unit_spread(found.jac)
        places = [(x - h, x + h) if math.isfinite(h) else (None, None) for x, h in zip(found.x, half, strict=True)]
    else:
        spans: list[list[Ends]] = [[] for _ in range(count)]
        for own, minima in variants:
            rest, seen = _others(own, minima, least, variance, reach, error), list[tuple[int, At]]()
            profiles = [
                Profile(own, At(each.x, each.fun, each.jac), least, variance, reach, error, final, seen)
                for each in (minima[0], *rest)
            ]
            found_here = [_hull([profile.ends(number) for profile in profiles]) for number in range(count)]
            for span, ends in zip(spans, profiles[0].widened(found_here), strict=True):
                span.append(ends)
        places = [_hull(span) for span in spans]
    return {p.name: _named(problem, p, number, places[number]) for number, p in enumerate(problem.parameters)}


def is_near(best: OptimizeResult, other: OptimizeResult, confidence: float) -> bool:
    """Say whether another minimum is so low that the data do not exclude it.

    Parameters
    ----------
    best, other : OptimizeResult
        Minima for the same data.
    confidence : float
        Confidence with which the data would exclude it.

    Returns
    -------
    bool
        Whether it counts for the intervals.
    """
    points, count = best.jac.shape
    if points <= count:
        return False
    least, variance, reach = _limit(best, confidence)
    return float(other.fun @ other.fun) - least <= reach**2 * variance


def is_weak(parameter: Parameter, interval: tuple[float, float] | None) -> bool:
    """Say whether the data hardly determine a parameter: no interval, one with an open end, or a very wide one.

    Parameters
    ----------
    parameter : Parameter
        Which one.
    interval : (float, float), optional
        What :func:`intervals` found.

    Returns
    -------
    bool
        Whether to hold it.
    """
    if interval is None or not np.isfinite(interval).all():
        return True
    near, far = sorted(abs(end) for end in interval)
    return {"log": far > WEAK * near, "logit": far - near > WIDE, "linear": False}[parameter.scale]


def _limit(found: OptimizeResult, confidence: float) -> tuple[float, float, float]:
    """Return the least sum of squares, the residual variance, and the root of the rise that ends an interval."""
    points, count = found.jac.shape
    least = float(found.fun @ found.fun)
    return least, least / (points - count), float(student.ppf(0.5 + 0.5 * confidence, points - count))


def _others(
    problem: Problem, minima: list[OptimizeResult], least: float, variance: float, reach: float, error: float
) -> list[OptimizeResult]:
    """Return other minima that are nearly as low and separated by a rise: not places on the way to the fit."""
    found: list[OptimizeResult] = []
    for each in sorted(minima[1:], key=lambda end: float(end.cost)):
        squares = float(each.fun @ each.fun)
        if len(found) == OTHERS or squares - least > reach**2 * variance:
            break
        known = [minima[0].x, *(other.x for other in found)]
        middles = [problem.differences(0.5 * (each.x + place), error) for place in known]
        if all(float(middle @ middle) > squares + LOWER * variance for middle in middles):
            found.append(each)
    return found


def _hull(ends: list[Ends]) -> Ends:
    """Return the shortest interval that holds all of them."""
    lows, highs = zip(*ends, strict=True)
    low = None if None in lows else min(each for each in lows if each is not None)
    return low, None if None in highs else max(each for each in highs if each is not None)


def _named(problem: Problem, parameter: Parameter, number: int, ends: Ends) -> tuple[float, float] | None:
    """Return an interval in the parameter's unit; None if the data determine neither end."""
    values = [None if end is None else problem.value(number, end) for end in ends]
    # A negative number falls where its magnitude rises.
    first, last = values if parameter.sign > 0 else values[::-1]
    least, most = parameter.limits
    interval = (least if first is None else first, most if last is None else last)
    return None if interval == (least, most) else interval
