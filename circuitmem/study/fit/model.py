"""Result of a fit, for any model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray

from circuitmem.config import Spec
from circuitmem.study.fit.estimate import Estimate
from circuitmem.study.fit.intervals import is_weak
from circuitmem.study.fit.problem import Parameter

__all__ = ["Curve", "Fit"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Measured values and those of the fitted model, to be drawn.

    Attributes
    ----------
    x_label, y_label : str
        Labels of the axes, with their SI unit in brackets.
    x, measured, fitted : (points,) ndarray
        Positions on the x axis, measured values, and values of the model.
    branch : (points,) ndarray of bool, optional
        Which of two branches, drawn separately, each point belongs to.
    branches : (str, str)
        Names of the branches, that of True first.
    group : (points,) ndarray of int, optional
        Curve of each point; different curves are not joined.
    in_order : bool
        Whether points are joined in the order in which they are given, and not by their x.
    x_log : bool
        Whether x has a logarithmic scale.
    """

    x_label: str
    x: Floats
    y_label: str
    measured: Floats
    fitted: Floats
    branch: NDArray[np.bool_] | None = None
    branches: tuple[str, str] = ("up", "down")
    group: NDArray[np.intp] | None = None
    in_order: bool = False
    x_log: bool = False


@dataclass(frozen=True)
class Fit:
    """A device with the parameters that fit best.

    Attributes
    ----------
    model : str
        One of :data:`.fit.MODELS`.
    spec : Spec
        The device.
    table : str
        TOML table to which it belongs.
    parameters : list of Parameter
        Parameters that were searched.
    estimate : Estimate
        Values and intervals that were found.
    derived : dict
        Parameters that follow from the data in another way, or were held.
    assumed : list of str
        Assumptions made when the file was read.
    notes : list of str
        What a user of the device needs to know.
    polarity : {1, -1}, optional
        Sign of the voltage that raises the measured device's conductance.
    beside : dict
        Further numbers of the device's table, which were chosen and not searched.
    around : dict
        Further tables of the chip, which must match the device.
    curve : Curve
        Data and model.
    scale : float
        Largest measured magnitude: what residuals are relative to.
    """

    model: str
    spec: Spec
    table: str
    parameters: list[Parameter]
    estimate: Estimate
    curve: Curve
    scale: float
    derived: dict[str, float] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    polarity: int | None = None
    beside: dict[str, Any] = field(default_factory=dict)
    around: dict[str, Any] = field(default_factory=dict)

    @property
    def residual(self) -> float:
        """Root mean square of the residuals, relative to the largest measured magnitude."""
        return float(np.sqrt(np.mean(self.estimate.residuals**2)))

    @property
    def weak(self) -> list[str]:
        """Names of parameters that the data hardly determine: without an interval, or with an open or very wide one.

        Such parameters can compensate one another, and one of them should be held.
        """
        intervals = self.estimate.intervals
        return [parameter.name for parameter in self.parameters if is_weak(parameter, intervals[parameter.name])]

    def ends(self, parameter: Parameter) -> tuple[float | None, float | None]:
        """Return the ends of a parameter's interval, None for one that the data do not determine.

        Parameters
        ----------
        parameter : Parameter
            One of :attr:`parameters`.

        Returns
        -------
        low, high : float or None
            None also at the limit of the parameter's scale or specification (0, infinity, 1), which is not from data.
        """
        interval = self.estimate.intervals[parameter.name]
        if interval is None:
            return None, None
        low, high = (None if end == limit else end for end, limit in zip(interval, parameter.limits, strict=True))
        return low, high

    def toml(self) -> str:
        """Return the fit as a table to be pasted into a TOML file, without what the data cannot determine."""
        every: dict[str, Any] = self.spec.model_dump()
        found = {"kind", *self.estimate.values, *self.derived}
        tables: dict[str, Any] = {name: value for name, value in every.items() if name in found} | self.beside
        *outer, own = self.table.split(".")
        tables = {own: tables, **self.around}
        for name in reversed(outer):
            tables = {name: tables}
        return "".join(f"# {note}\n" for note in self.notes) + tomli_w.dumps(tables)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        rows = []
        for parameter in self.parameters:
            low, high = self.ends(parameter)
            rows.append(
                {
                    "name": parameter.name,
                    "value": self.estimate.values[parameter.name],
                    "low": low,
                    "high": high,
                    "unit": parameter.unit,
                    "at_bound": parameter.name in self.estimate.at_bound,
                }
            )
        return {
            "model": self.model,
            "parameters": rows,
            "derived": dict(self.derived),
            "points": len(self.curve.x),
            "relative_residual": self.residual,
            "weak": self.weak,
            "starts": self.estimate.starts,
            "agreeing_starts": self.estimate.agreeing,
            "polarity": self.polarity,
            "assumed": list(self.assumed),
            "notes": list(self.notes),
        }
