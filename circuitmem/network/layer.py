"""A layer of weights on a grid of tiles: programmed, read, corrected, and added up digitally."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuitmem.control import OPERATIONS, Chip, Priority, Process, Unit
from circuitmem.network.partition import Partition
from circuitmem.tile import PairMapping

__all__ = ["Correction", "HardwareLayer"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass
class Correction:
    """Two stored words a column and group of word lines: ``corrected = scale·measured + shift``, in amperes.

    Attributes
    ----------
    scale, shift : (groups, tiles, columns) ndarray
        Factor, and shift [A].
    """

    scale: Floats
    shift: Floats

    @classmethod
    def identity(cls, tiles: int, columns: int) -> Correction:
        """Correct nothing, with one group."""
        return cls(np.ones((1, tiles, columns)), np.zeros((1, tiles, columns)))

    @property
    def groups(self) -> int:
        """Groups of word lines that are read one after another."""
        return int(self.scale.shape[0])

    def apply(self, currents: Floats) -> Floats:
        """Return corrected currents, (groups, tiles, batch, columns) A, for measured ones of the same shape."""
        return self.scale[:, :, None, :] * currents + self.shift[:, :, None, :]


class HardwareLayer:
    """One layer of the network on its tiles.

    Parameters
    ----------
    chip : Chip
        The chip.
    units : list of Unit
        Its tiles, as many as the partition says.
    partition : Partition
        How the layer is cut.
    mapping : PairMapping
        Weights to the conductances between word and bit lines.
    input_scale : float
        Activity that the highest DAC code stands for, > 0.

    Attributes
    ----------
    saturated : int
        Activities so far that were larger than that: their DAC code saturated.
    """

    def __init__(
        self, chip: Chip, units: list[Unit], partition: Partition, mapping: PairMapping, input_scale: float
    ) -> None:
        self.chip = chip
        self.units = units
        self.partition = partition
        self.mapping = mapping
        self.input_scale = input_scale
        self.saturated = 0
        self.correction = Correction.identity(len(units), chip.spec.tile.columns)
        #: Called with (unit, DAC codes of each read) before every product: how an audit sees the run's own reads.
        self.observer: Callable[[Unit, Codes], None] | None = None

    def program(self, weights: Floats, deadband: float) -> Process:
        """Program the tiles towards ``weights`` (inputs, outputs), in parallel as far as there are drivers."""
        pairs = self.chip.spec.tile.cell.memristor_conductance(self.mapping.conductances(weights))
        processes = []
        for index, unit in enumerate(self.units):
            wanted = unit.asked.copy()
            inputs, outputs = self.partition.input_slice(index), self.partition.output_slice(index)
            block = pairs[inputs, 2 * outputs.start : 2 * outputs.stop]
            wanted[self.partition.word_lines(index), self.partition.bit_lines(index)] = block
            processes.append(self.chip.program(unit, wanted, deadband))
        yield from self.chip.together(processes)

    def verify(self, tries: int, tolerance: float) -> Process:
        """Read every cell back, row by row, and program again what is off by more than ``tolerance`` [S].

        The read-back goes through the same converters with their errors; stuck cells are tried again like the others.
        """
        for _ in range(tries):
            conductances = yield from self.read_back("verify_read")
            processes = []
            for unit, found in zip(self.units, conductances, strict=True):
                wanted = unit.asked
                unit.asked = np.where(np.abs(found - wanted) > tolerance, found, wanted)
                processes.append(self.chip.program(unit, wanted, tolerance))
            yield from self.chip.together(processes)

    def read_back(self, kind: str, priority: Priority = Priority.NORMAL) -> Process:
        """Read every cell, row by row; returns the memristors' conductances (tiles, rows, columns) S as measured."""
        spec, converters = self.chip.spec, self.chip.spec.converters
        codes = [np.diag(np.full(self.partition.rows, converters.dac.levels - 1)) for _ in self.units]
        largest = spec.device.maximum_conductance * converters.dac.full_scale
        span = converters.adc.maximum - converters.adc.minimum
        gain = 0.8 * span / (largest * converters.tia.transimpedance)
        currents = yield from self.measure(codes, 1, kind, priority, gain)
        return spec.tile.cell.memristor_conductance(currents[0] / converters.dac.full_scale)

    def within_range(self, activities: Floats) -> Floats:
        """Return activities >= 0 as the DACs can say them: at most :attr:`input_scale`; what saturates is counted."""
        self.saturated += int(np.count_nonzero(activities > self.input_scale))
        return np.clip(activities, 0.0, self.input_scale)

    def input_codes(self, activities: Floats) -> list[Codes]:
        """Return the DAC codes of every tile, each (batch, rows), for activities (batch, inputs)."""
        found = []
        for index, unit in enumerate(self.units):
            values = np.zeros((len(activities), self.partition.rows))
            values[:, self.partition.word_lines(index)] = activities[:, self.partition.input_slice(index)]
            found.append(unit.readout.dac.codes(values / self.input_scale))
        return found

    def drives(self, codes: list[Codes], groups: int, kind: str = "mac_read") -> list[Codes]:
        """Return the DAC codes of each single read of every tile, (reads, rows), for inputs (batch, rows).

        Groups of word lines come one after another, and for each input its bits, if they are read serially.
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
    ) -> Process:
        """Read all tiles, group of word lines after group; returns currents (groups, tiles, batch, columns) A.

        The currents are what the codes mean to somebody who knows only the design of the converters. The digital core
        adds those of bit-serial inputs. A ``gain`` holds for these reads alone.
        """
        planes = yield from self._planes(codes, groups, kind, priority, gain)
        if planes.shape[3] == 1:
            return planes[:, :, :, 0]
        yield from self.chip.compute(2 * planes.size, priority)
        weights = np.array(self.chip.spec.converters.dac.plane_weights)
        return (weights[:, None] * planes).sum(axis=3)

    def _planes(
        self,
        codes: list[Codes],
        groups: int,
        kind: str,
        priority: Priority = Priority.NORMAL,
        gain: float | None = None,
    ) -> Process:
        """Read all tiles; returns the currents of single reads, (groups, tiles, batch, planes, columns) A."""
        self.chip.refresh(self.units)
        answers = yield from self.chip.together(
            self.chip.read(unit, some, kind, priority, gain)
            for unit, some in zip(self.units, self.drives(codes, groups, kind), strict=True)
        )
        columns = self.chip.spec.tile.columns
        currents = [
            unit.readout.adc.nominal_current(answer, gain).reshape(groups, len(tile_codes), -1, columns)
            for unit, answer, tile_codes in zip(self.units, answers, codes, strict=True)
        ]
        return np.stack(currents, axis=1)

    def forward(self, activities: Floats, priority: Priority = Priority.NORMAL) -> Process:
        """Multiply activities (batch, inputs) by the weights on the tiles; returns (batch, outputs)."""
        codes = self.input_codes(activities)
        if self.observer is not None:
            for unit, some in zip(self.units, self.drives(codes, self.correction.groups), strict=True):
                self.observer(unit, some)
        currents = yield from self.measure(codes, self.correction.groups, "mac_read", priority)
        partial = self.correction.apply(currents).sum(axis=0)
        sums = np.zeros((len(activities), self.partition.outputs))
        for index in range(len(self.units)):
            used = partial[index][:, self.partition.bit_lines(index)]
            sums[:, self.partition.output_slice(index)] += used[:, 0::2] - used[:, 1::2]
        yield from self.chip.compute(2 * currents.size, priority)
        return sums / self.current_scale

    @property
    def current_scale(self) -> float:
        """Current [A] that a product of 1 (weight times activity) stands for."""
        full_scale = self.chip.spec.converters.dac.full_scale
        return full_scale / self.input_scale * self.mapping.scale

    def ideal_currents(self, codes: list[Codes], groups: int) -> Floats:
        """Return what perfect tiles, programmed as asked, would give: (groups, tiles, batch, columns) A."""
        cell = self.chip.spec.tile.cell
        ideal = [
            (unit.readout.dac.nominal(split(tile_codes, groups)) @ cell.mesh_conductance(unit.asked)).reshape(
                groups, len(tile_codes), -1
            )
            for unit, tile_codes in zip(self.units, codes, strict=True)
        ]
        return np.stack(ideal, axis=1)

    def set_range(self, codes: list[Codes], groups: int) -> Process:
        """Choose each tile's amplifier gain from measured reads at gain 1, to use 80 % of the range.

        One gain a tile; a column that is saturated already does not count, for it would hide all the others.
        """
        for unit in self.units:
            unit.readout.adc.set_pga_gain(1.0)
        currents = yield from self._planes(codes, groups, "calibration_read")
        for index, unit in enumerate(self.units):
            adc = unit.readout.adc
            largest = np.quantile(currents[:, index].max(axis=(0, 1, 2)), 0.9) * adc.tia.transimpedance
            adc.set_pga_gain(np.clip(0.8 * (adc.spec.maximum - adc.spec.minimum) / max(largest, 1e-9), 0.25, 64.0))


def split(codes: Codes, groups: int) -> Codes:
    """Return (groups·batch, rows) codes in which only one group of word lines is driven at a time."""
    if groups == 1:
        return codes
    rows = codes.shape[1]
    group = np.arange(rows) * groups // rows
    return np.concatenate([np.where(group == index, codes, 0) for index in range(groups)])
