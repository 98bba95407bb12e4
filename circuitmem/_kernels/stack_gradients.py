r"""Gradients of a layer's weights through the lines of its tiles in one call: the face of the kernel, and its twin.

**What a cell behind lines does.** Each line is treated on its own, loaded by its cells to ground. With :math:`a_{ij}`
the share of its driver's voltage that reaches cell (i, j) and :math:`b_{ij}` the share of its current that reaches the
sense amplifier, a column sees :math:`a_{ij} c_{ij} b_{ij}` of the cell's conductance. The derivative by the conductance
:math:`c_{kl}` has a term for the cell itself, and one for its load on each of its two lines,

.. math:: a_{kl} b_{kl}\, s_{kl} - b_{kl}\, (A_b^{-1} c\, a\, s)_{kl} - a_{kl}\, (A_w^{-1} c\, b\, s)_{kl},

where s are the derivatives by what columns see, and :math:`A_w, A_b` the tridiagonal matrices of the loaded lines.

**Elimination along a line.** With segments :math:`w_k`, the conductance of its cell and of the line before it that node
k sees is

.. math:: y_k = c_k + \rho_k\, y_{k-1}, \qquad \rho_k = \frac{w_k}{y_{k-1} + w_k},

and its pivot :math:`y_k + w_{k+1}` is a sum of conductances. It is never 0 on a line that ends somewhere, so nothing is
pivoted. Nothing is subtracted, so lines that conduct next to nothing keep their digits. The three terms above are
subtracted only once, at the end, where they are of the size of the result.

The kernel is compiled without fused multiplications, and gives the same bits as the code here, on every instruction
set.

**How far off.** A pivot is right to some 4 n roundings on a line of n cells, because an error of :math:`y_{k-1}` only
shrinks on its way; a voltage, a product of up to n quotients of pivots, is right to at most some 4 n². Subtracting the
three terms above loses what they have in common, and no more.

**Cost.** Two recursions over the cells of all tiles per turn to load the lines, and two for the gradient.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from circuitmem._kernels.select import load_kernel, thread_count
from circuitmem._kernels.stacks import expect
from circuitmem._kernels.tiling import Tiling

__all__ = ["LineSegments", "LoadedLines", "load_lines", "through_lines", "weight_gradient"]

Floats = NDArray[np.float64]
_compiled = load_kernel("backward").module


class LineSegments(NamedTuple):
    """The segments of the lines, the same for all tiles; 0 S where there is no second end."""

    word: Floats
    """Along word lines, with their ends, (columns + 1, rows) S."""
    bit: Floats
    """Along bit lines, with their ends, (rows + 1, columns) S."""


class LoadedLines(NamedTuple):
    """Lines loaded by their cells, each line on its own, all arrays in double or all in single precision.

    Numbers of single precision are widened when they are used: they take half the time to come from memory.
    """

    cells: Floats
    """Conductances of the cells, (tiles, rows, columns) S."""
    word_end: Floats
    """Voltage of the word line at each cell for 1 V at its ends, (tiles, rows, columns)."""
    bit_end: Floats
    """Voltage of the bit line, likewise, (tiles, rows, columns)."""
    word_pivot: Floats
    """Pivots of the elimination along word lines, (tiles, columns, rows) S."""
    word_ratio: Floats
    """Ratios of the elimination along word lines, (tiles, columns, rows)."""
    bit_pivot: Floats
    """Pivots along bit lines, (tiles, rows, columns) S."""
    bit_ratio: Floats
    """Ratios along bit lines, (tiles, rows, columns)."""

    def kept_as(self, dtype: DTypeLike) -> LoadedLines:
        """Return the same lines with arrays of another precision."""
        return LoadedLines(*(each.astype(dtype) for each in self))


def load_lines(
    measured: Floats, lines: LineSegments, *, turns: int, least_reach: float, threads: int | None = None
) -> LoadedLines:
    """Find the conductances of cells from what their columns see of them, and load the lines with these cells.

    Parameters
    ----------
    measured : (tiles, rows, columns) ndarray
        What columns see of each cell, one row driven at a time [S]; negative values count as 0.
    lines : LineSegments
        The lines of each tile.
    turns : int
        Turns of the fixed-point iteration, >= 0.
    least_reach : float
        Upper limit of a cell: it conducts at most the inverse of this times what its column sees, > 0.
    threads : int, optional
        Threads to use (see :func:`~circuitmem._kernels.select.thread_count`); the bits do not depend on it, nor on
        the instruction set.

    Raises
    ------
    ValidationError
        If shapes disagree.
    """
    given = np.ascontiguousarray(measured, dtype=np.float64)
    expect("lines", lines.word, (given.shape[2] + 1, given.shape[1]))
    expect("lines", lines.bit, (given.shape[1] + 1, given.shape[2]))
    return LoadedLines(*_load_lines(given, *lines, turns, least_reach, thread_count(threads)))


def weight_gradient(
    outer: Floats,
    tiling: Tiling,
    scale: Floats,
    weights: Floats,
    *,
    stuck: Floats | None = None,
    prefactor: Floats | None = None,
    lines: tuple[LineSegments, LoadedLines] | None = None,
    threads: int | None = None,
) -> Floats:
    """Return the gradients of weights, (inputs, outputs), through the devices that they move.

    The sign of a weight says which device of its pair it moves; if one device is stuck, it moves the other. At a weight
    of 0 either may move, and the mean counts.

    Parameters
    ----------
    outer : (inputs, outputs) ndarray
        Derivatives by the weights of a map without wires: outer products of inputs and errors.
    tiling : Tiling
        Where the weights lie.
    scale : (groups, tiles, columns) ndarray
        Factor that the correction applies to the current of each column, for each group of word lines.
    weights : (inputs, outputs) ndarray
        Weights towards which the tiles are programmed.
    stuck : (tiles, rows, columns) ndarray, optional
        nan for cells that follow pulses, another number for those that do not.
    prefactor : (tiles, rows, columns) ndarray, optional
        Factors of the wanted conductances.
    lines : tuple of LineSegments and LoadedLines, optional
        The wires; ideal when left out.
    threads : int, optional
        Threads to use; the bits do not depend on it, nor on the instruction set.

    Raises
    ------
    ValidationError
        If shapes disagree.
    """
    (tiles, rows), columns = tiling.inputs.shape, scale.shape[2]
    expect("outer", outer, tiling.shape)
    expect("weights", weights, tiling.shape)
    expect("outputs", tiling.outputs, (tiles, columns // 2))
    expect("scale", scale, (scale.shape[0], tiles, columns))
    for name, each in (("stuck", stuck), ("prefactor", prefactor)):
        if each is not None:
            expect(name, each, (tiles, rows, columns))
    along, loaded = (None, None) if lines is None else lines
    if loaded is not None:
        expect("lines", loaded.cells, (tiles, rows, columns))
    ready = (None if each is None else np.ascontiguousarray(each, dtype=np.float64) for each in (stuck, prefactor))
    return np.asarray(
        _weight_gradient(
            np.ascontiguousarray(outer, dtype=np.float64),
            tiling.inputs,
            tiling.outputs,
            np.ascontiguousarray(scale, dtype=np.float64),
            np.ascontiguousarray(weights, dtype=np.float64),
            *ready,
            loaded,
            *((None, None) if along is None else along),
            thread_count(threads),
        )
    )


def through_lines(slopes: Floats, lines: LineSegments, loaded: LoadedLines) -> Floats:
    """Turn derivatives by what columns see into derivatives by cells behind lines, both (tiles, rows, columns)."""
    loaded = LoadedLines(*(np.asarray(each, dtype=np.float64) for each in loaded))
    reach = loaded.word_end * loaded.bit_end
    bit = _solve(loaded.cells * loaded.word_end * slopes, lines.bit, loaded.bit_pivot, loaded.bit_ratio)
    driven = _turned(loaded.cells * loaded.bit_end * slopes)
    word = _turned(_solve(driven, lines.word, loaded.word_pivot, loaded.word_ratio))
    return reach * slopes - loaded.bit_end * bit - loaded.word_end * word


def _reference_load(
    measured: Floats, along_word: Floats, along_bit: Floats, turns: int, least_reach: float, _threads: int
) -> tuple[Floats, ...]:
    seen = np.maximum(measured, 0.0)
    cells = seen
    for _ in range(turns):
        word_end, bit_end = _load(_turned(cells), along_word)[0], _load(cells, along_bit)[0]
        cells = seen / np.maximum(_turned(word_end) * bit_end, least_reach)
    word, bit = _load(_turned(cells), along_word), _load(cells, along_bit)
    return cells, _turned(word[0]), bit[0], *word[1:], *bit[1:]


def _load(cells: Floats, along: Floats) -> tuple[Floats, Floats, Floats]:
    """Load nodes with conductances to ground (tiles, n, lines); return voltages for 1 V at the ends, pivots, ratios."""
    # What a node sees of its cell and of the line before it. Nothing is subtracted: lines that conduct next to nothing
    # keep their digits, and no pivot is 0.
    seen, pivot, ratio = cells.copy(), np.empty_like(cells), np.zeros_like(cells)
    seen[:, 0] += along[0]
    pivot[:, 0] = seen[:, 0] + along[1]
    for k in range(1, cells.shape[1]):
        ratio[:, k] = along[k] / pivot[:, k - 1]
        seen[:, k] += ratio[:, k] * seen[:, k - 1]
        pivot[:, k] = seen[:, k] + along[k + 1]
    ends = np.zeros_like(cells)
    ends[:, 0] += along[0]
    ends[:, -1] += along[-1]
    return _solve(ends, along, pivot, ratio), pivot, ratio


def _solve(currents: Floats, along: Floats, pivot: Floats, ratio: Floats) -> Floats:
    """Return the voltages of the nodes for currents into them, (tiles, n, lines), the ends at 0 V."""
    found = currents.copy()
    for k in range(1, found.shape[1]):
        found[:, k] += ratio[:, k] * found[:, k - 1]
    found[:, -1] /= pivot[:, -1]
    for k in range(found.shape[1] - 2, -1, -1):
        found[:, k] += along[k + 1] * found[:, k + 1]
        found[:, k] /= pivot[:, k]
    return found


def _turned(array: Floats) -> Floats:
    return np.ascontiguousarray(array.transpose(0, 2, 1))


def _reference_gradient(
    outer: Floats,
    inputs: NDArray[np.int32],
    outputs: NDArray[np.int32],
    scale: Floats,
    weights: Floats,
    stuck: Floats | None,
    prefactor: Floats | None,
    loaded: LoadedLines | None,
    along_word: Floats | None,
    along_bit: Floats | None,
    _threads: int,
) -> Floats:
    (groups, tiles, columns), rows = scale.shape, inputs.shape[1]
    used = (inputs >= 0)[:, :, None] & (outputs >= 0)[:, None, :]
    pairs = slice(0, columns // 2 * 2)
    slopes = np.zeros((tiles, rows, columns))
    slopes[:, :, pairs] = np.repeat(np.where(used, outer[inputs[:, :, None], outputs[:, None, :]], 0.0), 2, axis=2)
    slopes *= np.moveaxis(scale[np.arange(rows) * groups // rows], 0, 1)
    slopes[:, :, 1 : pairs.stop : 2] *= -1.0
    if loaded is not None and along_word is not None and along_bit is not None:
        slopes = through_lines(slopes, LineSegments(along_word, along_bit), loaded)
    if prefactor is not None:
        slopes *= prefactor
    plus, minus = slopes[:, :, 0 : pairs.stop : 2], -slopes[:, :, 1 : pairs.stop : 2]
    moved = np.sign(weights)[inputs[:, :, None], outputs[:, None, :]]
    if stuck is not None:
        known = ~np.isnan(stuck[:, :, pairs])
        moved = np.where(known[:, :, 1::2], 1.0, np.where(known[:, :, 0::2], -1.0, moved))
    chosen = np.where(moved > 0, plus, np.where(moved < 0, minus, 0.5 * (plus + minus)))
    found = np.zeros_like(outer)
    tile, row, pair = np.nonzero(used)
    found[inputs[tile, row], outputs[tile, pair]] = chosen[tile, row, pair]
    return found


_load_lines: Any = _reference_load if _compiled is None else _compiled.load_lines
_weight_gradient: Any = _reference_gradient if _compiled is None else _compiled.weight_gradient
