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
"""Memory that the matrices of one engine may take, unless it is told otherwise [bytes]."""


@dataclass
class _State:
    """What is known of one state of a tile: how many vectors were read in it, and its matrix once there is one."""

    tile: weakref.ref[Tile]
    version: int
    vectors: int
    matrix: Floats | None = None


class KeptMatrices:
    """The transfer matrices of tiles in their present state, within a bound of memory.

    An entry belongs to one tile object and one :attr:`~circuitmem.Tile.version` of it: programming, damage and pulses
    change the version, and the entry is never used again. Entries go when their tile goes. Beyond the bound the matrix
    that was used longest ago is dropped. Safe to use from several threads.

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
        """Tiles of which something is known."""
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
        """Note that vectors were read one by one, in the state of this version."""
        with self._lock:
            self._state(tile, version).vectors += vectors

    def keep(self, tile: Tile, matrix: Floats, version: int) -> None:
        """Keep the matrix of the state of this version, (columns, rows) S, and drop others where there is no room."""
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
                    # Its vectors are counted anew: else tiles in turn would each work out a matrix for every vector.
                    state.matrix, state.vectors = None, 0

    def _present(self, tile: Tile) -> _State | None:
        state = self._states.get(id(tile))
        return state if state is not None and state.tile() is tile and state.version == tile.version else None

    def _state(self, tile: Tile, version: int) -> _State:
        """Return the entry of a tile's state, most recently used; a new one if it is of another version or tile."""
        number = id(tile)
        state = self._states.get(number)
        if state is None or state.tile() is not tile or state.version != version:
            # An address may be used again: the entry goes only if it is still that of the tile which is gone.
            state = self._states[number] = _State(weakref.ref(tile, lambda gone: self._drop(number, gone)), version, 0)
        self._states.move_to_end(number)
        return state

    def _drop(self, number: int, gone: weakref.ref[Tile]) -> None:
        with self._lock:
            state = self._states.get(number)
            if state is not None and state.tile is gone:
                del self._states[number]
