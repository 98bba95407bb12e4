"""The effect of wires on a change of a cell, from one-hot reads and the designed resistances.

One-hot reads give the map of a tile, wires included, but not how the map changes with a cell: with all rows driven, the
cell's word line also carries the currents of its other cells, and its bit line those of all rows. Here every line is a
separate ladder, loaded by its cells, whose other ends are on lines at rest; the effect of a line on the lines that it
crosses is added once:

``dL/dG_ij = p_ij c_ij S_ij - c_ij (N_j g_j S_j)_i - p_ij (M_i h_i S_i)_j``

with ``S`` the outer product of driver voltages and of derivatives by column currents, ``p`` (``c``) the voltage that a
word (bit) line has at a cell for 1 V at its end, ``g = G p``, ``h = G c``, and ``M_i`` (``N_j``) the inverse of the
ladder of word line i (bit line j). The neglected terms are of second order in the drop along the wires. Our own [I].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.stack_gradients import LineSegments, load_lines, through_lines, weight_gradient
from circuitmem._kernels.tiling import Tiling
from circuitmem.config import TileSpec
from circuitmem.engine.precision import PRECISION, Precision

__all__ = ["WireModel"]

Floats = NDArray[np.float64]

TURNS = 4
"""Iterations of the fixed point from the conductances that columns see to those of the cells; each leaves a fifth of
the error or less."""
LEAST = 1e-6
"""Resistance of an ideal segment in this model [ohm], too small to have an effect on any cell."""
LEAST_REACH = 0.01
"""The conductance of a cell is limited to the conductance that its column saw, divided by this. If the lines took more
of the voltage, the fixed point would diverge, and such a cell has hardly any gradient."""


class WireModel:
    """The lines of tiles of one geometry, loaded by their cells.

    Parameters
    ----------
    spec : TileSpec
        The tiles' geometry, as designed.
    measured : (tiles, rows, columns) ndarray
        Conductance of each cell as seen at its column, with one row driven at a time [S].
    threads : int, optional
        Threads to use; the result does not depend on it, to the last bit.
    precision : {"double", "single"}
        Precision in which the loaded lines are kept; what is computed with them is double.
    """

    BUILDING, GRADIENT = 21 * TURNS, 18
    """Operations of the digital core for each cell: to make the model, and for each gradient."""

    def __init__(
        self, spec: TileSpec, measured: Floats, threads: int | None = None, *, precision: Precision = "double"
    ) -> None:
        word = _along(spec.word_segments().T, spec.driver_resistance)
        self._lines = LineSegments(word, _along(spec.bit_segments(), spec.sense_resistance))
        loaded = load_lines(measured, self._lines, turns=TURNS, least_reach=LEAST_REACH, threads=threads)
        self._loaded = loaded if precision == "double" else loaded.kept_as(PRECISION[precision])
        self._threads = threads

    @staticmethod
    def is_needed(spec: TileSpec) -> bool:
        """Say whether the lines of such tiles have a resistance; that of the amplifiers alone is negligible."""
        segments = spec.word_segments(), spec.bit_segments()
        return spec.driver_resistance > 0.0 or any((each[np.isfinite(each)] > 0.0).any() for each in segments)

    def gradient(
        self,
        outer: Floats,
        tiling: Tiling,
        scale: Floats,
        weights: Floats,
        stuck: Floats | None = None,
        prefactor: Floats | None = None,
    ) -> Floats:
        """Return the gradients of weights by the devices that they move, (inputs, outputs).

        Parameters are those of :func:`circuitmem._kernels.stack_gradients.weight_gradient`.
        """
        lines = self._lines, self._loaded
        return weight_gradient(
            outer, tiling, scale, weights, stuck=stuck, prefactor=prefactor, lines=lines, threads=self._threads
        )

    def through(self, slopes: Floats) -> Floats:
        """Return derivatives by cells, given those by the cells as columns see them, both (tiles, rows, columns)."""
        return through_lines(slopes, self._lines, self._loaded)


def _along(segments: Floats, end: float) -> Floats:
    """Return the conductances along lines, (nodes + 1, lines) S, with an end resistance in the first and the last."""
    resistances = segments.copy()
    resistances[[0, -1]] += end
    return np.ascontiguousarray(1.0 / np.maximum(resistances, LEAST))  # 0 where there is no second end
