"""Bridges between lines, superposed: each drives a current through the tile without bridges, around its own loop."""

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
"""What superposition may do to a current, relative to the largest, before bridges are solved in another way."""

_libraries = ThreadpoolController()


class Superposed(NamedTuple):
    """Currents of a tile with its bridges, and what gave them."""

    column: Floats  # (batch, columns) A
    driver: Floats  # (batch, rows) A
    share: Floats  # (bridges, batch) A through each bridge
    word: Floats  # (bridges, rows, columns) V of the word lines for 1 A through each
    bit: Floats


def dipoles_of_bridges(tile: Tile) -> Floats:
    """Return 1 A from the first to the second node of each bridge, outside the tile: (bridges, 2, rows, columns) A."""
    bridges = tile.defects.bridges
    injection = np.zeros((len(bridges), 2, *tile.spec.shape))
    for index, bridge in enumerate(bridges):
        injection[(index, *_position(bridge.first))] -= 1.0
        injection[(index, *_position(bridge.second))] += 1.0
    return injection


def loop_resistance(tile: Tile, word: Floats, bit: Floats) -> Floats:
    """Return what the loop currents of the bridges see, (bridges, bridges) Ω, from the voltages of their dipoles."""
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
    """Add bridges to the currents of a tile without them; None if these are too small beside what is superposed.

    Parameters
    ----------
    tile : Tile
        The tile.
    dipoles : MeshSolution
        Its answers to :func:`dipoles_of_bridges`; None if there are none.
    drops : (bridges, batch) ndarray
        Voltage across each bridge without them [V]; None for 1 V on each driver in turn.
    column, driver : (batch, columns) and (batch, rows) ndarray
        Currents without bridges [A].
    error : (batch,) ndarray
        Of the drops [V].
    """
    if dipoles is None:
        return None
    assert dipoles.word is not None
    assert dipoles.bit is not None
    loop = loop_resistance(tile, dipoles.word, dipoles.bit)
    with one_blas_thread():
        # By reciprocity a driver's current for a dipole is the dipole's voltage per volt on that driver.
        share = np.asarray(np.linalg.solve(loop, dipoles.driver_current if drops is None else drops), dtype=np.float64)
    # A bridge's current is known as well as the voltage across it.
    unknown = np.abs(error) / np.diag(loop)[:, None]
    columns, drivers = (
        _sum(alone, share, each, unknown)
        for alone, each in ((column, dipoles.column_current), (driver, dipoles.driver_current))
    )
    if columns is None or drivers is None:
        return None
    return Superposed(columns, drivers, share, dipoles.word, dipoles.bit)


def one_blas_thread() -> AbstractContextManager[object]:
    """Let BLAS use one thread in this block: it adds in one order then, and the kernels have their own threads."""
    context: AbstractContextManager[object] = _libraries.limit(limits=1, user_api="blas")
    return context


def _sum(alone: Floats, share: Floats, dipoles: Floats, unknown: Floats) -> Floats | None:
    found = np.asarray(alone + np.einsum("kb,kj->bj", share, dipoles))
    parts = np.abs(alone) + np.einsum("kb,kj->bj", np.abs(share), np.abs(dipoles))
    off = TOLERANCE * parts + unknown.T @ np.abs(dipoles)
    return found if (off.max(axis=1) <= KEPT * np.abs(found).max(axis=1)).all() else None


def _position(node: Node) -> tuple[int, int, int]:
    return (0 if node.line == "word" else 1, node.row, node.column)
