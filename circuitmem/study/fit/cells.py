"""Measured cells: the target of each, and its reads over time."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuitmem.errors import DataFileError
from circuitmem.study.fit.table import Reading, read_table

__all__ = ["CellReads", "read_cells"]

Floats = NDArray[np.float64]

LEVELS = 32
"""Most different targets that count as levels; with more, cells are grouped by their targets."""
GROUPS = 12
"""Number of such groups."""


@dataclass(frozen=True)
class CellReads:
    """Reads of cells, sorted by cell and time.

    Attributes
    ----------
    first : (cells + 1,) ndarray of int
        Where the reads of each cell begin.
    time, conductance : (reads,) ndarray
        Time since the cell was programmed [s], and conductance that was read [S].
    target : (cells,) ndarray
        Target of each cell [S].
    level : (cells,) ndarray of int
        Group of similar targets to which each cell belongs.
    assumed : list of str
        Assumptions about the file, in words.
    """

    first: NDArray[np.intp]
    time: Floats
    conductance: Floats
    target: Floats
    level: NDArray[np.intp]
    assumed: list[str]


def read_cells(path: str | os.PathLike[str], reading: Reading | None = None) -> CellReads:
    """Read a table of cell, time, target and read.

    A cell that is programmed again counts as another one, known by its number, its target, or a time that starts again.

    Raises
    ------
    DataFileError
        If the file is not such a table.
    """
    table = read_table(path, ("cell", "time", "target", "read"), reading=reading)
    time, target, conductance = (table.numbers[name] for name in ("time", "target", "read"))
    names, assumed = table.words["cell"], table.assumed
    for what, values, least in (("time", time, 0.0), ("target", target, None), ("read", conductance, None)):
        bad = np.flatnonzero(values <= 0.0 if least is None else values < least)
        if bad.size:
            row, rule = int(bad[0]), "must be > 0" if least is None else "must be >= 0, since the cell was programmed"
            raise DataFileError(path, f"line {table.lines[row]}, column of {what}: {rule} (got {values[row]:g})")
    number: dict[str, int] = {}
    last: dict[str, tuple[float, float]] = {}
    cell, again = np.empty(len(names), dtype=np.intp), 0
    for row, name in enumerate(names):
        if name in last and (time[row] <= last[name][0] or target[row] != last[name][1]):
            number.pop(name)
            again += 1
        cell[row] = number.setdefault(name, len(number) + again)
        last[name] = time[row], target[row]
    if again:
        assumed.append(f"cells: {again} were programmed again, where time starts again or the target is another")
    order = np.lexsort((time, cell))
    cell, time, conductance = cell[order], time[order], conductance[order]
    first = np.concatenate([[0], np.flatnonzero(np.diff(cell)) + 1, [len(cell)]])
    own = target[order][first[:-1]]
    levels, level = np.unique(own, return_inverse=True)
    if len(levels) > LEVELS:
        ends = np.quantile(own, np.linspace(0.0, 1.0, GROUPS + 1)[1:-1])
        level = np.searchsorted(ends, own)
        assumed.append(f"targets: {len(levels)} different ones, put together in {GROUPS} groups")
    return CellReads(first, time, conductance, own, level.astype(np.intp), assumed)
