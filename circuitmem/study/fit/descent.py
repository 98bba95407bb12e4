"""The nearest minimum of a sum of squares, with few runs of the model, from a place and a Jacobian nearly right."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

from circuitmem.study.fit.problem import Problem

__all__ = ["At", "descend"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

STEP = 1e-3
"""Relative step of finite differences."""
FAR = 0.3
"""Moves of this length, relative to the range, are damped if they gain less than matters."""
GAIN = 0.25
"""Part of the predicted gain that a step must reach for its Jacobian to be kept."""
LESS = 8.0
"""Factor by which damping grows and falls."""
TRIES = 40
"""Largest number of steps."""


class At(NamedTuple):
    """A place of the problem.

    Attributes
    ----------
    place : (parameters,) ndarray
        Its coordinates.
    residuals : (points,) ndarray
        Residuals there.
    jacobian : (points, parameters) ndarray
        Derivatives of the residuals, perhaps approximate.
    """

    place: Floats
    residuals: Floats
    jacobian: Floats

    @property
    def squares(self) -> float:
        """Sum of squares."""
        return float(self.residuals @ self.residuals)


def descend(problem: Problem, at: At, free: Bools, error: float, matters: float, *, sure: bool, wider: Bools) -> At:
    """Go to the nearest minimum.

    Gauss-Newton steps use the given Jacobian, which is updated after each step (Broyden), and a new one when it fails;
    weak directions are damped.

    Parameters
    ----------
    problem : Problem
        The problem.
    at : At
        The start; its Jacobian may be that of a place nearby.
    free : (parameters,) ndarray of bool
        Which parameters are searched.
    error : float
        Error that is allowed in the model.
    matters : float
        Decrease of the sum of squares that matters: the search ends where less is predicted.
    sure : bool
        Whether that prediction must come from a new Jacobian.
    wider : (parameters,) ndarray of bool
        Parameters that may leave their range.

    Returns
    -------
    At
        Where it ends.
    """
    low, high = problem.bounds(wider)
    damping, least, is_new = matters / FAR**2, matters / FAR**2, False
    for _ in range(TRIES):
        step, promised = _step(at, free, low, high, least)
        if promised < matters:
            if is_new or not sure:
                break
            at, is_new = at._replace(jacobian=_derivatives(problem, at, free, error)), True
            continue
        if damping > least:
            step, promised = _step(at, free, low, high, damping)
        moved = at.place + step
        found = problem.differences(moved, error)
        gained = at.squares - float(found @ found)
        if gained >= GAIN * promised:
            damping = max(damping / LESS, least)
        elif not is_new:
            at, is_new = at._replace(jacobian=_derivatives(problem, at, free, error)), True
            continue
        else:
            damping *= LESS
        if gained > 0.0:
            right = np.outer(found - at.residuals - at.jacobian @ step, step / (step @ step))
            at, is_new = At(moved, found, at.jacobian + right), False
    return at


def _step(at: At, free: Bools, low: Floats, high: Floats, damping: float) -> tuple[Floats, float]:
    """Return the step to the minimum of the linear model within the ranges, and the decrease that it predicts."""
    own = at.jacobian[:, free]
    matrix = np.vstack([own, np.sqrt(damping) * np.eye(own.shape[1])])
    wanted = np.concatenate([-at.residuals, np.zeros(own.shape[1])])
    least, most = low[free] - at.place[free], high[free] - at.place[free]
    some = np.linalg.lstsq(matrix, wanted, rcond=None)[0]
    if (some < least).any() or (some > most).any():
        some = lsq_linear(matrix, wanted, (np.minimum(least, -1e-15), np.maximum(most, 1e-15)), method="bvls").x
        some = np.clip(some, least, most)
    step = np.zeros(len(at.place))
    step[free] = some
    left = at.residuals + own @ some
    return step, at.squares - float(left @ left)


def _derivatives(problem: Problem, at: At, free: Bools, error: float) -> Floats:
    """Return the Jacobian at a place, by finite differences with steps into the range."""
    jacobian = at.jacobian.copy()
    for k in np.flatnonzero(free):
        step = STEP if at.place[k] < 1.5 else -STEP
        moved = at.place.copy()
        moved[k] += step
        jacobian[:, k] = (problem.differences(moved, error) - at.residuals) / step
    return jacobian
