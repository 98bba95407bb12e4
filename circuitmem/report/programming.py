"""Figures of programming: states in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from circuitmem.engine import ProgrammingResult
from circuitmem.report.stills import draw_into
from circuitmem.study.trajectories import trajectory_lines

__all__ = ["draw_trajectories"]


def draw_trajectories(
    path: str | Path,
    results: Mapping[str, ProgrammingResult],
    cells: Sequence[tuple[int, int]] | None = None,
    title: str = "States in time",
) -> Figure:
    """Draw the states of some cells over time, from all engines in one figure, into a file; returns the figure.

    Parameters
    ----------
    path : path
        The file, e.g. ``states.png``, ``.svg`` or ``.pdf``.
    results : dict of ProgrammingResult
        By name, e.g. ``{"behavioral": ..., "SPICE": ...}``: of one train, computed with the same ``samples``.
    cells : sequence of (row, column), optional
        Cells to show; a few that moved when left out.
    title : str
        Title of the figure.

    Raises
    ------
    ValidationError
        If there is no result, a cell is not on the tile, or the file has another ending.
    DataFileError
        If the file cannot be written.
    """
    return draw_into(path, trajectory_lines(results, cells, title))
