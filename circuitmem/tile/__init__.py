"""One tile: geometry, wires, state and defects."""

from circuitmem.tile.defects import Bridge, DefectMap, Node
from circuitmem.tile.mapping import (
    PAIRS,
    BitSlicing,
    ColumnLayout,
    OffsetMapping,
    PairMapping,
    WeightMapping,
    layout_of,
    mapping_of,
)
from circuitmem.tile.tile import Mesh, Tile
from circuitmem.tile.turned import turned_tile

__all__ = [
    "PAIRS",
    "BitSlicing",
    "Bridge",
    "ColumnLayout",
    "DefectMap",
    "Mesh",
    "Node",
    "OffsetMapping",
    "PairMapping",
    "Tile",
    "WeightMapping",
    "layout_of",
    "mapping_of",
    "turned_tile",
]
