"""Where the inputs and outputs of a layer lie on its tiles, in the form that the kernels of whole layers need."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem.errors import ValidationError

__all__ = ["Tiling"]

Places = NDArray[np.int32]


class Tiling(NamedTuple):
    """Tiles of one shape in a grid: tile ``r·columns of the grid + c`` is in row r and column c of the grid."""

    inputs: Places
    """Input of the layer on each word line, -1 for a spare one, (tiles, rows)."""
    outputs: Places
    """Output of the layer on each pair of bit lines, plus before minus, -1 for a spare one, (tiles, pairs)."""
    grid: tuple[int, int]
    """Number of tiles along the inputs and along the outputs."""
    shape: tuple[int, int]
    """Number of inputs and of outputs of the layer."""

    def check(self) -> Tiling:
        """Return self if tiles of different columns of the grid share no output, and all places exist.

        Raises
        ------
        ValidationError
            If tiles of different columns of the grid share an output, or a place does not exist.
        """
        tiles = self.grid[0] * self.grid[1]
        for name, places, size in (("inputs", self.inputs, self.shape[0]), ("outputs", self.outputs, self.shape[1])):
            if places.ndim != 2 or len(places) != tiles or places.dtype != np.int32:
                raise ValidationError(name, f"must be 32-bit integers, ({tiles}, lines)", (places.shape, places.dtype))
            if places.size and not (places.min() >= -1 and places.max() < size):
                raise ValidationError(name, f"must lie in [-1, {size - 1}]", (int(places.min()), int(places.max())))
        owner = np.full(self.shape[1], -1)
        for column in range(self.grid[1]):
            own = self.outputs[column :: self.grid[1]]
            own = np.unique(own[own >= 0])
            if (owner[own] >= 0).any():
                raise ValidationError("outputs", "must belong to tiles of one column of the grid each", own.tolist())
            owner[own] = column
        return self

    @property
    def shares_inputs(self) -> bool:
        """Whether the tiles of each row of the grid have the same inputs on the same word lines."""
        rows = self.inputs.reshape(*self.grid, self.inputs.shape[1])
        return bool((rows == rows[:, :1]).all())
