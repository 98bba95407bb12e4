"""Where on a tile the inputs and outputs of its share of a layer lie."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from circuitmem.network.partition import Partition

__all__ = ["Placement"]

Places = NDArray[np.intp]


@dataclass(frozen=True)
class Placement:
    """Word line of each input, and pair of bit lines of each output, of one tile. What no one uses is spare.

    Attributes
    ----------
    rows : (inputs,) ndarray of int
        Word lines, each once.
    pairs : (outputs,) ndarray of int
        Pair p has the bit lines 2p and 2p + 1; each once.
    """

    rows: Places
    pairs: Places

    @classmethod
    def of(cls, partition: Partition, tile: int) -> Placement:
        """Return the places that a partition gives to the inputs and outputs of a tile, in order."""
        lines, columns = partition.word_lines(tile), partition.bit_lines(tile)
        return cls(np.arange(lines.start, lines.stop), np.arange(columns.stop // 2))

    @cached_property
    def columns(self) -> Places:
        """Bit lines in the order of the outputs, plus before minus."""
        return (2 * self.pairs[:, None] + np.arange(2)).ravel()

    @cached_property
    def cells(self) -> tuple[Places, Places]:
        """Index of the used cells, in the order of inputs and of outputs, plus before minus."""
        return self.rows[:, None], self.columns[None, :]
