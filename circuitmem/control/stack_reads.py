"""Reads of consecutive tiles in one call, or in several where the tables of their DACs are too large to be kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Addresses
from circuitmem._kernels.stack_reads import (
    IdealWires,
    Matrices,
    StackChannels,
    StackCorrection,
    StackRead,
    read_stack,
)
from circuitmem._kernels.tiling import Tiling
from circuitmem.converter import Readout

__all__ = ["StackReads"]

PIECE = 64
"""Most tiles that are read at once where their converters are assembled for each read."""
VOLTAGES = 1 << 25
"""Most DAC voltages that these tiles may have together: if they would have more, fewer tiles are read at once."""

Places = NDArray[np.intp]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class StackReads:
    """A read of consecutive tiles; the fields are parameters of :func:`circuitmem._kernels.stack_reads.read_stack`.

    Attributes
    ----------
    codes : (batch, inputs) ndarray of int with a tiling, else (tiles, batch, rows)
        DAC codes.
    source : IdealWires or Matrices
        How the tiles turn voltages into currents.
    noise : Addresses
        Address of each tile's noise.
    """

    codes: NDArray[np.int64]
    source: IdealWires | Matrices
    noise: Addresses
    tiling: Tiling | None = None
    correction: StackCorrection | None = None
    groups: int = 1
    keep_codes: bool = True

    def read(self, channels: StackChannels, threads: int, converted: Mask | None = None) -> StackRead:
        """Read all tiles with these converters; columns that are not ``converted``, (tiles, columns), have code 0."""
        if converted is not None:
            channels = channels._replace(highest=np.where(converted, channels.highest, 0.0))
        return read_stack(
            self.codes,
            self.source,
            channels,
            self.noise,
            tiling=self.tiling,
            correction=self.correction,
            groups=self.groups,
            keep_codes=self.keep_codes,
            threads=threads,
        )

    def read_in_pieces(self, readouts: Sequence[Readout], threads: int, converted: Mask | None = None) -> StackRead:
        """Read all tiles piece by piece, with the same result to the last bit: no output has tiles in two pieces."""
        found: list[tuple[Places, StackRead]] = []
        top = readouts[0].adc.spec.highest_code
        voltages = readouts[0].dac.rows * readouts[0].dac.spec.levels
        for tiles in self._pieces(len(readouts), min(PIECE, VOLTAGES // voltages)):
            each = [readouts[tile].channels() for tile in tiles.tolist()]
            own = None if converted is None else converted[tiles]
            found.append((tiles, self._of(tiles).read(StackChannels.of(each, top), threads, own)))
            del each  # makes room for the next ones
        first, count = found[0][1], len(readouts)
        power = np.empty((count, first.power.shape[1]))
        saturated = np.empty(count, dtype=np.int64)
        codes = None if first.codes is None else np.empty((count, *first.codes.shape[1:]), dtype=first.codes.dtype)
        sums = None if first.sums is None else np.zeros_like(first.sums)
        for tiles, part in found:
            power[tiles], saturated[tiles] = part.power, part.saturated
            if codes is not None and part.codes is not None:
                codes[tiles] = part.codes
            if sums is not None and part.sums is not None and self.tiling is not None:
                outputs = self.tiling.outputs[tiles]
                own = np.unique(outputs[outputs >= 0])
                sums[:, own] = part.sums[:, own]
        return StackRead(codes, sums, power, saturated)

    def _pieces(self, count: int, most: int) -> list[Places]:
        """Return the tiles of each piece: whole columns of the grid, whose outputs are theirs alone."""
        rows, columns = (1, count) if self.tiling is None else self.tiling.grid
        step, places = max(1, most // rows), np.arange(count).reshape(rows, columns)
        return [places[:, first : first + step].ravel() for first in range(0, columns, step)]

    def _of(self, tiles: Places) -> StackReads:
        """Return the read of some of the tiles."""
        noise = Addresses(self.noise.keys[tiles], self.noise.operations[tiles])
        each = tiles.tolist()
        if isinstance(self.source, IdealWires):
            sense = self.source.sense if len(self.source.sense) == 1 else self.source.sense[tiles]
            source: IdealWires | Matrices = IdealWires([self.source.conductance[tile] for tile in each], sense)
        else:
            to, into = self.source
            source = Matrices([to[tile] for tile in each], None if into is None else [into[tile] for tile in each])
        tiling, correction = self.tiling, self.correction
        if tiling is None:
            return replace(self, codes=self.codes[tiles], source=source, noise=noise)
        grid = tiling.grid[0], len(each) // tiling.grid[0]
        tiling = tiling._replace(inputs=tiling.inputs[tiles], outputs=tiling.outputs[tiles], grid=grid)
        if correction is not None:
            slope, constant = correction.slope[:, tiles], correction.constant[tiles]
            correction = correction._replace(slope=slope, constant=constant)
        return replace(self, source=source, noise=noise, tiling=tiling, correction=correction)
