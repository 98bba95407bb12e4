"""One tile: geometry, wires, state and defects."""

from circuitmem.tile.defects import Bridge, DefectMap, Node
from circuitmem.tile.mapping import PairMapping
from circuitmem.tile.tile import Mesh, Tile
from circuitmem.tile.turned import turned_tile

__all__ = ["Bridge", "DefectMap", "Mesh", "Node", "PairMapping", "Tile", "turned_tile"]
