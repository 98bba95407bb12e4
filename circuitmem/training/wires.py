"""What wires make of a change of a cell, from what one-hot reads found and the resistances that were designed.

A read of one row says what the tile's map is, wires included, but not how the map changes with a cell: with all rows
driven, the cell's word line carries the currents of its other cells, and its bit line those of all rows. Here every
line is a ladder of its own, loaded by its cells to lines at rest; what one line does to those that it crosses is added
once:

``dL/dG_ij = p_ij c_ij S_ij - c_ij (N_j g_j S_j)_i - p_ij (M_i h_i S_i)_j``

with ``S`` the outer product of driver voltages and of derivatives by column currents, ``p`` (``c``) the voltage that a
word (bit) line has at a cell for 1 V at its end, ``g = G p``, ``h = G c``, and ``M_i`` (``N_j``) the inverse of the
ladder of word line i (bit line j). What is left out is of second order in the drop along the wires. Our own [I].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import TileSpec

__all__ = ["WireModel"]

Floats = NDArray[np.float64]

TURNS = 4
"""Turns of the fixed point from what columns see of the cells to their conductances; each leaves a fifth, or less."""
LEAST = 1e-6
"""Resistance that an ideal segment has here [ohm]: no cell would notice it."""
LEAST_REACH = 0.01
"""A cell conducts at most the inverse of this times what its column saw. Behind lines that take more of the voltage the
fixed point would run away; and such a cell has next to no gradient."""


class WireModel:
    """The lines of tiles of one geometry, loaded by their cells.

    Parameters
    ----------
    spec : TileSpec
        The tiles' geometry, as designed.
    measured : (tiles, rows, columns) ndarray
        What their columns saw of each cell, one row driven at a time [S].
    """

    BUILDING, GRADIENT = 21 * TURNS, 18
    """Operations of the digital core for each cell: to make the model, and for each gradient."""

    def __init__(self, spec: TileSpec, measured: Floats) -> None:
        # Nodes come first, so that a step along all lines at once is one pass through memory.
        self._word = _Ladder(spec.word_segments().T[:, None, :], spec.driver_resistance)
        self._bit = _Ladder(spec.bit_segments()[:, None, :], spec.sense_resistance)
        seen = np.maximum(measured, 0.0)
        cells = seen
        for _ in range(TURNS):
            word_end, bit_end = self._load(cells)
            cells = seen / np.maximum(word_end * bit_end, LEAST_REACH)
        self._word_end, self._bit_end = self._load(cells)
        self._reach = self._word_end * self._bit_end
        self._in, self._out = cells * self._word_end, cells * self._bit_end

    @staticmethod
    def is_needed(spec: TileSpec) -> bool:
        """Say whether lines of such tiles have a resistance; the amplifiers' alone is too small to count."""
        segments = spec.word_segments(), spec.bit_segments()
        return spec.driver_resistance > 0.0 or any((each[np.isfinite(each)] > 0.0).any() for each in segments)

    def gradient(self, outer: Floats) -> Floats:
        """Return the derivatives by the cells' conductances for outer products, both (tiles, rows, columns)."""
        word = _of_word(self._word.solve(_to_word(self._out * outer)))
        bit = _of_bit(self._bit.solve(_to_bit(self._in * outer)))
        return self._reach * outer - self._bit_end * bit - self._word_end * word

    def _load(self, cells: Floats) -> tuple[Floats, Floats]:
        """Load the lines, and return the voltages at the cells for 1 V at the ends of word and of bit lines."""
        return _of_word(self._word.load(_to_word(cells))), _of_bit(self._bit.load(_to_bit(cells)))


class _Ladder:
    """Lines of n nodes: (n + 1, 1, lines) segments in series, the first and the last with an end resistance."""

    def __init__(self, segments: Floats, end: float) -> None:
        resistances = segments.copy()
        resistances[[0, -1]] += end
        self.conductance = 1.0 / np.maximum(resistances, LEAST)  # 0 where there is no second end
        self._pivot = self._ratio = np.zeros(0)

    def load(self, cells: Floats) -> Floats:
        """Load nodes with conductances to ground (n, tiles, lines); returns their voltages for 1 V at the ends."""
        along = self.conductance
        # What a node sees of its cell and of the line before it. Nothing is subtracted: lines that let next to nothing
        # through keep their digits, and no pivot is 0.
        seen, self._pivot, self._ratio = cells.copy(), np.empty_like(cells), np.zeros_like(cells)
        seen[0] += along[0]
        self._pivot[0] = seen[0] + along[1]
        for k in range(1, len(cells)):
            self._ratio[k] = along[k] / self._pivot[k - 1]
            seen[k] += self._ratio[k] * seen[k - 1]
            self._pivot[k] = seen[k] + along[k + 1]
        ends = np.zeros_like(cells)
        ends[0] += along[0]
        ends[-1] += along[-1]
        return self.solve(ends)

    def solve(self, currents: Floats) -> Floats:
        """Return the voltages of the nodes for currents into them, (n, tiles, lines), the ends at 0 V."""
        found = currents.copy()
        for k in range(1, len(found)):
            found[k] += self._ratio[k] * found[k - 1]
        found[-1] /= self._pivot[-1]
        for k in range(len(found) - 2, -1, -1):
            found[k] += self.conductance[k + 1] * found[k + 1]
            found[k] /= self._pivot[k]
        return found


def _to_word(cells: Floats) -> Floats:
    return np.ascontiguousarray(cells.transpose(2, 0, 1))


def _of_word(nodes: Floats) -> Floats:
    return np.ascontiguousarray(nodes.transpose(1, 2, 0))


def _to_bit(cells: Floats) -> Floats:
    return np.ascontiguousarray(cells.transpose(1, 0, 2))


def _of_bit(nodes: Floats) -> Floats:
    return np.ascontiguousarray(nodes.transpose(1, 0, 2))
