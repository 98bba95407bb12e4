"""Reads of a layer's tiles: the lines that are used, the codes that drive them, and the currents of the columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.control import OPERATIONS, Chip, Priority, Process, Unit, UsedLines, turns
from circuitmem.converter import AdcBank
from circuitmem.network.partition import Partition
from circuitmem.network.placement import Placement
from circuitmem.network.tiling import LayerTiling, split

__all__ = ["TiledLayer"]

GAINS = 0.25, 64.0
"""Smallest and largest gain of a tile's programmable amplifiers."""

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


class TiledLayer:
    """Reads of the tiles of one layer; a subclass decides what is done with the results.

    Parameters
    ----------
    chip : Chip
        The chip.
    units : list of Unit
        The layer's tiles, as many as the partition has.
    partition : Partition
        How the layer is cut.
    firsts : sequence of int, optional
        First place of its outputs on each tile, if it shares tiles with other layers.

    Attributes
    ----------
    placements : list of Placement
        Where on each tile its inputs and outputs lie.
    shares_tiles : bool
        Whether other layers may use its tiles, too.
    codes_read, codes_saturated : int
        Number of ADC codes that products have read so far, and how many of them were the highest code. They are counted
        where tiles are shared, because accounts are those of whole tiles.
    """

    def __init__(
        self, chip: Chip, units: list[Unit], partition: Partition, firsts: Sequence[int] | None = None
    ) -> None:
        self.chip, self.units, self.partition = chip, units, partition
        self.shares_tiles = firsts is not None
        self.codes_read = self.codes_saturated = 0
        begin = [0] * len(units) if firsts is None else firsts
        self.placements = [Placement.of(partition, tile, first) for tile, first in enumerate(begin)]
        self._tiling: LayerTiling | None = None
        self._used: tuple[LayerTiling, list[UsedLines | None]] | None = None

    @property
    def tiling(self) -> LayerTiling:
        """Where weights, inputs and outputs lie on the tiles."""
        if self._tiling is None or not self._tiling.is_of(self.placements):
            self._tiling = LayerTiling(self.partition, self.placements)
        return self._tiling

    def used_lines(self, *, whole: bool = False) -> list[UsedLines | None]:
        """Return the lines of each tile that are read; None for all of them, as on a chip that is not gated.

        The tiles of a layer are read in step: all wait for the ADC that has most to convert.
        """
        spec, tiling = self.chip.spec, self.tiling
        if self._reads_whole(whole):
            return [None] * len(self.units)
        if self._used is None or self._used[0] is not tiling:
            columns = []
            for place in self.placements:
                own = np.zeros(spec.tile.columns, dtype=bool)
                own[place.columns] = True
                columns.append(own)
            most = max(turns(spec, own) for own in columns)
            pairs = zip(self.placements, columns, strict=True)
            self._used = tiling, [UsedLines.of(spec, len(place.rows), own, most) for place, own in pairs]
        return self._used[1]

    def _reads_whole(self, whole: bool) -> bool:
        return not self.chip.spec.reads_used_lines or (whole and not self.shares_tiles)

    def own_places(self, index: int) -> tuple[Placement, NDArray[np.intp]]:
        """Return a tile's placement, numbered among the places that the layer may use, and these places.

        The layer may use the whole tile, unless it shares tiles with other layers.
        """
        place, layout = self.placements[index], self.partition.layout
        if not self.shares_tiles:
            return place, np.arange(layout.places(self.partition.columns))
        own = np.sort(place.pairs)
        return replace(place, pairs=np.searchsorted(own, place.pairs)), own

    def of_own_cells(self, wanted: Floats, index: int) -> Floats:
        """Return the wanted values of a tile's cells, (rows, columns), with nan for cells of other layers."""
        if not self.shares_tiles:
            return wanted
        own = np.full_like(wanted, np.nan)
        cells = self.placements[index].cells
        own[cells] = wanted[cells]
        return own

    def columns_read(self, *, whole: bool = False) -> int:
        """Return how many bit lines all tiles together convert in a read."""
        used = self.used_lines(whole=whole)
        whole_tiles = used.count(None)
        columns = whole_tiles * self.units[0].whole_read.columns if whole_tiles else 0
        return columns + sum(own.cost.columns for own in used if own is not None)

    def each_row(self, *, whole: bool = False) -> list[Codes]:
        """Return DAC codes that drive the word lines of each tile one at a time, (reads, rows) each.

        A gated chip drives only the used ones, unless the ``whole`` tile is to be read. A tile with fewer used lines
        than the others then ends with reads that drive none.
        """
        high, rows = self.chip.spec.converters.dac.levels - 1, self.partition.rows
        if self._reads_whole(whole):
            return [np.diag(np.full(rows, high))] * len(self.units)
        most, found = max(len(place.rows) for place in self.placements), []
        for place in self.placements:
            drive = np.zeros((most, rows), dtype=np.int64)
            drive[np.arange(len(place.rows)), place.rows] = high
            found.append(drive)
        return found

    def of_cells(self, found: Floats, known: Sequence[Floats], *, whole: bool = False) -> Floats:
        """Return one number per cell, (tiles, rows, columns), from what reads of :meth:`each_row` ``found`` at columns.

        Cells that were not read get their numbers from ``known``.
        """
        if self._reads_whole(whole):
            return found
        cells = np.stack(known)
        for own, read, place in zip(cells, found, self.placements, strict=True):
            own[place.cells] = read[: len(place.rows), place.columns]
        return cells

    def drives_of(self, codes: NDArray[Any]) -> list[Codes]:
        """Return the codes of each tile's word lines, (batch, rows), from those of the layer, (batch, inputs).

        All copies of the layer get the same codes, unless these are :meth:`dealt` out.
        """
        return [self._codes_of(index, codes) for index in range(len(self.units))]

    def _codes_of(self, index: int, codes: NDArray[Any]) -> Codes:
        """Return the codes of a tile's word lines, (batch, rows), from those of the layer, (batch, inputs)."""
        inputs, own = self.partition.input_slice(index), np.zeros((len(codes), self.partition.rows), dtype=np.int64)
        first = 0 if codes.shape[1] == self.partition.inputs else self.partition.copy_of(index) * self.partition.inputs
        own[:, self.placements[index].rows] = codes[:, first + inputs.start : first + inputs.stop]
        return own

    def dealt(self, vectors: NDArray[Any]) -> NDArray[Any]:
        """Return vectors (batch, inputs) dealt out to the layer's copies, one each in turn, (reads, copies·inputs).

        If the batch is not a multiple of the number of copies, the last copies get zeros in the last read.
        """
        copies = self.partition.copies
        missing = -len(vectors) % copies
        if missing:
            vectors = np.concatenate([vectors, np.zeros((missing, vectors.shape[1]), vectors.dtype)])
        return vectors.reshape(-1, copies * vectors.shape[1])

    def drives(self, codes: list[Codes], groups: int, kind: str = "mac_read") -> list[Codes]:
        """Return the DAC codes of each single read of every tile, (reads, rows), for inputs (batch, rows).

        Groups of word lines come one after another; each input gives one read per bit plane if it is read serially.
        """
        cut = [split(tile_codes, groups) for tile_codes in codes]
        if not OPERATIONS[kind].levels:
            return cut
        return [unit.readout.dac.planes(some) for unit, some in zip(self.units, cut, strict=True)]

    def measure(
        self,
        codes: list[Codes],
        groups: int,
        kind: str,
        priority: Priority = Priority.NORMAL,
        gain: float | None = None,
        *,
        whole: bool = False,
    ) -> Process:
        """Read all tiles, one group of word lines after another; returns currents (groups, tiles, batch, columns) A.

        The currents are calculated from the codes with the nominal values of the converters. The digital core adds up
        the bit planes of bit-serial inputs. A ``gain`` holds for these reads only. With ``whole`` a gated chip reads
        whole tiles, too.
        """
        answers = yield from self._answers(codes, groups, kind, priority, gain, whole)
        planes = self.currents(answers, len(codes[0]), groups, gain)
        if planes.shape[3] > 1:
            reads = planes.size // (len(self.units) * self.partition.columns)
            yield from self.chip.compute(2 * reads * self.columns_read(whole=whole), priority)
        return self.whole_inputs(planes)

    def currents(self, answers: Sequence[Codes], batch: int, groups: int, gain: float | None = None) -> Floats:
        """Return the nominal currents for the ADC codes of all tiles, (groups, tiles, batch, planes, columns) A.

        ``answers`` has the codes of each tile in the order of :meth:`drives`, (groups·batch·planes, columns).
        """
        found = [
            unit.readout.adc.nominal_current(answer, gain).reshape(groups, batch, -1, answer.shape[1])
            for unit, answer in zip(self.units, answers, strict=True)
        ]
        return np.stack(found, axis=1)

    def whole_inputs(self, planes: Floats) -> Floats:
        """Return the currents of whole inputs (…, columns), from those of single reads (…, planes, columns) [A]."""
        if planes.shape[-2] == 1:
            return planes[..., 0, :]
        weights = np.array(self.chip.spec.converters.dac.plane_weights)
        return np.asarray((weights[:, None] * planes).sum(axis=-2))

    def _answers(
        self,
        codes: list[Codes],
        groups: int,
        kind: str,
        priority: Priority,
        gain: float | None = None,
        whole: bool = False,
    ) -> Process:
        """Read all tiles; returns the ADC codes of each, (groups·batch·planes, columns)."""
        drives, used = self.drives(codes, groups, kind), self.used_lines(whole=whole)
        answers = yield from self.chip.read_all(self.units, drives, kind, priority, gain, used)
        if kind == "mac_read" and self.shares_tiles:
            self.codes_read += len(answers[0]) * self.columns_read()
            top = self.chip.spec.converters.adc.highest_code
            self.codes_saturated += sum(int(np.count_nonzero(each == top)) for each in answers)
        return answers

    def read_back(self, kind: str, priority: Priority = Priority.NORMAL) -> Process:
        """Read every cell, row by row; returns the memristors' conductances (tiles, rows, columns) S as measured.

        Cells that a gated chip does not read are assumed to have the conductance that was asked of them.
        """
        found = yield from self.read_cells(self.each_row(), kind, priority)
        return self.of_cells(found, [unit.asked for unit in self.units])

    def read_cells(self, codes: list[Codes], kind: str, priority: Priority = Priority.NORMAL) -> Process:
        """Read single word lines of all tiles, at the highest DAC code; returns (tiles, lines, columns) S."""
        spec, converters = self.chip.spec, self.chip.spec.converters  # a cell at its maximum uses 80 % of the range
        most = spec.device.maximum_conductance * converters.dac.full_scale * converters.tia.transimpedance
        gain = 0.8 * (converters.adc.maximum - converters.adc.minimum) / most
        currents = yield from self.measure(codes, 1, kind, priority, gain)
        return spec.tile.cell.memristor_conductance(currents[0] / converters.dac.full_scale)

    @property
    def least_gains(self) -> int:
        """Number of tiles at the smallest gain that :meth:`set_range` can find, as reads at gain 1 filled the range."""
        found = 0
        for unit, place in zip(self.units, self.placements, strict=True):
            adc = unit.readout.adc
            gains = adc.pga_gain[place.columns] if self.shares_tiles else adc.pga_gain
            found += bool((gains <= _gain(adc, adc.spec.maximum - 0.5 * adc.spec.lsb)).all())
        return found

    def set_range(self, codes: list[Codes], groups: int) -> Process:
        """Choose each tile's amplifier gain from measured reads at gain 1, to use 80 % of the range.

        There is one gain per tile, chosen from the columns that have weights. The tenth of them with the largest
        currents is ignored, because a saturated column would decide for all the others.
        """
        for index in range(len(self.units)):
            self._set_gain(index, 1.0)
        answers = yield from self._answers(codes, groups, "calibration_read", Priority.NORMAL)
        self.choose_gains(self.currents(answers, len(codes[0]), groups))

    def choose_gains(self, currents: Floats) -> None:
        """Set the gain of each tile for single reads like these, (groups, tiles, batch, planes, columns) A."""
        for index, unit in enumerate(self.units):
            adc = unit.readout.adc
            used = currents[:, index].max(axis=(0, 1, 2))[self.placements[index].columns]
            largest = np.quantile(used, 0.9) * adc.tia.transimpedance
            self._set_gain(index, _gain(adc, largest))

    def _set_gain(self, index: int, gain: float) -> None:
        """Set the gain of a tile's amplifiers; on a shared tile, of those of the layer's columns."""
        adc = self.units[index].readout.adc
        if self.shares_tiles:
            gains = adc.pga_gain.copy()
            gains[self.placements[index].columns] = gain
            adc.set_pga_gain(gains)
        else:
            adc.set_pga_gain(gain)


def _gain(adc: AdcBank, largest: float) -> float:
    """Return the gain at which an output of ``largest`` at gain 1 [V] uses 80 % of the range."""
    return float(np.clip(0.8 * (adc.spec.maximum - adc.spec.minimum) / max(largest, 1e-9), *GAINS))
