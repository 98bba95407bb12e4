"""The figure of a fit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from circuitmem.report.prefixes import prefixed
from circuitmem.report.stills import draw_into
from circuitmem.study.plots import Lines, Series

if TYPE_CHECKING:
    from circuitmem.study.fit import Curve, Fit

__all__ = ["draw_fit"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def draw_fit(path: str | Path, fit: Fit) -> Figure:
    """Draw data and fitted model, with the residuals below, into a file; returns the figure.

    Parameters
    ----------
    path : path
        The file, e.g. ``fit.png``, ``.svg`` or ``.pdf``.
    fit : Fit
        From :func:`circuitmem.study.fit.fit_device`.

    Raises
    ------
    ValidationError
        If the file has another ending.
    DataFileError
        If the file cannot be written.
    """
    curve = fit.curve
    branches = {"": np.ones(len(curve.x), dtype=bool)}
    if curve.branch is not None:
        first, second = curve.branches
        branches = {f", {first}": curve.branch, f", {second}": ~curve.branch}
    x_factor, x_label = _unit(curve.x, curve.x_label)
    y_factor, y_label = _unit(np.append(curve.measured, curve.fitted), curve.y_label)
    x, measured = x_factor * curve.x, y_factor * curve.measured
    points, models, rest = [], [], []
    for name, some in branches.items():
        if some.any():
            points.append(Series(f"measured{name}", x[some], measured[some], "points"))
            places, values = _joined(curve, some)
            models.append(Series(f"{fit.model} model{name}", x_factor * places, y_factor * values))
            left = 100.0 * (curve.measured - curve.fitted)[some] / fit.scale
            rest.append(Series(f"measured{name}", x[some], left, "points"))
    scale: Literal["", "x"] = "x" if curve.x_log else ""
    both = Lines(f"Data and {fit.model} model", x_label, y_label, (*points, *models), scale)
    over = Lines("Measured, less the model", x_label, "% of the largest", tuple(rest), scale)
    return draw_into(path, both, over, across=1)


def _joined(curve: Curve, some: Bools) -> tuple[Floats, Floats]:
    """Return the line of the model through a branch, with a gap wherever the next point is not joined to the last."""
    if curve.in_order:  # a gap where the other branch comes
        return np.where(some, curve.x, np.nan), np.where(some, curve.fitted, np.nan)
    group = np.zeros(len(curve.x), dtype=np.intp) if curve.group is None else curve.group
    places, values = [], []
    for number in np.unique(group[some]):
        own = some & (group == number)
        order = np.argsort(curve.x[own], kind="stable")
        places += [*curve.x[own][order], np.nan]
        values += [*curve.fitted[own][order], np.nan]
    return np.array(places[:-1]), np.array(values[:-1])


def _unit(values: Floats, label: str) -> tuple[float, str]:
    """Return a factor for values, and their label with the matching prefix before its unit; 1 if it has no unit."""
    unit = re.search(r" \[(\w+)\]$", label)
    if unit is None:
        return 1.0, label
    largest = float(np.abs(values).max(initial=0.0))
    power, prefix = prefixed(largest, 0) if unit[1] == "s" else prefixed(largest)
    return 10.0**-power, f"{label[: unit.start()]} ({prefix}{unit[1]})"
