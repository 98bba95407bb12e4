"""Profile of a sum of squares along each parameter, from one minimum: where it has risen too far."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from circuitmem.study.fit.descent import At, descend
from circuitmem.study.fit.problem import Problem

__all__ = ["BetterFitError", "Profile", "unit_spread"]

Floats = NDArray[np.float64]

LOST = 1e10
"""Condition of the Jacobian beyond which some parameters are not determined by the data at all."""
FIRST = 0.1
"""Longest first step, of the range that is searched."""
LONGER = 3.0
"""Further steps are at most so much longer than the one before."""
NEAR = 0.05
"""A point whose rise is so near to the wanted one, relative to it, says where that is by a straight line."""
STEPS = 14
"""Steps to an end, at most."""
SHORT = 1e-6
"""Steps shorter than this, of the range that is searched, are none."""
EDGE = 5e-3
"""Another parameter that is so near to an end of its range, relative to it, may be kept there by it alone."""
STILL = 0.8
"""So much of the rise must be left when they may leave their ranges, for the data to be what ends an interval."""
LOWER = 0.1
"""A sum of squares that is lower by so many variances is a better fit."""
MATTERS = 0.005
"""Decrease of the sum of squares that is looked for, of the one at which an interval ends."""


class BetterFitError(Exception):
    """A profile came upon a smaller sum of squares than the fit's.

    Parameters
    ----------
    place : ndarray
        Where.
    """

    def __init__(self, place: Floats) -> None:
        super().__init__("a better fit")
        self.place = place


class Profile:
    """The least sum of squares along one parameter after the other.

    Parameters
    ----------
    problem : Problem
        What was fitted.
    origin : At
        A minimum.
    least : float
        Sum of squares of the fit.
    variance : float
        Of its residuals.
    reach : float
        Square root of the rise above it at which an interval ends, in variances.
    error : float
        Error that is allowed in the model.
    final : bool
        Whether a better fit on the way is to be left alone.
    """

    def __init__(
        self, problem: Problem, origin: At, least: float, variance: float, reach: float, error: float, final: bool
    ) -> None:
        self._problem, self._origin, self._least = problem, origin, least
        self._variance, self._reach, self._error, self._final = variance, reach, error, final
        self._half = reach * math.sqrt(variance) * unit_spread(origin.jacobian)
        self._none = np.zeros(len(origin.place), dtype=bool)
        self._freed: float | None = None

    def ends(self, number: int) -> tuple[float | None, float | None]:
        """Return the places where the interval of a parameter ends, None where it does not within the range.

        Parameters
        ----------
        number : int
            Which parameter.

        Returns
        -------
        low, high : float or None
            Places.

        Raises
        ------
        BetterFitError
            If there is a better fit, unless it is to be left alone.
        """
        return self._end(number, -1.0), self._end(number, 1.0)

    def _end(self, number: int, way: float) -> float | None:
        origin = self._origin
        place = float(origin.place[number])
        room = 2.0 - place if way > 0.0 else place - 1.0
        tangent = self._tangent(number)
        length, at = min(FIRST, float(self._half[number])), origin
        start = origin.place + length * way * tangent
        below, above = (0.0, self._rise(origin)), None  # how far, and how high the profile is there
        for _ in range(STEPS):
            if length > room:
                start, length = origin.place + (start - origin.place) * room / length, room
            start[number] = place + length * way
            at = self._settled(at, start, number)
            rise = self._rise(at)
            if abs(rise - self._reach) < NEAR * self._reach or length >= room - SHORT:
                at = self._settled(at, at.place, number, sure=True)
                rise = self._rise(at)
            if rise >= self._reach:
                above = (length, rise)
            elif length >= room - SHORT:
                return None
            else:
                below = (length, rise)
            if abs(rise - self._reach) < NEAR * self._reach or (above and above[0] - below[0] < SHORT):
                break
            further = self._further(length, below, above)
            start = origin.place + (at.place - origin.place) * further / length
            length = further
        if not self._is_shown(number, at):
            return None
        if above is None:
            return place + way * min(length * self._reach / rise, room)
        part = (self._reach - below[1]) / (above[1] - below[1])
        return float(place + way * (below[0] + (above[0] - below[0]) * part))

    def _further(self, length: float, below: tuple[float, float], above: tuple[float, float] | None) -> float:
        """Return how far to look next: in the middle of an interval where the profile is no line."""
        if above is None:
            return length * min(max(self._reach / max(below[1], 1e-9), 1.1), LONGER)
        part = (self._reach - below[1]) / (above[1] - below[1])
        part = 0.5 if above[1] > LONGER * self._reach else min(max(part, 0.1), 0.9)
        return below[0] + (above[0] - below[0]) * part

    def _tangent(self, number: int) -> Floats:
        """Return how all parameters move along the profile at its minimum, as the Jacobian has it."""
        jacobian = self._origin.jacobian
        others = np.arange(jacobian.shape[1]) != number
        tangent = np.ones(jacobian.shape[1])
        tangent[others] = np.linalg.lstsq(jacobian[:, others], -jacobian[:, number], rcond=1.0 / LOST)[0]
        return tangent

    def _settled(self, at: At, start: Floats, number: int, *, sure: bool = False) -> At:
        """Return the minimum of all other parameters, begun at a place with the Jacobian of another."""
        free = np.arange(len(start)) != number
        inside = self._problem.inside(start)
        residuals = at.residuals if start is at.place else self._problem.differences(inside, self._error)
        matters = MATTERS * self._reach**2 * self._variance
        begun = At(inside, residuals, at.jacobian)
        return descend(self._problem, begun, free, self._error, matters, sure=sure, wider=self._none)

    def _rise(self, at: At) -> float:
        above = at.squares - self._least
        if above < -LOWER * self._variance and not self._final:
            raise BetterFitError(at.place)
        return math.sqrt(max(above, 0.0) / self._variance)

    def _is_shown(self, number: int, at: At) -> bool:
        """Say whether an interval ends there because of the data, and not of the range of another parameter."""
        kept = _near_edge(at.place)
        kept[number] = False
        if not kept.any():
            return True
        everything = np.ones(len(at.place), dtype=bool)
        if self._freed is None:
            own = _near_edge(self._origin.place)
            freed = self._widened(self._origin, everything, own).squares if own.any() else self._least
            self._freed = min(self._least, freed)
        everything[number] = False
        left = self._widened(at, everything, kept).squares - self._freed
        return math.sqrt(max(left, 0.0) / self._variance) > STILL * self._reach

    def _widened(self, at: At, free: NDArray[np.bool_], wider: NDArray[np.bool_]) -> At:
        matters = MATTERS * self._reach**2 * self._variance
        return descend(self._problem, at, free, self._error, matters, sure=True, wider=wider)


def unit_spread(jacobian: Floats) -> Floats:
    """Return the standard error of each parameter for errors of size 1; infinite where the data say nothing."""
    size = np.linalg.norm(jacobian, axis=0)
    seen = size > 0.0
    half = np.full(jacobian.shape[1], np.inf)
    if not seen.any():
        return half
    _, singular, directions = np.linalg.svd(jacobian[:, seen] / size[seen], full_matrices=False)
    strong = singular > singular[0] / LOST
    within = (directions[strong] / singular[strong, None]) ** 2
    lost = (directions[~strong] ** 2).sum(axis=0) > 1e-6
    half[seen] = np.where(lost, np.inf, np.sqrt(within.sum(axis=0)) / size[seen])
    return half


def _near_edge(place: Floats) -> NDArray[np.bool_]:
    return np.asarray((place < 1.0 + EDGE) | (place > 2.0 - EDGE))
