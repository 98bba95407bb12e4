"""Profile of a sum of squares along each parameter, from one minimum to where it has risen too far."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from circuitmem.study.fit.descent import At, descend
from circuitmem.study.fit.problem import Problem

__all__ = ["BetterFitError", "Ends", "Profile", "unit_spread"]

Floats = NDArray[np.float64]
Ends = tuple[float | None, float | None]
"""Ends of an interval; None where it is open."""

LOST = 1e10
"""Condition number of the Jacobian beyond which some parameters are not determined by the data at all."""
FIRST = 0.1
"""Longest first step, relative to the range searched."""
LONGER = 3.0
"""Largest ratio of a step to the one before."""
NEAR = 0.05
"""From a point whose rise is this near to the wanted one, relative to it, a straight line leads to the end."""
STEPS = 14
"""Largest number of steps to an end."""
SHORT = 1e-6
"""Steps shorter than this, relative to the range searched, count as none."""
EDGE = 5e-3
"""Another parameter this near to an end of its range, relative to the range, may be held there by that end only."""
STILL = 0.8
"""Part of the rise that must remain when such parameters may leave their ranges, for the data to end an interval."""
LOWER = 0.1
"""A sum of squares that is lower by this many variances is a better fit."""
BEYOND = 0.05
"""Distance beyond an end, relative to its distance from the fit, that is tried from other known places."""
TRIED, ROUNDS = 2, 3
"""Largest number of such places, and largest number of rounds while ends still move."""
MATTERS = 0.005
"""Decrease of the sum of squares that matters, relative to the rise at which an interval ends."""


class BetterFitError(Exception):
    """A profile found a smaller sum of squares than that of the fit.

    Parameters
    ----------
    problem : Problem
        The problem.
    place : ndarray
        Where its sum of squares is smaller.
    """

    def __init__(self, problem: Problem, place: Floats) -> None:
        super().__init__("a better fit")
        self.problem, self.place = problem, place


class Profile:
    """The least sum of squares along one parameter after the other.

    Parameters
    ----------
    problem : Problem
        The problem that was fitted.
    origin : At
        A minimum.
    least : float
        Sum of squares of the fit.
    variance : float
        Variance of its residuals.
    reach : float
        Square root of the rise above it at which an interval ends, in variances.
    error : float
        Error that is allowed in the model.
    final : bool
        Whether to ignore a better fit that is found on the way.
    seen : list of (int, At)
        Places visited, each with the parameter whose profile led there; profiles of other minima may share it.
    """

    def __init__(
        self,
        problem: Problem,
        origin: At,
        least: float,
        variance: float,
        reach: float,
        error: float,
        final: bool,
        seen: list[tuple[int, At]],
    ) -> None:
        self._problem, self._origin, self._least = problem, origin, least
        self._variance, self._reach, self._error, self._final = variance, reach, error, final
        self._half = reach * math.sqrt(variance) * unit_spread(origin.jacobian)
        self._none = np.zeros(len(origin.place), dtype=bool)
        self._freed: float | None = None
        self._seen = seen

    def ends(self, number: int) -> tuple[float | None, float | None]:
        """Return the places where the interval of a parameter ends, None where it does not end within the range.

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
        return self._end(number, -1.0, self._origin), self._end(number, 1.0, self._origin)

    def widened(self, ends: list[Ends]) -> list[Ends]:
        """Return intervals that include places visited by profiles of other parameters, and where these lead.

        A profile may end in a side valley, because all other parameters are searched from where the last step left
        them. Places on the profiles of other parameters are in other valleys, and their Jacobians predict whether the
        sum of squares is less beyond an end that was found.

        Parameters
        ----------
        ends : list of (float or None, float or None)
            Places where the intervals of all parameters end.

        Returns
        -------
        list of (float or None, float or None)
            The same, or further apart.

        Raises
        ------
        BetterFitError
            If there is a better fit, unless it is to be left alone.
        """
        found = [list(each) for each in ends]
        for _ in range(ROUNDS):
            before = [list(each) for each in found]
            for number, own in enumerate(found):
                for side, way in enumerate((-1.0, 1.0)):
                    end = own[side]
                    if end is not None:
                        own[side] = self._further_end(number, way, end)
            if found == before:
                break
        return [(low, high) for low, high in found]

    def _further_end(self, number: int, way: float, end: float) -> float | None:
        """Return where an interval ends if it is approached from known places."""
        distance = way * (end - float(self._origin.place[number]))
        beyond = end + way * max(BEYOND * distance, 2.0 * SHORT)
        if not 1.0 < beyond < 2.0:
            return end
        known = [at for whose, at in self._seen if whose != number and self._rise(at) < self._reach]
        furthest = max(known, key=lambda at: way * float(at.place[number]), default=self._origin)
        if way * (float(furthest.place[number]) - end) > SHORT:
            return self._end(number, way, furthest)
        promising = []
        for at in known:
            start = at.place + (beyond - at.place[number]) * _tangent(at.jacobian, number)
            left = at.residuals + at.jacobian @ (start - at.place)
            promised = float(left @ left) - self._least
            if promised < self._reach**2 * self._variance:
                promising.append((promised, at, start))
        promising.sort(key=lambda each: each[0])
        for _, at, start in promising[:TRIED]:
            start[number] = beyond
            reached = self._settled(at, start, number)
            if self._rise(reached) < self._reach:
                return self._end(number, way, reached)
        return end

    def _end(self, number: int, way: float, begun: At) -> float | None:
        place = float(begun.place[number])
        room = 2.0 - place if way > 0.0 else place - 1.0
        if room < SHORT:
            return None
        first = rise = self._rise(begun)
        length, at = min(FIRST, float(self._half[number]) * (1.0 - first / self._reach), room), begun
        start = begun.place + length * way * _tangent(begun.jacobian, number)
        below, above = (0.0, first), None  # how far, and how high the profile is there
        for _ in range(STEPS):
            if length > room:
                start, length = begun.place + (start - begun.place) * room / length, room
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
            further = self._further(length, first, below, above)
            start = begun.place + (at.place - begun.place) * further / length
            length = further
        if not self._is_shown(number, at):
            return None
        if above is None:
            return place + way * min(length * (self._reach - first) / max(rise - first, 1e-9), room)
        part = (self._reach - below[1]) / (above[1] - below[1])
        return float(place + way * (below[0] + (above[0] - below[0]) * part))

    def _further(
        self, length: float, first: float, below: tuple[float, float], above: tuple[float, float] | None
    ) -> float:
        """Return the next distance to try: by a straight line, or by halving where the profile rose far too high."""
        if above is None:
            return length * min(max((self._reach - first) / max(below[1] - first, 1e-9), 1.1), LONGER)
        part = (self._reach - below[1]) / (above[1] - below[1])
        part = 0.5 if above[1] > LONGER * self._reach else min(max(part, 0.1), 0.9)
        return below[0] + (above[0] - below[0]) * part

    def _settled(self, at: At, start: Floats, number: int, *, sure: bool = False) -> At:
        """Return the minimum over all other parameters, from a start with the Jacobian of another place."""
        free = np.arange(len(start)) != number
        inside = self._problem.inside(start)
        residuals = at.residuals if start is at.place else self._problem.differences(inside, self._error)
        matters = MATTERS * self._reach**2 * self._variance
        begun = At(inside, residuals, at.jacobian)
        found = descend(self._problem, begun, free, self._error, matters, sure=sure, wider=self._none)
        self._seen.append((number, found))
        return found

    def _rise(self, at: At) -> float:
        above = at.squares - self._least
        if above < -LOWER * self._variance and not self._final:
            raise BetterFitError(self._problem, at.place)
        return math.sqrt(max(above, 0.0) / self._variance)

    def _is_shown(self, number: int, at: At) -> bool:
        """Say whether an interval ends there because of the data, and not because of the range of another parameter."""
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


def _tangent(jacobian: Floats, number: int) -> Floats:
    """Return how all parameters move along the profile of one, according to the Jacobian."""
    others = np.arange(jacobian.shape[1]) != number
    tangent = np.ones(jacobian.shape[1])
    tangent[others] = np.linalg.lstsq(jacobian[:, others], -jacobian[:, number], rcond=1.0 / LOST)[0]
    return tangent


def _near_edge(place: Floats) -> NDArray[np.bool_]:
    return np.asarray((place < 1.0 + EDGE) | (place > 2.0 - EDGE))
