"""What is known of the tiles of a chip, by their places in it: for which versions, and the matrices of all stacked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from circuitmem.tile import Tile

__all__ = ["KnownVersions", "Places"]

Versions = NDArray[np.int64]


class KnownVersions:
    """The version of each tile of a chip for which something is known.

    Attributes
    ----------
    tiles : sequence of Tile
        All tiles of the chip in order.
    versions : (tiles,) ndarray of int
        The version of each tile for which something is known, -1 for none.
    """

    def __init__(self) -> None:
        self.tiles: Sequence[Tile] = ()
        self.versions: Versions = np.zeros(0, dtype=np.int64)

    def follow(self, tiles: Sequence[Tile]) -> None:
        """Take the tiles of a chip; of those that are in the same places as before, the same is known."""
        if tiles is not self.tiles:
            self.tiles, self.versions = tiles, self._carried(tiles)

    def _carried(self, tiles: Sequence[Tile]) -> Versions:
        known = np.full(len(tiles), -1, dtype=np.int64)
        for k, (before, tile) in enumerate(zip(self.tiles, tiles, strict=False)):
            if before is tile:
                known[k] = self.versions[k]
        return known

    def has(self, number: int, tile: Tile) -> bool:
        """Return whether something is known of a tile as it is now."""
        if number >= len(self.tiles) or self.tiles[number] is not tile:
            return False
        return bool(self.versions[number] == tile.version)

    def changed(self, part: slice, versions: Versions) -> NDArray[np.intp]:
        """Return the numbers of the tiles of a part whose versions are others than the known ones."""
        changed: NDArray[np.intp] = np.flatnonzero(self.versions[part] != versions[part]) + part.start
        return changed

    def count(self, tiles: Sequence[Tile], some: NDArray[np.intp], versions: Versions) -> int:
        """Return of how many of some tiles of a chip something is known as they are now."""
        return int((self.versions[some] == versions[some]).sum()) if tiles is self.tiles else 0

    def note(self, some: NDArray[np.intp], versions: Versions) -> None:
        """Note that something is known of some tiles."""
        self.versions[some] = versions[some]

    def fresh(self) -> set[int]:
        """Return the numbers of the tiles of which something is known as they are now."""
        return {number for number, tile in enumerate(self.tiles) if self.has(number, tile)}


class Places(KnownVersions):
    """Transfer matrices of the tiles of a chip, each in its place in two stacks.

    Attributes
    ----------
    matrices : (tiles, columns, rows) ndarray
        Transfer matrices [S]; of tiles whose known version is -1 they mean nothing.
    admittances : (tiles, rows, rows) ndarray
        Input admittances [S].
    """

    def __init__(self) -> None:
        super().__init__()
        self.matrices: NDArray[Any] = np.zeros((0, 0, 0))
        self.admittances: NDArray[Any] = np.zeros((0, 0, 0))

    def make_room(self, tiles: Sequence[Tile], shape: tuple[int, ...], dtype: DTypeLike) -> None:
        """Take the tiles of a chip, all of ``shape`` (rows, columns), with the matrices that are known of them."""
        if tiles is self.tiles:
            return
        rows, columns = shape
        matrices, admittances = np.empty((len(tiles), columns, rows), dtype), np.empty((len(tiles), rows, rows), dtype)
        known = self._carried(tiles)
        for k in np.flatnonzero(known >= 0):
            matrices[k], admittances[k] = self.matrices[k], self.admittances[k]
        # All at once: after an interruption there must be no version without its matrix.
        self.tiles, self.versions, self.matrices, self.admittances = tiles, known, matrices, admittances

    def put(self, number: int, matrix: NDArray[Any], admittance: NDArray[Any]) -> None:
        """Put the matrices of a tile as it is now in their places."""
        self.matrices[number], self.admittances[number] = matrix, admittance
        self.versions[number] = self.tiles[number].version
