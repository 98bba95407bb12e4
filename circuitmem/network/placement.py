"""Where the inputs and outputs of a tile's share of a layer lie on the tile."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from circuitmem.network.partition import Partition
from circuitmem.tile import PAIRS, ColumnLayout

__all__ = ["Placement"]

Places = NDArray[np.intp]


@dataclass(frozen=True)
class Placement:
    """Word line of each input and place of each output on one tile; unused ones are spare.

    Attributes
    ----------
    rows : (inputs,) ndarray of int
        Word lines, each once.
    pairs : (outputs,) ndarray of int
        Places of the outputs, each once; in a layout of pairs, place p has the bit lines 2p and 2p + 1.
    layout : ColumnLayout
        Which bit lines a place has; pairs when left out.
    """

    rows: Places
    pairs: Places
    layout: ColumnLayout = PAIRS

    @classmethod
    def of(cls, partition: Partition, tile: int, first: int = 0) -> Placement:
        """Return the places that a partition gives to the inputs and outputs of a tile, in order.

        Parameters
        ----------
        partition : Partition
            How the layer is cut.
        tile : int
            Which of its tiles.
        first : int
            Place of the first output, >= 0.
        """
        lines, outputs = partition.word_lines(tile), partition.output_slice(tile)
        places = np.arange(first, first + outputs.stop - outputs.start)
        return cls(np.arange(lines.start, lines.stop), places, partition.layout)

    @cached_property
    def columns(self) -> Places:
        """Bit lines in the order of the outputs: shared ones first, and plus before minus in a pair."""
        return self.layout.columns(self.pairs)

    @cached_property
    def cells(self) -> tuple[Places, Places]:
        """Index of the used cells, in the order of inputs and of :attr:`columns`."""
        return self.rows[:, None], self.columns[None, :]
