"""Bridges between lines, superposed: each drives a current through the tile without bridges, around its own loop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.tile import Tile
from circuitmem.tile.defects import Node

__all__ = ["bridge_drops", "dipoles_of_bridges", "loop_resistance"]

Floats = NDArray[np.float64]


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


def _position(node: Node) -> tuple[int, int, int]:
    return (0 if node.line == "word" else 1, node.row, node.column)
