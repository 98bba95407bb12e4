"""A tile with word lines and bit lines exchanged."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import TileSpec
from circuitmem.tile.defects import Bridge, DefectMap, Node
from circuitmem.tile.tile import Tile

__all__ = ["turned_tile"]


def turned_tile(tile: Tile) -> Tile:
    """Return the same circuit with word and bit lines exchanged: driven where it was sensed, and the reverse.

    Cell (i, j) becomes cell (columns - 1 - j, rows - 1 - i), so that each line still begins at its driver and ends at
    its virtual ground. Dead drivers and dead sense channels do not affect the network and are left out.
    """
    spec, defects = tile.spec, tile.defects
    turned = TileSpec(
        rows=spec.columns,
        columns=spec.rows,
        word_line_resistance=_turn(np.asarray(spec.bit_line_resistance)),
        bit_line_resistance=_turn(np.asarray(spec.word_line_resistance)),
        driver_resistance=spec.sense_resistance,
        sense_resistance=spec.driver_resistance,
        word_line_capacitance=spec.bit_line_capacitance,
        bit_line_capacitance=spec.word_line_capacitance,
        cell=spec.cell,
        word_line_drive="both" if spec.bit_line_sense == "both" else "left",
        bit_line_sense="both" if spec.word_line_drive == "both" else "bottom",
    )
    cuts = {
        "open_word_segments": defects.open_bit_segments,
        "open_bit_segments": defects.open_word_segments,
    }
    bridges = [
        Bridge(_node(bridge.first, spec), _node(bridge.second, spec), bridge.resistance) for bridge in defects.bridges
    ]
    kept = {name: _turn(array) for name, array in cuts.items() if array is not None}
    return Tile(turned, _turn(tile.effective_conductance), DefectMap(bridges=bridges, **kept))


def _turn(array: NDArray[Any]) -> Any:
    return array.T[::-1, ::-1] if array.ndim == 2 else array


def _node(node: Node, spec: TileSpec) -> Node:
    return Node("bit" if node.line == "word" else "word", spec.columns - 1 - node.column, spec.rows - 1 - node.row)
