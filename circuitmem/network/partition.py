"""How a layer that is larger than a tile is cut into a grid of tiles."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from circuitmem.tile import PAIRS, ColumnLayout

__all__ = ["Partition"]


@dataclass(frozen=True)
class Partition:
    """A grid of tiles for a layer: rows of tiles share inputs, columns of tiles share outputs.

    Inputs and outputs are dealt out evenly. On each tile the used word lines are the last ones, nearest to the sense
    amplifiers, and the used bit lines the first ones, nearest to the drivers; an output's bit lines are never split
    between two tiles. Copies of a layer lie beside each other, on tiles of their own: the outputs are those of the
    first copy, then those of the next.

    Parameters
    ----------
    inputs, outputs : int
        Size of the layer, with the outputs of all its copies.
    rows, columns : int
        Size of a tile.
    layout : ColumnLayout
        Which columns of a tile represent an output; pairs when left out.
    copies : int
        Number of copies of the layer, each on its own set of tiles; divides ``outputs``.
    """

    inputs: int
    outputs: int
    rows: int
    columns: int
    layout: ColumnLayout = PAIRS
    copies: int = 1

    @property
    def grid(self) -> tuple[int, int]:
        """Tiles along the inputs and along the outputs."""
        return ceil(self.inputs / self.rows), self.copies * ceil(self.of_each / self.layout.places(self.columns))

    @property
    def of_each(self) -> int:
        """Outputs of each copy."""
        return self.outputs // self.copies

    def copy_of(self, tile: int) -> int:
        """Return which copy a tile belongs to, from 0."""
        return tile % self.grid[1] // (self.grid[1] // self.copies)

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return self.grid[0] * self.grid[1]

    def input_slice(self, tile: int) -> slice:
        """Return the inputs of a tile; tiles are counted along the outputs first."""
        return _share(self.inputs, self.grid[0], tile // self.grid[1])

    def output_slice(self, tile: int) -> slice:
        """Return the outputs of a tile."""
        copy, columns = self.copy_of(tile), self.grid[1] // self.copies
        own = _share(self.of_each, columns, tile % columns)
        return slice(copy * self.of_each + own.start, copy * self.of_each + own.stop)

    @property
    def shares(self) -> list[int]:
        """Outputs of each tile."""
        slices = map(self.output_slice, range(self.tiles))
        return [own.stop - own.start for own in slices]

    def word_lines(self, tile: int) -> slice:
        """Return the used word lines of a tile."""
        inputs = self.input_slice(tile)
        return slice(self.rows - (inputs.stop - inputs.start), self.rows)

    def bit_lines(self, tile: int) -> slice:
        """Return the used bit lines of a tile."""
        outputs = self.output_slice(tile)
        return slice(0, self.layout.used(outputs.stop - outputs.start))


def _share(total: int, parts: int, index: int) -> slice:
    return slice(total * index // parts, total * (index + 1) // parts)
