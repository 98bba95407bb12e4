"""Gradients of a tile's column currents, by the adjoint network: one more solution, whatever the number of cells.

Let L be any scalar of the column currents I, and give every sense amplifier of the same network the voltage dL/dI
instead of 0 V, and every driver 0 V. With V the voltage across a cell in the network itself and U in this adjoint one,
Tellegen's theorem gives (Director and Rohrer, IEEE Trans. Circuit Theory 16:318, 1969)

    dL/dG = -i(V) U        dL/dv = current into the driver in the adjoint network

where i(V) is the derivative of a cell's current with respect to its conductance [A/S]. Cells that are not linear enter
the adjoint network with their slopes. The adjoint network is the tile turned about its second diagonal, where drivers
and sense amplifiers change places. That is again a tile, so the same solvers apply.
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
"""Most word-line nodes, and as many bit-line nodes, kept at a time, summed over all vectors: 64 MiB per array."""

_libraries = ThreadpoolController()


@dataclass(frozen=True)
class Gradient:
    """Derivatives of a scalar of the column currents, in units of that scalar.

    Attributes
    ----------
    conductance : (rows, columns) ndarray
        Derivative with respect to the conductance of each cell in the circuit (``tile.effective_conductance``) [1/S],
        summed over the batch. For a stuck cell it is the effect of a change of its stuck value, although no pulse can
        change it.
    voltages : (batch, rows) or (rows,) ndarray
        Derivative with respect to each driver voltage [1/V]; 0 for dead drivers, which ignore their input.
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
    """Solve a tile and its adjoint network in parts of the batch, so that memory does not grow with its size.

    Parameters
    ----------
    tile : Tile
        The tile.
    nodes : callable
        Solves the tile for a part of the batch; returns the node voltages of word lines and of bit lines [V], each
        (part, rows, columns).
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

    A bit line is one node at the voltage R·I, with R the resistance of its sense ends:
    ``dI/dG = (v - R·I) / (1 + R·sum(G))``.

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
    with _libraries.limit(limits=1, user_api="blas"):  # so that BLAS always sums in the same order
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
    """Solve the adjoint network of a tile whose own network is already solved.

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
        # A floating piece of a line is set to 0 V by definition. In truth a cell that connects to it would only bring
        # it to the voltage of the cell's other end, and carry no current, so its derivative is 0.
        conductance[floating_cells(tile)] = 0.0
    return Gradient(conductance, np.ascontiguousarray(driver))


def _turn(array: Floats) -> Floats:
    """Turn (..., rows, columns) about the second diagonal: (..., columns, rows)."""
    return np.ascontiguousarray(np.swapaxes(array[..., ::-1, ::-1], -1, -2))


def _with_bridges(
    tile: Tile, slopes: Floats, current_gradient: Floats, tolerance: float
) -> tuple[Floats, Floats, Floats]:
    """Solve the turned tile by factoring, vector by vector if the slopes of its cells depend on the vector.

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
    """Build the turned tile with linear cells: its drivers are the sense amplifiers of ``tile``."""
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
    """Replace the infinite resistance of cut segments by 0; the defect map cuts them."""
    return np.where(np.isinf(resistance), 0.0, resistance)
