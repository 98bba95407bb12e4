"""Where the weights, inputs and outputs of a layer lie on its tiles, for all tiles at once."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.tiling import Tiling
from circuitmem.network.partition import Partition
from circuitmem.network.placement import Placement
from circuitmem.tile import PAIRS

__all__ = ["LayerTiling", "split"]

Codes = NDArray[np.int64]


class LayerTiling:
    """The layout of a layer: slices of its inputs and outputs on a grid of tiles, and their lines and pairs.

    Parameters
    ----------
    partition : Partition
        How the layer is cut.
    placements : sequence of Placement
        Where on each tile its inputs and outputs lie.
    """

    def __init__(self, partition: Partition, placements: Sequence[Placement]) -> None:
        self.partition, self.placements = partition, tuple(placements)

    @cached_property
    def lines(self) -> Tiling:
        """Input of every word line and output of every pair of bit lines, as kernels take them; only for pairs."""
        partition = self.partition
        assert partition.layout == PAIRS
        tiles, rows, columns = len(self.placements), partition.rows, partition.columns
        inputs = np.full((tiles, rows), -1, dtype=np.int32)
        outputs = np.full((tiles, columns // 2), -1, dtype=np.int32)
        for tile, place in enumerate(self.placements):
            own = partition.input_slice(tile), partition.output_slice(tile)
            inputs[tile, place.rows] = np.arange(own[0].start, own[0].stop)
            outputs[tile, place.pairs] = np.arange(own[1].start, own[1].stop)
        return Tiling(inputs, outputs, partition.grid, (partition.inputs, partition.outputs)).check()

    @cached_property
    def dealt(self) -> Tiling:
        """The same for vectors that are dealt out among the copies of the layer, one each: (copies·inputs)."""
        partition, lines = self.partition, self.lines
        if partition.copies == 1:
            return lines
        first = np.array([partition.copy_of(tile) * partition.inputs for tile in range(len(self.placements))])
        inputs = np.where(lines.inputs < 0, -1, lines.inputs + first[:, None]).astype(np.int32)
        shape = partition.copies * partition.inputs, partition.outputs
        return lines._replace(inputs=inputs, shape=shape).check()

    def is_of(self, placements: Sequence[Placement]) -> bool:
        """Return whether this is the layout of these placements."""
        return all(map(operator.is_, self.placements, placements))


def split(codes: NDArray[Any], groups: int) -> NDArray[Any]:
    """Return (groups·batch, rows) codes in which only one group of word lines is driven at a time."""
    if groups == 1:
        return codes
    batch, rows = codes.shape
    drives = np.zeros((groups, batch, rows), dtype=codes.dtype)
    # Group g has the rows with row * groups // rows == g.
    edges = [-(-group * rows // groups) for group in range(groups + 1)]
    for drive, first, last in zip(drives, edges, edges[1:], strict=False):
        drive[:, first:last] = codes[:, first:last]
    return drives.reshape(-1, rows)
