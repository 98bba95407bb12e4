"""Three pictures of a run for a quick look, taken from the plots of its page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from circuitmem.errors import DataFileError
from circuitmem.files import write_bytes, write_text
from circuitmem.records import read_config
from circuitmem.report.bottleneck import bottleneck_table
from circuitmem.report.run_page import load_run_record
from circuitmem.report.run_plots import accuracy_plots, cost_plots, map_plots
from circuitmem.report.stills import draw, png
from circuitmem.study.plots import HeatMap, Plot, Views

__all__ = ["draw_run"]


def draw_run(folder: str | Path) -> list[Path]:
    """Draw accuracy, one tile and the bottleneck of a run whose methods are finished; return the paths.

    Its page has the same plots, and more of them (:func:`circuitmem.report.draw_run_page`). The tile is
    the one on the page that training changed most.

    Parameters
    ----------
    folder : path
        The run; its audit may still be under way.

    Returns
    -------
    list of path
        ``accuracy.png``, ``tile.png`` and, unless the run is of a version that kept no accounts, ``bottleneck.png``;
        ``bottleneck.txt`` stands beside it.

    Raises
    ------
    DataFileError
        If the folder is not such a run, or a figure cannot be written.
    """
    path = Path(folder)
    record = load_run_record(path)
    methods = record["methods"]
    if record["running"] or not methods or list(methods) != list(read_config(path).methods):
        raise DataFileError(path, "is not a finished run: some of its methods have no results")
    figures = {
        "accuracy.png": accuracy_plots(record),
        "tile.png": _one_tile(map_plots(path, methods)),
        "bottleneck.png": cost_plots(methods),
    }
    drawn = {name: plots for name, plots in figures.items() if plots}
    for name, plots in drawn.items():
        write_bytes(path / name, png(draw([plot.as_dict() for plot in plots])))
    if "bottleneck.png" in drawn:
        write_text(path / "bottleneck.txt", bottleneck_table(methods))
    return [path / name for name in drawn]


def _one_tile(maps: list[Plot]) -> list[Plot]:
    """Return, from each map, the tile that training changed most (the first of several)."""
    views = [plot for plot in maps if isinstance(plot, Views)]
    if not views:
        return []
    changes = [
        own.diverging * np.abs(np.asarray(own.values)).sum() for own in views[-1].options if isinstance(own, HeatMap)
    ]
    shown = int(np.argmax(changes))  # the first where nothing was trained
    kinds = [(view.label.partition(",")[0], view.options[shown]) for view in views]
    return [replace(own, title=f"{kind}, {own.title}") for kind, own in kinds]
