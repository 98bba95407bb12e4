"""Bridges between lines, by superposition: each bridge drives a loop current through the tile without bridges."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from circuitmem._kernels.mesh import TOLERANCE, MeshSolution
from circuitmem.tile import Tile
from circuitmem.tile.defects import Node

__all__ = ["Superposed", "bridge_drops", "dipoles_of_bridges", "loop_resistance", "one_blas_thread", "superpose"]

Floats = NDArray[np.float64]

KEPT = 1e3 * TOLERANCE
"""Largest error that superposition may add to a current, relative to the largest; beyond it the tile is factored."""

_libraries = ThreadpoolController()


class Superposed(NamedTuple):
    """Currents of a tile with its bridges, and the solutions that they are superposed from."""

    column: Floats  # (batch, columns) A
    driver: Floats  # (batch, rows) A
    share: Floats  # (bridges, batch) A through each bridge
    word: Floats  # (bridges, rows, columns) V of the word lines for 1 A through each
    bit: Floats


def dipoles_of_bridges(tile: Tile) -> Floats:
    """Return the node injections of a 1 A dipole for each bridge, (bridges, 2, rows, columns) A.

    The current flows from the first to the second node of the bridge, outside the tile.
    """
    bridges = tile.defects.bridges
    injection = np.zeros((len(bridges), 2, *tile.spec.shape))
    for index, bridge in enumerate(bridges):
        injection[(index, *_position(bridge.first))] -= 1.0
        injection[(index, *_position(bridge.second))] += 1.0
    return injection


def loop_resistance(tile: Tile, word: Floats, bit: Floats) -> Floats:
    """Return the loop resistance matrix of the bridges, (bridges, bridges) Ω, from the node voltages of dipoles."""
    seen = -bridge_drops(tile, word, bit)
    return 0.5 * (seen + seen.T) + np.diag([bridge.resistance for bridge in tile.defects.bridges])


def bridge_drops(tile: Tile, word: Floats, bit: Floats) -> Floats:
    """Return the voltage across each bridge, (bridges, batch) V, from node voltages (batch, rows, columns) V."""
    lines = (word, bit)

    def at(node: Node) -> Floats:
        line, row, column = _position(node)
        return lines[line][:, row, column]

    return np.array([at(bridge.first) - at(bridge.second) for bridge in tile.defects.bridges])


def superpose(
    tile: Tile,
    dipoles: MeshSolution | None,
    drops: Floats | None,
    column: Floats,
    driver: Floats,
    error: Floats | float = 0.0,
) -> Superposed | None:
    """Add the effect of bridges to the currents of a tile without them; None if too many digits cancel.

    Parameters
    ----------
    tile : Tile
        The tile.
    dipoles : MeshSolution
        Its solutions for :func:`dipoles_of_bridges`; None if they could not be found.
    drops : (bridges, batch) ndarray
        Voltage across the nodes of each bridge in the tile without bridges [V]; None for 1 V on each driver in turn.
    column, driver : (batch, columns) and (batch, rows) ndarray
        Currents without bridges [A].
    error : (batch,) ndarray
        Error of the drops [V].
    """
    if dipoles is None:
        return None
    assert dipoles.word is not None
    assert dipoles.bit is not None
    loop = loop_resistance(tile, dipoles.word, dipoles.bit)
    with one_blas_thread():
        # By reciprocity the driver current for a dipole equals the dipole's voltage per volt on that driver.
        share = np.asarray(np.linalg.solve(loop, dipoles.driver_current if drops is None else drops), dtype=np.float64)
    # The error of the voltage across a bridge gives the error of its current.
    unknown = np.abs(error) / np.diag(loop)[:, None]
    columns, drivers = (
        _sum(alone, share, each, unknown)
        for alone, each in ((column, dipoles.column_current), (driver, dipoles.driver_current))
    )
    if columns is None or drivers is None:
        return None
    return Superposed(columns, drivers, share, dipoles.word, dipoles.bit)


def one_blas_thread() -> AbstractContextManager[object]:
    """Limit BLAS to one thread, so that it always sums in the same order; the kernels have their own threads."""
    context: AbstractContextManager[object] = _libraries.limit(limits=1, user_api="blas")
    return context


def _sum(alone: Floats, share: Floats, dipoles: Floats, unknown: Floats) -> Floats | None:
    found = np.asarray(alone + np.einsum("kb,kj->bj", share, dipoles))
    parts = np.abs(alone) + np.einsum("kb,kj->bj", np.abs(share), np.abs(dipoles))
    off = TOLERANCE * parts + unknown.T @ np.abs(dipoles)
    return found if (off.max(axis=1) <= KEPT * np.abs(found).max(axis=1)).all() else None


def _position(node: Node) -> tuple[int, int, int]:
    return (0 if node.line == "word" else 1, node.row, node.column)
