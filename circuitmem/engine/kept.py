"""Transfer matrices that an engine keeps between reads of a tile that does not change."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuitmem.tile import Tile

__all__ = ["KEPT_BYTES", "KeptMatrices"]

Floats = NDArray[np.float64]

KEPT_BYTES = 256 * 2**20
"""Default memory for the matrices of one engine [bytes]."""


@dataclass
class _State:
    """What is known of one state of a tile: the number of vectors read in it, and its matrix once there is one."""

    tile: weakref.ref[Tile]
    version: int
    vectors: int
    matrix: Floats | None = None


class KeptMatrices:
    """The transfer matrices of tiles in their present state, within a limit of memory.

    An entry belongs to one tile object and one :attr:`~circuitmem.Tile.version` of it: programming, damage and pulses
    change the version, and the entry is never used again. Entries are deleted with their tile. When the memory is full,
    the least recently used matrix is dropped. Safe to use from several threads.

    Parameters
    ----------
    limit : int
        Memory for the matrices [bytes], >= 0; a matrix that is larger is not kept.
    """

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self.limit = limit
        self._states: OrderedDict[int, _State] = OrderedDict()  # by id of the tile, least recently used first
        self._lock = threading.RLock()  # a tile may be collected, and its entry dropped, inside a locked block

    def __reduce__(self) -> tuple[type[KeptMatrices], tuple[int]]:
        """Copy and pickle without the matrices: they belong to the tiles of this process."""
        return KeptMatrices, (self.limit,)

    @property
    def size(self) -> int:
        """Memory that the matrices take now [bytes]."""
        with self._lock:
            return sum(state.matrix.nbytes for state in self._states.values() if state.matrix is not None)

    def __len__(self) -> int:
        """Return the number of tiles with an entry."""
        return len(self._states)

    def matrix(self, tile: Tile) -> Floats | None:
        """Return the transfer matrix of a tile's present state, (columns, rows) S, or None if it is not kept."""
        with self._lock:
            state = self._present(tile)
            if state is None or state.matrix is None:
                return None
            self._states.move_to_end(id(tile))
            return state.matrix

    def vectors(self, tile: Tile) -> int:
        """Return how many vectors were read one by one in the tile's present state."""
        with self._lock:
            state = self._present(tile)
            return 0 if state is None else state.vectors

    def count(self, tile: Tile, vectors: int, version: int) -> None:
        """Count vectors that were read one by one in the state of this version."""
        with self._lock:
            self._state(tile, version).vectors += vectors

    def keep(self, tile: Tile, matrix: Floats, version: int) -> None:
        """Keep the matrix of the state of this version, (columns, rows) S; drop others if the memory is full."""
        if matrix.nbytes > self.limit:
            return
        with self._lock:
            self._state(tile, version).matrix = matrix
            excess = self.size - self.limit
            for state in self._states.values():
                if excess <= 0:
                    break
                if state.matrix is not None:
                    excess -= state.matrix.nbytes
                    # Start its count again; otherwise tiles that are read in turn would compute a matrix for each read.
                    state.matrix, state.vectors = None, 0

    def _present(self, tile: Tile) -> _State | None:
        state = self._states.get(id(tile))
        return state if state is not None and state.tile() is tile and state.version == tile.version else None

    def _state(self, tile: Tile, version: int) -> _State:
        """Return the entry of a tile's state and mark it as used; make a new one for a new version or tile."""
        number = id(tile)
        state = self._states.get(number)
        if state is None or state.tile() is not tile or state.version != version:
            # A new tile may get the same id, so the entry is dropped only if it still belongs to the deleted tile.
            state = self._states[number] = _State(weakref.ref(tile, lambda gone: self._drop(number, gone)), version, 0)
        self._states.move_to_end(number)
        return state

    def _drop(self, number: int, gone: weakref.ref[Tile]) -> None:
        with self._lock:
            state = self._states.get(number)
            if state is not None and state.tile is gone:
                del self._states[number]
