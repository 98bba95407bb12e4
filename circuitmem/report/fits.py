"""The figure of a fit."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from circuitmem.files import write_bytes
from circuitmem.report.palette import COLOURS
from circuitmem.report.prefixes import prefixed

if TYPE_CHECKING:
    from circuitmem.study.fit import Fit

__all__ = ["draw_fit"]


def draw_fit(path: str | Path, fit: Fit) -> Figure:
    """Draw data, fitted model and residuals into a file; returns the figure.

    Parameters
    ----------
    path : path
        The file, a PNG.
    fit : Fit
        From :func:`circuitmem.study.fit.fit_device`.

    Raises
    ------
    DataFileError
        If the file cannot be written.
    """
    curve = fit.curve
    # One above the other: in a column of 85 mm its letters are 7 points high, and it is sharp 1280 pixels wide.
    figure = Figure(figsize=(5.0, 5.2), layout="constrained")
    both, left = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    branches = {"": np.ones(len(curve.x), dtype=bool)}
    if curve.branch is not None:
        first, second = curve.branches
        branches = {f", {first}": curve.branch, f", {second}": ~curve.branch}
    x_factor, x_label = _unit(curve.x, curve.x_label)
    y_factor, y_label = _unit(curve.measured, curve.y_label)
    x, measured, fitted = x_factor * curve.x, y_factor * curve.measured, y_factor * curve.fitted
    group = np.zeros(len(x), dtype=np.intp) if curve.group is None else curve.group
    for (name, some), colour, line, marker in zip(branches.items(), COLOURS, ("-", "--"), "o^", strict=False):
        if not some.any():
            continue
        points: dict[str, Any] = {"color": colour, "marker": marker, "linestyle": "", "alpha": 0.4, "markersize": 3}
        both.plot(x[some], measured[some], **points, label=f"measured{name}")
        for number in np.unique(group[some]):
            own = some & (group == number)
            label = f"{fit.model} model{name}" if number == group[some].min() else None
            if curve.in_order:  # a line is broken where the other branch comes
                places, values = np.where(own, x, np.nan), np.where(own, fitted, np.nan)
            else:
                order = np.argsort(x[own], kind="stable")
                places, values = x[own][order], fitted[own][order]
            both.plot(places, values, color="black", linestyle=line, linewidth=1.0, label=label)
        difference = (curve.measured - curve.fitted)[some] / fit.scale
        left.plot(x[some], 100.0 * difference, **points)
    left.axhline(0.0, color="black", linewidth=0.8)
    # Beside the axes: within them it would lie on points.
    figure.legend(*both.get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=9)
    both.set_ylabel(y_label)
    left.set_ylabel("measured - model\n[% of the largest]")
    left.set_xlabel(x_label)
    for axes in (both, left):
        axes.grid(alpha=0.3)
        if curve.x_log:
            axes.set_xscale("log")
    picture = io.BytesIO()
    figure.savefig(picture, dpi=256, format="png")
    write_bytes(path, picture.getvalue())
    return figure


def _unit(values: NDArray[np.float64], label: str) -> tuple[float, str]:
    """Return the factor and the label with which values have a prefix before the unit in brackets; 1 without a unit."""
    if re.search(r"\[\w+\]$", label) is None:
        return 1.0, label
    largest = float(np.abs(values).max(initial=0.0))
    power, prefix = prefixed(largest, 0) if label.endswith("[s]") else prefixed(largest)
    return 10.0**-power, re.sub(r"\[(\w+)\]$", rf"[{prefix}\1]", label)
