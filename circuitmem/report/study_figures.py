"""Figures of a study, drawn from its table and its saved maps; nothing is computed again."""

from __future__ import annotations

from pathlib import Path

from circuitmem.errors import DataFileError
from circuitmem.files import write_bytes
from circuitmem.report.stills import draw, draw_together, pdf, png
from circuitmem.report.study_plots import panels_of, saved_map_plots
from circuitmem.study.spec import Study
from circuitmem.study.store import load_table

__all__ = ["draw_study"]

DOTS, DOTS_OF_MAPS = 200.0, 90.0
"""Dots per inch of the PNG of curves, and of maps, which are many and large."""
MAPS = 4
"""Plots of each saved map, side by side."""


def draw_study(study: Study, folder: Path) -> list[Path]:
    """Draw every figure that a study declares into ``figures/`` of a folder with its results.

    Each is saved as PNG for pages, with panels side by side. A figure of curves is also saved as PDF for papers, 85 mm
    wide, with panels one below the other and no letter below 7 points.

    Parameters
    ----------
    study : Study
        What was declared.
    folder : path
        The folder with ``results.parquet``.

    Returns
    -------
    list of path
        The PNG files.

    Raises
    ------
    DataFileError
        If the results are missing, are not what a figure needs, or were written for another declaration.
    """
    rows, _ = load_table(folder, study)
    target = folder / "figures"
    try:
        target.mkdir(exist_ok=True)
    except OSError as error:
        raise DataFileError(target, f"cannot be made: {error.strerror}") from None
    paths = []
    for name, spec in study.spec.figures.items():
        if spec.kind == "maps":
            maps = draw([plot.as_dict() for plot in saved_map_plots(study, folder)], across=MAPS)
            write_bytes(target / f"{name}.png", png(maps, DOTS_OF_MAPS))
        else:
            panels = panels_of(study, spec, rows)
            write_bytes(target / f"{name}.png", png(draw_together(*panels), DOTS))
            write_bytes(target / f"{name}.pdf", pdf(draw_together(*panels, across=1)))
        paths.append(target / f"{name}.png")
    return paths
