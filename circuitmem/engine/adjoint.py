"""Gradients of a tile's column currents, by the adjoint network: one more solution, whatever the number of cells.

Let L be any scalar of the column currents I, and give every sense amplifier of the same network the voltage dL/dI
instead of 0 V, and every driver 0 V. With V the voltage across a cell in the network itself and U in this adjoint one,
Tellegen's theorem gives (Director and Rohrer, IEEE Trans. Circuit Theory 16:318, 1969)

    dL/dG = -i(V) U        dL/dv = current into the driver in the adjoint network

where i is what a siemens more adds to a cell's current. Cells that are not linear enter the adjoint network with their
slopes. A tile turned about its second diagonal is a tile again, with drivers for sense amplifiers: nothing new has to
be solved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from circuitmem._kernels.mesh import solve_mesh
from circuitmem._kernels.tree import sense_ends, transfer_of_ideal
from circuitmem.config import TileSpec
from circuitmem.engine.direct import floating_cells, solve_directly
from circuitmem.tile import DefectMap, Mesh, Tile
from circuitmem.tile.defects import Bridge, Node

__all__ = ["Gradient", "adjoint_gradient", "gradient_of_ideal"]

Floats = NDArray[np.float64]

NODES = 1 << 23
"""Nodes of a line each, over all vectors, that are kept at a time: 64 MiB an array."""

_libraries = ThreadpoolController()


@dataclass(frozen=True)
class Gradient:
    """Derivatives of a scalar of the column currents, in units of that scalar.

    Attributes
    ----------
    conductance : (rows, columns) ndarray
        With respect to the conductance that each cell really has (``tile.effective_conductance``) [1/S], summed over
        the batch. That of a stuck cell is what a change of its stuck value would do: a pulse does not change it.
    voltages : (batch, rows) or (rows,) ndarray
        With respect to each driver voltage [1/V]; 0 for dead drivers, which ignore it.
    """

    conductance: Floats
    voltages: Floats


def adjoint_gradient(
    tile: Tile,
    nodes: Callable[[slice], tuple[Floats, Floats]],
    current_gradient: Floats,
    tolerance: float,
    threads: int,
) -> Gradient:
    """Solve a tile and its adjoint network, so many vectors at a time that memory does not grow with their number.

    Parameters
    ----------
    tile : Tile
        The tile.
    nodes : callable
        Solves the tile for a part of the batch; returns the node voltages of word and bit lines [V], each (part, rows,
        columns).
    current_gradient : (batch, columns) ndarray
        Derivative of the scalar with respect to the column currents [1/A].
    tolerance, threads
        As for :class:`~circuitmem.engine.BehavioralEngine`.
    """
    count, step = len(current_gradient), max(1, NODES // (tile.spec.rows * tile.spec.columns))
    conductance, drivers = np.zeros(tile.spec.shape), np.empty((count, tile.spec.rows))
    for first in range(0, count, step):
        part = slice(first, first + step)
        found = _solve_adjoint(tile, *nodes(part), current_gradient[part], tolerance, threads)
        conductance += found.conductance
        drivers[part] = found.voltages
    return Gradient(conductance, drivers)


def gradient_of_ideal(tile: Tile, voltages: Floats, current_gradient: Floats) -> Gradient | None:
    """Return the gradient of linear cells between ideal wires without solving a network; None for other tiles.

    A bit line is one node at R·I, with R of its sense ends: ``dI/dG = (v - R·I) / (1 + R·sum(G))``.

    Parameters
    ----------
    tile : Tile
        The tile.
    voltages, current_gradient : (batch, rows) and (batch, columns) ndarray
        As for :meth:`~circuitmem.engine.BehavioralEngine.gradient`.
    """
    cell, defects, mesh = tile.spec.cell, tile.defects, tile.mesh
    if not cell.linear or defects.cuts_lines or defects.bridges:
        return None
    found = transfer_of_ideal(*mesh)
    if found is None:
        return None
    with _libraries.limit(limits=1, user_api="blas"):  # BLAS adds in one order, whatever number of threads it has
        currents = voltages @ found[0].T
        outer = voltages.T @ current_gradient
        driver = current_gradient @ found[0]
    sense, factor = sense_ends(mesh.conductance, mesh.bit_resistance)
    slope = factor * (outer - sense * (current_gradient * currents).sum(axis=0))
    if defects.dead_drivers is not None:
        driver = np.where(defects.dead_drivers, 0.0, driver)
    return Gradient(slope * cell.sensitivity(tile.effective_conductance, np.ones(tile.spec.shape)), driver)


def _solve_adjoint(
    tile: Tile, word: Floats, bit: Floats, current_gradient: Floats, tolerance: float, threads: int
) -> Gradient:
    """Solve the adjoint network of a solved tile.

    Parameters
    ----------
    tile : Tile
        The tile.
    word, bit : (batch, rows, columns) ndarray
        Node voltages of its solution [V].
    current_gradient : (batch, columns) ndarray
        Derivative of the scalar with respect to the column currents [1/A].
    tolerance : float
        As for :class:`~circuitmem.engine.BehavioralEngine`.
    threads : int
        Threads to use.
    """
    cell, mesh = tile.spec.cell, tile.mesh
    across = word - bit
    per_siemens = cell.sensitivity(tile.effective_conductance, across)
    slopes = mesh.conductance[None] if cell.linear else cell.slope(mesh.conductance, across)
    if tile.defects.bridges:
        adjoint_word, adjoint_bit, driver = _with_bridges(tile, slopes, current_gradient, tolerance)
    else:
        turned = Mesh(_turn(slopes), _turn(mesh.bit_resistance), _turn(mesh.word_resistance))
        cells = turned.conductance[0] if len(slopes) == 1 else turned.conductance
        solution = solve_mesh(
            cells, *turned[1:], current_gradient[:, ::-1], tolerance=tolerance, threads=threads, voltages=True
        )
        assert solution.word is not None
        assert solution.bit is not None
        adjoint_word, adjoint_bit = _turn(solution.bit), _turn(solution.word)
        driver = solution.column_current[:, ::-1]
    if tile.defects.dead_drivers is not None:
        driver = np.where(tile.defects.dead_drivers, 0.0, driver)
    conductance = np.einsum("bij,bij->ij", per_siemens, adjoint_bit - adjoint_word)
    if tile.defects.cuts_lines:
        # A floating piece of a line is at 0 V by definition, but one cell to it would bring it to the voltage of its
        # other end, and carry nothing.
        conductance[floating_cells(tile)] = 0.0
    return Gradient(conductance, np.ascontiguousarray(driver))


def _turn(array: Floats) -> Floats:
    """Turn (..., rows, columns) about the second diagonal: (..., columns, rows)."""
    return np.ascontiguousarray(np.swapaxes(array[..., ::-1, ::-1], -1, -2))


def _with_bridges(
    tile: Tile, slopes: Floats, current_gradient: Floats, tolerance: float
) -> tuple[Floats, Floats, Floats]:
    """Solve the turned tile, vector by vector if its cells have slopes of their own, by factoring.

    Returns the adjoint voltages of word and bit lines, and the currents into the drivers.
    """
    word, bit, driver = [], [], []
    count = len(current_gradient)
    parts = [slice(0, count)] if len(slopes) == 1 else [slice(k, k + 1) for k in range(count)]
    for part, cells in zip(parts, slopes, strict=True):
        solution = solve_directly(_turned_tile(tile, cells), current_gradient[part, ::-1], tolerance)
        word.append(_turn(solution.bit_line_voltage))
        bit.append(_turn(solution.word_line_voltage))
        driver.append(solution.column_current[:, ::-1])
    return np.concatenate(word), np.concatenate(bit), np.concatenate(driver)


def _turned_tile(tile: Tile, slopes: Floats) -> Tile:
    """Build a tile of linear cells whose drivers are the sense amplifiers of ``tile``."""
    mesh, (rows, columns) = tile.mesh, tile.spec.shape
    word, bit = _turn(mesh.bit_resistance), _turn(mesh.word_resistance)
    both_drive, both_sense = tile.spec.bit_line_sense == "both", tile.spec.word_line_drive == "both"
    spec = TileSpec.model_validate(
        {
            "rows": columns,
            "columns": rows,
            "word_line_resistance": _closed(word if both_drive else word[:, :-1]),
            "bit_line_resistance": _closed(bit if both_sense else bit[1:]),
            "word_line_drive": "both" if both_drive else "left",
            "bit_line_sense": "both" if both_sense else "bottom",
        }
    )

    def turned(node: Node) -> Node:
        return Node("bit" if node.line == "word" else "word", columns - 1 - node.column, rows - 1 - node.row)

    defects = DefectMap(
        open_word_segments=np.isinf(word[:, :-1]),
        open_bit_segments=np.isinf(bit[1:]),
        bridges=[Bridge(turned(each.first), turned(each.second), each.resistance) for each in tile.defects.bridges],
    )
    return Tile(spec, _turn(slopes), defects)


def _closed(resistance: Floats) -> Floats:
    """Give cut segments a number; the defect map cuts them."""
    return np.where(np.isinf(resistance), 0.0, resistance)
