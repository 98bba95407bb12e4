"""Trajectories of cells under a pulse train, in several engines, as data to be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from circuitmem.engine import ProgrammingResult
from circuitmem.errors import ValidationError
from circuitmem.study.plots import Lines, Series

__all__ = ["moving_cells", "trajectory_lines", "trajectory_record"]

CellIndex = tuple[int, int]


def moving_cells(result: ProgrammingResult, count: int = 4) -> list[CellIndex]:
    """Return cells that show the effect of a train, from the one that moved most evenly down to one that hardly did.

    Cells that did not move (by more than 1e-4) are left out, unless there are no others.
    """
    moved = np.abs(result.state - result.trajectory[0]).ravel()
    order = np.argsort(-moved, kind="stable")
    order = order[: max(1, np.count_nonzero(moved > 1e-4))]
    chosen = dict.fromkeys(np.linspace(0, len(order) - 1, count).round().astype(int).tolist())
    columns = result.state.shape[1]
    return [divmod(int(order[k]), columns) for k in chosen]


def trajectory_lines(
    results: Mapping[str, ProgrammingResult], cells: Sequence[CellIndex] | None = None, title: str = "States in time"
) -> Lines:
    """Return the states of some cells over time, one curve for each cell and engine.

    Parameters
    ----------
    results : dict of ProgrammingResult
        By name, e.g. ``{"behavioral": ..., "SPICE": ...}``: of the same train, with the same ``samples``.
    cells : sequence of (row, column), optional
        Cells to show; a few that moved when left out.
    title : str
        Title of the plot.

    Raises
    ------
    ValidationError
        If there is no result, or a cell is not on the tile.
    """
    if not results:
        raise ValidationError("results", "must have at least one result")
    first = next(iter(results.values()))
    chosen = moving_cells(first) if cells is None else list(cells)
    for row, column in chosen:
        if not (0 <= row < first.state.shape[0] and 0 <= column < first.state.shape[1]):
            raise ValidationError("cells", f"must be within {first.state.shape}", (row, column))
    series = [
        Series(f"({row}, {column}) {name}", result.time, result.trajectory[:, row, column], style)
        for row, column in chosen
        for (name, result), style in zip(results.items(), _styles(len(results)), strict=True)
    ]
    return Lines(title, "time (s)", "state", tuple(series))


def trajectory_record(results: Mapping[str, ProgrammingResult], cells: Sequence[CellIndex]) -> dict[str, Any]:
    """Return ``{"time": [s], "cells": [{"row", "column", NAME: [state], ...}]}``, plain numbers of 9 digits."""

    def plain(values: Any) -> list[float]:
        return [float(f"{value:.9g}") for value in values]

    return {
        "time": plain(next(iter(results.values())).time),
        "cells": [
            {"row": row, "column": column}
            | {name: plain(result.trajectory[:, row, column]) for name, result in results.items()}
            for row, column in cells
        ],
    }


def _styles(count: int) -> list[Any]:
    """Return styles that can be told apart where curves lie on each other."""
    return ["line", "points", "dashed", "both"][:count] + ["line"] * max(0, count - 4)
