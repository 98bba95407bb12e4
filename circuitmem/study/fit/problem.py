"""A problem of least squares: parameters in ranges, and the residuals of their values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, least_squares

from circuitmem.errors import CircuitmemError

__all__ = ["FINEST", "HOPELESS", "ROUGH", "Parameter", "Problem"]

Floats = NDArray[np.float64]

ROUGH, FINEST = 1e-6, 1e-9
"""Error that is allowed in the model, relative to the largest measured value: while searching, and for exact data."""

HOPELESS = 1e6
"""Residual where the model has no value; residuals are relative to the largest measured value."""

WIDER = 0.5
"""Part of their range by which parameters may leave it, where that is tried."""
INSIDE = 1e-9
"""Least distance of starts from the ends of the range, relative to it."""


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
        Scale in which it is searched: ``"log"`` for positive numbers, ``"logit"`` between 0 and 1.
    unit : str
        Its unit.
    sign : {1, -1}
        -1 if the specification wants it negative.
    least : float, optional
        Smallest magnitude that the specification allows, where that is more than the scale says.
    """

    name: str
    low: float
    high: float
    scale: Literal["log", "linear", "logit"] = "log"
    unit: str = ""
    sign: int = 1
    least: float | None = None

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

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest value that the scale and the specification allow, without any data."""
        first, last = {"log": (0.0, np.inf), "logit": (0.0, 1.0), "linear": (-np.inf, np.inf)}[self.scale]
        first = first if self.least is None else self.least
        return (first, last) if self.sign > 0 else (-last, 0.0 - first)


class Problem:
    """Parameters, searched from 1 to 2 each, and the residuals of their values.

    Parameters
    ----------
    parameters : list of Parameter
        Parameters to find, at least one.
    residual : callable
        Takes values by name, and the error that is allowed in the model; returns the differences between model and
        data, relative to the largest measured value.
    points : int
        Number of differences.
    """

    def __init__(
        self, parameters: list[Parameter], residual: Callable[[dict[str, float], float], Floats], points: int
    ) -> None:
        self.parameters, self.points, self._residual = parameters, points, residual
        self._low = np.array([float(p.into(p.sign * p.low)) for p in parameters])
        self._span = np.array([float(p.into(p.sign * p.high)) for p in parameters]) - self._low

    # A step relative to the place means the same everywhere between 1 and 2.
    def named(self, place: Floats) -> dict[str, float]:
        """Return the values at a place."""
        scaled = self._low + (place - 1.0) * self._span
        return {p.name: float(p.out(x)) for p, x in zip(self.parameters, scaled, strict=True)}

    def value(self, number: int, place: float) -> float:
        """Return the value of one parameter at its place."""
        return float(self.parameters[number].out(self._low[number] + (place - 1.0) * self._span[number]))

    def placed(self, values: dict[str, float]) -> Floats:
        """Return the place of values, moved into the ranges."""
        scaled = np.array([float(p.into(values[p.name])) for p in self.parameters])
        return self.inside(1.0 + (scaled - self._low) / self._span)

    @staticmethod
    def inside(place: Floats) -> Floats:
        """Return a place moved into the ranges."""
        return np.asarray(np.clip(place, 1.0 + INSIDE, 2.0 - INSIDE))

    def differences(self, place: Floats, error: float) -> Floats:
        """Return the residuals at a place; ``HOPELESS`` where the model has none."""
        try:
            found = self._residual(self.named(place), error)
        except CircuitmemError:  # numbers that no device has, or that no solver can follow
            return np.full(self.points, HOPELESS)
        return np.where(np.isfinite(found), found, HOPELESS)

    def bounds(self, wider: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Return the lowest and the highest place.

        Parameters
        ----------
        wider : (parameters,) ndarray of bool
            Parameters whose range is extended by half at each end, unless the specification allows no more.

        Returns
        -------
        low, high : (parameters,) ndarray
            Places.
        """
        closed = np.array([parameter.least is not None for parameter in self.parameters])
        low, high = 1.0 - WIDER * (wider & ~closed), 2.0 + WIDER * wider
        return np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)

    def search(self, start: Floats, *, error: float, precision: float, step: float, central: bool) -> OptimizeResult:
        """Search the nearest minimum of the sum of squares.

        Parameters
        ----------
        start : (parameters,) ndarray
            Where to begin.
        error : float
            Error that is allowed in the model.
        precision : float
            Relative change of the cost or the place at which it ends.
        step : float
            Relative step of the finite differences.
        central : bool
            Whether finite differences are central.

        Returns
        -------
        OptimizeResult
            As SciPy's ``least_squares`` gives it.
        """
        return least_squares(
            self.differences,
            self.inside(start),
            jac="3-point" if central else "2-point",
            diff_step=np.full(len(start), step),
            bounds=(1.0, 2.0),
            xtol=precision,
            ftol=precision,
            gtol=precision,
            args=(error,),
        )
