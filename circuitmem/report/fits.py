"""The figure of a fit."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from circuitmem.files import write_bytes

if TYPE_CHECKING:
    from circuitmem.study.fit import Fit

__all__ = ["draw_fit"]


def draw_fit(path: str | Path, fit: Fit) -> Figure:
    """Draw data and fitted model, and what is left, into a file; returns the figure.

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
    figure = Figure(figsize=(10, 4), layout="constrained")
    both, left = figure.subplots(1, 2)
    branches = {"": np.ones(len(curve.x), dtype=bool)}
    if curve.branch is not None:
        branches = {" up": curve.branch, " down": ~curve.branch}
    for (name, some), colour in zip(branches.items(), ("#0072b2", "#e69f00"), strict=False):
        both.plot(curve.x[some], curve.measured[some], ".", color=colour, alpha=0.5, label=f"measured{name}")
        order = np.argsort(curve.x[some], kind="stable") if curve.branch is not None else slice(None)
        both.plot(curve.x[some][order], curve.fitted[some][order], color="black", linewidth=1.0)
        difference = (curve.measured - curve.fitted)[some] / fit.scale
        left.plot(curve.x[some], 100.0 * difference, ".", color=colour, alpha=0.5)
    both.plot([], [], color="black", linewidth=1.0, label=f"{fit.model} model")
    both.legend()
    both.set_ylabel(curve.y_label)
    left.set_ylabel("measured - model [% of the largest]")
    for axes in (both, left):
        axes.set_xlabel(curve.x_label)
        axes.grid(alpha=0.3)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120, format="png")
    write_bytes(path, picture.getvalue())
    return figure
