"""The lines of a tile, and its elimination: parts of the mesh kernel's twin, which :mod:`.reference` explains."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels._reference_ladder import Ladder, ladder, reciprocal

__all__ = ["TRUSTED", "BitLineElimination", "PreparedLines", "eliminate", "largest_of", "prepare", "tile_lines"]

Floats = NDArray[np.float64]

TRUSTED = 1e4
"""Largest amplification with which a bound decides convergence; above it a tile is hard."""
TURNS = 64
"""Turns of block relaxation after which the search for a better bound is given up."""


class PreparedLines(NamedTuple):
    """Both sets of lines prepared for the conductances ``g``, (batch, rows, columns) or (1, rows, columns) S."""

    g: Floats
    word: Ladder
    bit: Ladder
    amplification: Floats  # (batch,): bound on (largest error) / (largest preconditioned residual)

    def word_lines(self, current: Floats) -> Floats:
        """Return A_w^-1 times currents, (batch, rows, columns) V."""
        return np.moveaxis(self.word.solve(_along_words(current))[::-1], 0, 2)

    def bit_lines(self, current: Floats) -> Floats:
        """Return A_b^-1 times currents, (batch, rows, columns) V."""
        return np.moveaxis(self.bit.solve(_along_bits(current)), 0, 1)

    @property
    def word_h(self) -> Floats:
        """The ``h`` of the word lines, (batch, rows, columns)."""
        return np.moveaxis(self.word.h[::-1], 0, 2)

    @property
    def bit_h(self) -> Floats:
        """The ``h`` of the bit lines, (batch, rows, columns)."""
        return np.moveaxis(self.bit.h, 0, 1)

    def of(self, vectors: NDArray[np.intp]) -> PreparedLines:
        """Return the lines of some vectors of the batch."""
        if len(self.g) == 1:
            return self
        word = Ladder(*(array[:, vectors] for array in self.word))
        bit = Ladder(*(array[:, vectors] for array in self.bit))
        return PreparedLines(self.g[vectors], word, bit, self.amplification[vectors])


def tile_lines(g: Floats, word: Floats, bit: Floats) -> PreparedLines:
    words = ladder(_along_words(g), _along_words(word[None, :, :-1]), word[None, :, -1])
    bits = ladder(_along_bits(g), _along_bits(bit[None, 1:]), bit[None, 0])
    # A line whose cells see 1 V reaches at most 1 - h. So solving first one kind of lines and then the other, each for
    # the error of the other, maps an error of at most 1 to at most (1 - low_word)(1 - low_bit).
    low_word, low_bit = words.h.min(axis=(0, 2)), bits.h.min(axis=(0, 2))
    tied = low_word + low_bit - low_word * low_bit
    return PreparedLines(g, words, bits, np.where(tied > 0.0, reciprocal(tied), np.inf))


def prepare(g: Floats, word: Floats, bit: Floats) -> PreparedLines:
    """Prepare both sets of lines for ``g``, (batch, rows, columns) S; the segments are those of a tile's mesh."""
    return _sharpen(tile_lines(g, word, bit))


def _sharpen(mesh: PreparedLines) -> PreparedLines:
    """Find better bounds on the amplification where those of the weakest ties are too loose.

    Let N map an error to the error after one turn, in which the word lines and then the bit lines are solved. All
    elements of N are positive, so the largest element of N^k 1 bounds N^k. The errors of all turns are then at most the
    sum of these bounds, with the rest as a geometric series.
    """
    bound = mesh.amplification
    error, total = np.ones_like(mesh.g), np.ones(len(mesh.g))
    for _ in range(TURNS):
        if (bound <= TRUSTED).all():
            break
        error = mesh.bit_lines(mesh.g * mesh.word_lines(mesh.g * error))
        now = largest_of(error)
        known = (bound > TRUSTED) & (total < TRUSTED * (1.0 - now))
        bound = np.where(known, total / np.where(known, 1.0 - now, 1.0), bound)
        total = total + now
    return mesh._replace(amplification=bound)


class BitLineElimination(NamedTuple):
    """One tile with its bit-line nodes eliminated; arrays are (rows, columns, ...)."""

    ties: Floats  # (rows, columns, columns) S: from each node to the others of its row, when it is eliminated
    t: Floats  # as for ladders, of the segment after each node
    s: Floats

    def solve(self, current: Floats) -> Floats:
        """Return ``(A_b - G A_w^-1 G)^-1`` times currents, (rows, columns) V."""
        rows, columns = current.shape
        kept, line = np.empty_like(current), np.zeros(columns)
        for i in range(rows):
            line = line + current[i]
            for k in range(columns):
                kept[i, k] = line[k]
                line = line + self.s[i, k] * kept[i, k] * self.ties[i, k]
                line[k] = self.t[i, k] * kept[i, k]
        out, voltage = np.empty_like(current), np.zeros(columns)
        for i in reversed(range(rows)):
            for k in reversed(range(columns)):
                into = self.ties[i, k] @ voltage + kept[i, k]
                voltage[k] = self.t[i, k] * voltage[k] + self.s[i, k] * into
            out[i] = voltage
        return out


def eliminate(mesh: PreparedLines, bit: Floats) -> BitLineElimination:
    """Eliminate the bit-line nodes of a tile from the top down; the node below each one takes its place."""
    g, h = mesh.g[0], mesh.word_h[0]
    rows, columns = g.shape
    unit = np.broadcast_to(np.eye(columns)[:, None, :], (columns, rows, columns))
    answer = mesh.word_lines(unit)  # at node k of row i, for a current into node j: [j, i, k]
    ties, t, s = np.empty((rows, columns, columns)), np.empty((rows, columns)), np.empty((rows, columns))
    dense, known, held = np.zeros((columns, columns)), reciprocal(bit[0]), bit[0] == 0.0
    for i in range(rows):
        # The word line ties bit line j to bit line l by g_j (A_w^-1)_jl g_l, and to its driver by g_j h_j.
        dense = dense + g[i][:, None] * answer[:, i] * g[i]
        known = known + g[i] * h[i]
        np.fill_diagonal(dense, 0.0)
        for k in range(columns):
            row, ohms = dense[k].copy(), bit[i + 1, k]
            if held[k]:  # joined to the top sense amplifier by ideal wires: at 0 V
                known, row, held[k] = known + row, np.zeros(columns), ohms == 0.0
                known[k] = reciprocal(ohms)
                t[i, k] = s[i, k] = 0.0
            else:
                tied = known[k] + row.sum()
                cut = np.isinf(ohms)
                t[i, k] = 0.0 if cut else 1.0 / (1.0 + ohms * tied)
                s[i, k] = reciprocal(tied) if cut else ohms * t[i, k]
                dense = dense + s[i, k] * np.outer(row, row)
                np.fill_diagonal(dense, 0.0)
                known = known + s[i, k] * row * known[k]
                known[k] *= t[i, k]
            ties[i, k] = row
            dense[k] = dense[:, k] = t[i, k] * row
    return BitLineElimination(ties, t, s)


def _along_words(array: Floats) -> Floats:
    """Turn (batch, rows, columns) into (columns, batch, rows), the last column first."""
    return np.moveaxis(array, 2, 0)[::-1]


def _along_bits(array: Floats) -> Floats:
    """Turn (batch, rows, columns) into (rows, batch, columns)."""
    return np.moveaxis(array, 1, 0)


def largest_of(array: Floats) -> Floats:
    """Return the largest magnitude in the array of each vector."""
    return np.asarray(np.abs(array).max(axis=tuple(range(1, array.ndim))))
