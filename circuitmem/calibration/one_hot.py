"""Conductances of single cells, and cells that do not follow pulses, from reads that drive one word line at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.control import Priority, Process
from circuitmem.network import HardwareLayer

__all__ = ["COARSE_FROM", "find_stuck", "read_conductances"]

Floats = NDArray[np.float64]

COARSE = 5.0
"""Full scale of a coarse read, as a multiple of the highest conductance that a cell can be programmed to."""

COARSE_FROM = 1.1
"""The coarse read of a cell is used where it exceeds this multiple of the highest conductance."""

PROBE = 0.3
"""Cells are probed at the bottom of the working range and at this fraction of it: with a much larger one, the current
of a row would leave little voltage at the far end of a large tile."""

FOLLOWS = 0.5
"""A cell is stuck if it follows less than this fraction of the change that its row and column show."""


def read_conductances(layer: HardwareLayer, *, whole: bool = False) -> Process:
    """Read every cell of the layer's tiles, row by row; returns (tiles, rows, columns) S as seen at the columns.

    On a gated chip only the cells with a weight are read, and the others are reported at their intended conductance,
    unless the ``whole`` tiles are to be read.

    Each cell is read at two gains, because stuck cells can conduct several times as much as others; the response of the
    columns to an input of zeros is subtracted. The voltage drop of the wires is not corrected. It costs 2·(rows + 1)
    reads a tile.
    """
    spec = layer.chip.spec
    full_scale, nothing = spec.converters.dac.full_scale, np.zeros((1, layer.partition.rows), dtype=np.int64)
    codes = [np.vstack([each, nothing]) for each in layer.each_row(whole=whole)]
    span = spec.converters.adc.maximum - spec.converters.adc.minimum
    found: list[Floats] = []
    for range_ in (1.0, COARSE):
        largest = range_ * layer.mapping.maximum * full_scale * spec.converters.tia.transimpedance
        gain = 0.8 * span / largest
        currents = yield from layer.measure(codes, 1, "one_hot_read", Priority.NORMAL, gain, whole=whole)
        found.append((currents[0][:, :-1] - currents[0][:, -1:]) / full_scale)
    fine, coarse = found
    yield from layer.chip.compute(3 * fine.size)
    seen = np.where(coarse > COARSE_FROM * layer.mapping.maximum, coarse, fine)
    return layer.of_cells(seen, [layer.intended(index) for index in range(len(layer.units))], whole=whole)


def find_stuck(layer: HardwareLayer) -> Process:
    """Find cells that do not follow pulses; returns their conductances [S], nan for others, (tiles, rows, columns).

    All cells are programmed to two levels and read at both (4·(rows + 1) reads a tile). The mean change of a row and of
    a column shows how their wires and converters attenuate a change; a cell that follows much less than that is stuck.
    Afterwards the cells are at the higher level.

    Limits: a cell whose conductance is low by exactly the factor by which its row's driver is weak passes for a working
    one. In a row or column that is dead as a whole the cells cannot be told apart: all of them count as stuck at the
    conductance that was read.
    """
    low, high = layer.mapping.minimum, layer.mapping.minimum + PROBE * (layer.mapping.maximum - layer.mapping.minimum)
    cell = layer.chip.spec.tile.cell
    reads = []
    for level in (low, high):
        wanted = cell.memristor_conductance(np.full(layer.chip.spec.tile.shape, level))
        each = [layer.of_own_cells(wanted, index) for index in range(len(layer.units))]
        yield from layer.chip.program_all(layer.units, each, 0.0)
        reads.append((yield from read_conductances(layer, whole=True)))
    yield from layer.chip.compute(16 * reads[0].size)
    if not layer.shares_tiles:
        return _stuck(reads[0], reads[1], high - low)
    found = np.full(reads[0].shape, np.nan)
    for index, place in enumerate(layer.placements):
        before, after = (each[index][place.cells][None] for each in reads)
        found[index][place.cells] = _stuck(before, after, high - low)[0]
    return found


def _stuck(before: Floats, after: Floats, span: float) -> Floats:
    """Return conductances of cells that did not follow a change of ``span``, nan for others, (tiles, rows, columns) S.

    ``before`` and ``after`` are the reads before and after the change.
    """
    change = after - before
    # Compare first with the upper quartile, which a fifth of stuck cells does not move, then with cells that follow.
    expected = _expected(*(np.quantile(change, 0.75, axis=axis, keepdims=True) for axis in ((1, 2), 2, 1)))
    follows = change > FOLLOWS * expected
    expected = _expected(*(_mean(change, follows, axis) for axis in ((1, 2), 2, 1)))
    # In rows and columns that do not respond at all there is nothing to compare with.
    dead = expected < 0.05 * span
    seen = np.where(dead, 1.0, expected / span)
    stuck = dead | (change < FOLLOWS * expected)
    return np.where(stuck, np.maximum(0.5 * (before + after) / seen, 0.0), np.nan)


def _expected(whole: Floats, by_row: Floats, by_column: Floats) -> Floats:
    """Return the expected change of a cell that follows, from the changes of its tile, row and column."""
    return np.maximum(by_row, 0.0) * np.maximum(by_column, 0.0) / np.maximum(whole, 1e-12)


def _mean(change: Floats, follows: NDArray[np.bool_], axis: int | tuple[int, ...]) -> Floats:
    """Return the mean change of the cells that follow, 0 where none does."""
    count = follows.sum(axis=axis, keepdims=True)
    return np.asarray(np.where(follows, change, 0.0).sum(axis=axis, keepdims=True) / np.maximum(count, 1))
