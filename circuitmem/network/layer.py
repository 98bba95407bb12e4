"""A layer of weights on a grid of tiles: programmed, read, corrected, and added up digitally."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.control import (
    OPERATIONS,
    Chip,
    Conductances,
    LayerCodes,
    LayerSums,
    Priority,
    Process,
    Targets,
    Unit,
)
from circuitmem.converter import AdcBank
from circuitmem.errors import ValidationError
from circuitmem.network.correction import Correction
from circuitmem.network.partition import Partition
from circuitmem.network.placement import Placement
from circuitmem.network.tiling import LayerTiling, split
from circuitmem.tile import PairMapping, WeightMapping
from circuitmem.validation import finite_array

__all__ = ["HardwareLayer"]

GAINS = 0.25, 64.0
"""Least and largest gain of a tile's programmable amplifiers."""

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


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
    mapping : WeightMapping
        Weights to the conductances between word and bit lines, in columns as the partition has them.
    input_scale : float
        Activity that the highest DAC code stands for, > 0.

    Attributes
    ----------
    weights : (inputs, outputs) ndarray
        What the tiles were last programmed towards.
    correction : Correction
        What the digital core does to the measured currents.
    placements : list of Placement
        Where on each tile its inputs and outputs lie.
    stuck : (tiles, rows, columns) ndarray, optional
        What cells conduct that do not follow pulses [S], as reads have found them; nan for the others. Those that are
        left of a weight make up for it.
    prefactor : (tiles, rows, columns) ndarray, optional
        What wanted conductances are multiplied by before they are programmed.
    seen : (batch, inputs) ndarray
        Activities of the last forward pass before they were brought into the range of the DACs.
    converted, saturated : int
        Activities so far that were brought into the range of the DACs, and those of them that were larger than it:
        their DAC code saturated.
    """

    def __init__(
        self, chip: Chip, units: list[Unit], partition: Partition, mapping: WeightMapping, input_scale: float
    ) -> None:
        self.chip = chip
        self.units = units
        self.partition = partition
        self.mapping = mapping
        self.input_scale = input_scale
        self.converted = self.saturated = 0
        self.seen: Floats = np.zeros((0, partition.inputs))
        self.weights: Floats = np.zeros((partition.inputs, partition.outputs))
        self.correction = Correction.identity(len(units), chip.spec.tile.columns)
        self.placements = [Placement.of(partition, tile) for tile in range(len(units))]
        self.stuck: Floats | None = None
        self.prefactor: Floats | None = None
        self._tiling: LayerTiling | None = None
        self._slopes: tuple[Correction, list[Floats], LayerSums] | None = None

    @property
    def tiling(self) -> LayerTiling:
        """Where weights, inputs and outputs lie on the tiles."""
        if self._tiling is None or not self._tiling.is_of(self.placements):
            self._tiling = LayerTiling(self.partition, self.placements)
        return self._tiling

    def __getstate__(self) -> dict[str, Any]:
        # The tiles belong to the chip, which other layers may share: a copy finds them on the chip's copy.
        return {**vars(self), "units": [unit.index for unit in self.units]}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        self.units = [self.chip.units[index] for index in state["units"]]

    def state(self) -> dict[str, Any]:
        """Return what changes while the layer is used, for a checkpoint."""
        return {
            "weights": self.weights,
            "correction": self.correction.state(),
            "placements": [[place.rows, place.pairs] for place in self.placements],
            "stuck": self.stuck,
            "prefactor": self.prefactor,
            "input_scale": self.input_scale,
            "converted": self.converted,
            "saturated": self.saturated,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned."""
        self.weights, self.stuck, self.prefactor = state["weights"], state["stuck"], state["prefactor"]
        self.correction, self.saturated = Correction.of(state["correction"]), state["saturated"]
        self.input_scale = state.get("input_scale", self.input_scale)  # those of older versions never changed it
        self.converted = state.get("converted", 0)  # chips of older versions have not counted
        self.placements = [Placement(rows, places, self.partition.layout) for rows, places in state["placements"]]

    def target(self, index: int, weights: Floats) -> Floats:
        """Return what the :attr:`Placement.cells` of a tile conduct for its share of weights (inputs, outputs) [S]."""
        partition, place = self.partition, self.placements[index]
        share = weights[partition.input_slice(index), partition.output_slice(index)]
        return self.mapping.conductances(share, None if self.stuck is None else self.stuck[index][place.cells])

    def program(self, weights: Floats, deadband: float) -> Process:
        """Program the tiles towards ``weights`` (inputs, outputs), in parallel as far as there are drivers."""
        yield from self.chip.program_all(self.units, [self.targets(weights)], deadband)

    def targets(self, weights: Floats) -> Targets | Conductances:
        """Take ``weights`` (inputs, outputs) as asked, and return what they mean for the cells."""
        self.weights = weights  # the last ones make room
        self.weights = weights.copy()
        mapping, cell = self.mapping, self.chip.spec.tile.cell
        if not isinstance(mapping, PairMapping):
            return Conductances(np.stack([self._wanted(index) for index in range(len(self.units))]))
        return Targets(
            self.weights,
            self.tiling.lines,
            mapping.scale,
            mapping.minimum,
            mapping.maximum,
            cell.series_resistance if cell.is_plain else 0.0,
            self.prefactor,
            self.stuck,
            None if cell.is_plain else cell.memristor_conductance,
        )

    def _wanted(self, index: int) -> Floats:
        """Return what the devices of a tile are to conduct, (rows, columns) S; known stuck ones stay as asked."""
        place, wanted = self.placements[index], self.units[index].asked.copy()
        devices = self._devices(index, self.weights)
        if self.stuck is not None:
            devices = np.where(np.isnan(self.stuck[index][place.cells]), devices, wanted[place.cells])
        wanted[place.cells] = devices
        return wanted

    def _devices(self, index: int, weights: Floats) -> Floats:
        """Return what the devices of the :attr:`Placement.cells` of a tile conduct for its share of weights [S]."""
        between = self.target(index, weights)
        if self.prefactor is not None:
            between = between * self.prefactor[index][self.placements[index].cells]
            between = np.clip(between, self.mapping.minimum, self.mapping.maximum)
        return np.asarray(self.chip.spec.tile.cell.memristor_conductance(between))

    def limits(self) -> tuple[Floats, Floats]:
        """Return the lowest and highest weights that the cells can stand for, as far as known, (inputs, outputs)."""
        highest = np.full((self.partition.inputs, self.partition.outputs), self.mapping.largest_weight)
        lowest = -highest
        if self.stuck is not None:
            for index, place in enumerate(self.placements):
                own = self.partition.input_slice(index), self.partition.output_slice(index)
                lowest[own], highest[own] = self.mapping.limits(self.stuck[index][place.cells])
        return lowest, highest

    def at_limit(self, weights: Floats) -> int:
        """Return how many weights (inputs, outputs) use the whole range of the cells: larger ones are clipped."""
        return int(np.count_nonzero(np.abs(weights) >= self.mapping.largest_weight * (1.0 - 1e-12)))

    @property
    def least_gains(self) -> int:
        """How many tiles have amplifiers at the least gain: reads at gain 1 filled the range and told no lower one."""
        adcs = [unit.readout.adc for unit in self.units]
        return sum(bool((adc.pga_gain <= _gain(adc, adc.spec.maximum - 0.5 * adc.spec.lsb)).all()) for adc in adcs)

    def verify(self, tries: int, tolerance: float) -> Process:
        """Read every cell back, row by row, and program again what is off by more than ``tolerance`` [S].

        The read-back goes through the same converters with their errors; stuck cells are tried again like the others.
        """
        for _ in range(tries):
            conductances = yield from self.read_back("verify_read")
            wanted = [unit.asked.copy() for unit in self.units]
            for unit, found, own in zip(self.units, conductances, wanted, strict=True):
                unit.asked = np.where(np.abs(found - own) > tolerance, found, own)
            yield from self.chip.program_all(self.units, wanted, tolerance)

    def read_back(self, kind: str, priority: Priority = Priority.NORMAL) -> Process:
        """Read every cell, row by row; returns the memristors' conductances (tiles, rows, columns) S as measured."""
        each = np.diag(np.full(self.partition.rows, self.chip.spec.converters.dac.levels - 1))
        return (yield from self.read_cells([each] * len(self.units), kind, priority))

    def read_cells(self, codes: list[Codes], kind: str, priority: Priority = Priority.NORMAL) -> Process:
        """Read single word lines of all tiles, at the highest DAC code; returns (tiles, lines, columns) S."""
        spec, converters = self.chip.spec, self.chip.spec.converters  # a cell at its maximum uses 80 % of the range
        most = spec.device.maximum_conductance * converters.dac.full_scale * converters.tia.transimpedance
        gain = 0.8 * (converters.adc.maximum - converters.adc.minimum) / most
        currents = yield from self.measure(codes, 1, kind, priority, gain)
        return spec.tile.cell.memristor_conductance(currents[0] / converters.dac.full_scale)

    def within_range(self, activities: Floats) -> Floats:
        """Return activities as the DACs can say them: from 0 to :attr:`input_scale`; what saturates is counted."""
        self.seen = activities
        self.converted += activities.size
        self.saturated += int(np.count_nonzero(activities > self.input_scale))
        self.saturated += int(np.count_nonzero(activities < 0.0))
        return np.clip(activities, 0.0, self.input_scale)

    def input_codes(self, activities: Floats) -> list[Codes]:
        """Return the DAC codes of every tile, each (batch, rows), for activities (batch, inputs).

        Those above :attr:`input_scale` saturate.

        Raises
        ------
        ValidationError
            If an activity is negative (word lines have no such voltage: a signed input is read in two halves) or not
            finite, or there are none, or as many as the layer has no inputs for.
        """
        return self._codes_of_tiles(self._layer_codes(activities))

    def _layer_codes(self, activities: Floats) -> Codes:
        """Return the DAC codes of the layer's inputs: what code an activity gets is a matter of design, of no tile."""
        inputs, shape = self.partition.inputs, np.shape(activities)
        if len(shape) != 2 or shape[1] != inputs or not shape[0]:
            raise ValidationError("activities", f"must have shape (batch, {inputs}), with at least one vector", shape)
        activities = finite_array("activities", activities, minimum=0.0, copy=False)
        return self.units[0].readout.dac.codes(activities / self.input_scale)

    def _codes_of_tiles(self, codes: Codes) -> list[Codes]:
        return [self._codes_of(index, codes) for index in range(len(self.units))]

    def _codes_of(self, index: int, codes: Codes) -> Codes:
        """Return the codes of a tile's word lines, (batch, rows), for those of the layer, (batch, inputs)."""
        own = np.zeros((len(codes), self.partition.rows), dtype=codes.dtype)
        own[:, self.placements[index].rows] = codes[:, self.partition.input_slice(index)]
        return own

    def line_voltages(self, index: int, activities: Floats) -> Floats:
        """Return what perfect DACs without steps would drive the word lines of a tile with, (batch, rows) V."""
        values = np.zeros((len(activities), self.partition.rows))
        values[:, self.placements[index].rows] = activities[:, self.partition.input_slice(index)]
        return values * (self.chip.spec.converters.dac.full_scale / self.input_scale)

    def set_cells(self, weights: Floats) -> None:
        """Put the cells at what stands for ``weights``, without pulses, time or noise; stuck ones stay as they are."""
        for index, (unit, place) in enumerate(zip(self.units, self.placements, strict=True)):
            wanted = unit.asked.copy()
            wanted[place.cells] = self._devices(index, weights)
            unit.put(wanted, self.chip.clock)
        self.weights = weights.copy()  # last: whoever is stopped before does it all again

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
        if planes.shape[3] > 1:
            yield from self.chip.compute(2 * planes.size, priority)
        return self.whole_inputs(planes)

    def _planes(
        self,
        codes: list[Codes],
        groups: int,
        kind: str,
        priority: Priority = Priority.NORMAL,
        gain: float | None = None,
    ) -> Process:
        """Read all tiles; returns the currents of single reads, (groups, tiles, batch, planes, columns) A."""
        answers = yield from self._answers(codes, groups, kind, priority, gain)
        return self.currents(answers, len(codes[0]), groups, gain)

    def currents(self, answers: Sequence[Codes], batch: int, groups: int, gain: float | None = None) -> Floats:
        """Return what the ADC codes of all tiles mean, (groups, tiles, batch, planes, columns) A.

        ``answers`` are those of single reads as :meth:`drives` has them, (groups·batch·planes, columns) for each tile.
        """
        found = [
            unit.readout.adc.nominal_current(answer, gain).reshape(groups, batch, -1, answer.shape[1])
            for unit, answer in zip(self.units, answers, strict=True)
        ]
        return np.stack(found, axis=1)

    def whole_inputs(self, planes: Floats) -> Floats:
        """Return the currents of whole inputs (…, columns) for those of single reads (…, planes, columns) [A]."""
        if planes.shape[-2] == 1:
            return planes[..., 0, :]
        weights = np.array(self.chip.spec.converters.dac.plane_weights)
        return np.asarray((weights[:, None] * planes).sum(axis=-2))

    def _answers(
        self, codes: list[Codes], groups: int, kind: str, priority: Priority, gain: float | None = None
    ) -> Process:
        """Read all tiles; returns the ADC codes of each, (groups·batch·planes, columns)."""
        return (yield from self.chip.read_all(self.units, self.drives(codes, groups, kind), kind, priority, gain))

    def _corrected(self, codes: list[Codes], kind: str, priority: Priority) -> Process:
        """Read all tiles; returns the corrected currents of each, groups added up, (tiles, batch, columns) A."""
        correction = self.correction
        if self.chip.spec.converters.dac.input == "serial":
            currents = yield from self.measure(codes, correction.groups, kind, priority)
            return list(correction.apply(currents).sum(axis=0))
        answers = yield from self._answers(codes, correction.groups, kind, priority)
        found = []
        for index, (unit, answer, own) in enumerate(zip(self.units, answers, codes, strict=True)):
            # What a code means is a line, and so is the correction: both at once, group by group.
            zero, one = unit.readout.adc.nominal_current(np.arange(2)[:, None])
            scale, shift = correction.scale[:, index], correction.shift[:, index]
            reads, slopes = answer.reshape(correction.groups, len(own), -1), scale * (one - zero)
            total = reads[0] * slopes[0]
            total += (scale * zero + shift).sum(axis=0)
            for read, slope in zip(reads[1:], slopes[1:], strict=True):
                total += read * slope
            found.append(total)
        return found

    @property
    def digital_products(self) -> int:
        """Multiplications of an input by a weight that the digital core does for every product of the layer."""
        excess = self.correction.excess
        return 0 if excess is None else int(np.count_nonzero(excess))

    def measure_corrected(self, codes: list[Codes], kind: str) -> Process:
        """Read all tiles, and correct group by group; returns currents (groups, tiles, batch, columns) A.

        What is done to the outputs of the layer is left out.
        """
        correction = self.correction
        currents = yield from self.measure(codes, correction.groups, kind)
        if correction.changes_nothing:
            return currents
        corrected = correction.apply(currents)
        operations = 2 * corrected.size
        if correction.excess is not None:
            for index, (unit, own) in enumerate(zip(self.units, codes, strict=True)):
                driven = unit.readout.dac.nominal(split(own, correction.groups))
                taken = driven @ correction.excess[index]
                corrected[:, index] -= taken.reshape(correction.groups, len(own), -1)
            operations += 2 * len(codes[0]) * self.digital_products
        yield from self.chip.compute(operations)
        return corrected

    def forward(self, activities: Floats, priority: Priority = Priority.NORMAL, kind: str = "mac_read") -> Process:
        """Multiply activities (batch, inputs) by the weights on the tiles; returns (batch, outputs).

        ``kind`` is the account of the reads.
        """
        correction, layer_codes = self.correction, self._layer_codes(activities)
        operations = 2 * correction.groups * len(activities) * len(self.units) * self.partition.columns
        operations += self.mapping.combining * len(activities) * self.partition.outputs * self.partition.grid[0]
        if correction.excess is not None:
            operations += 2 * len(activities) * self.digital_products
        if correction.output_scale is not None:
            operations += 2 * len(activities) * self.partition.outputs
        sums = None
        parallel = self.chip.spec.converters.dac.input == "parallel"
        if correction.excess is None and parallel and isinstance(self.mapping, PairMapping):
            own, lines, groups = self._sums_of_codes(), self.tiling.lines, correction.groups
            drives = lambda index: split(self._codes_of(index, layer_codes), groups)  # noqa: E731
            request = LayerCodes(layer_codes, lines, groups, drives)
            sums = yield from self.chip.read_layer(self.units, request, own, kind, priority)
        if sums is not None:
            yield from self.chip.compute(operations, priority)
            return self._outputs(sums)
        codes = self._codes_of_tiles(layer_codes)
        partial = yield from self._corrected(codes, kind, priority)
        yield from self.chip.compute(operations, priority)
        return self.products(partial, codes)

    def _sums_of_codes(self) -> LayerSums:
        """Return what the digital core makes of the codes: what a code means is a line, and so is the correction."""
        gains = [unit.readout.adc.pga_gain for unit in self.units]
        kept = self._slopes
        if kept is not None and kept[0] is self.correction and all(map(operator.is_, kept[1], gains)):
            return kept[2]
        lines = [unit.readout.adc.nominal_current(np.arange(2)[:, None]) for unit in self.units]
        zero, one = np.swapaxes(np.stack(lines), 0, 1)
        scale, shift = self.correction.scale, self.correction.shift
        sums = LayerSums(scale * (one - zero), (scale * zero + shift).sum(axis=0), np.ones(1))
        self._slopes = self.correction, gains, sums
        return sums

    def products(self, currents: Sequence[Floats] | Floats, codes: Sequence[Codes]) -> Floats:
        """Return the layer's outputs, (batch, outputs), for its tiles' corrected currents, (tiles, batch, columns) A.

        What cells conduct too much is subtracted, from the codes of the inputs, (batch, rows) for each tile.
        """
        excess = self.correction.excess
        if excess is not None:
            driven = (unit.readout.dac.nominal(own) for unit, own in zip(self.units, codes, strict=True))
            currents = [found - own @ much for found, own, much in zip(currents, driven, excess, strict=True)]
        return self.sums(currents)

    def sums(self, currents: Sequence[Floats] | Floats) -> Floats:
        """Return the layer's outputs, (batch, outputs), for its tiles' corrected currents, (tiles, batch, columns)."""
        sums = np.zeros((len(currents[0]), self.partition.outputs))
        for index, place in enumerate(self.placements):
            used = currents[index][:, place.columns]
            sums[:, self.partition.output_slice(index)] += self.mapping.difference(used)
        return self._outputs(sums)

    def _outputs(self, sums: Floats) -> Floats:
        """Return the layer's outputs for sums of currents, (batch, outputs) A."""
        sums /= self.current_scale
        scale, shift = self.correction.output_scale, self.correction.output_shift
        return sums if scale is None or shift is None else scale * sums + shift

    @property
    def current_scale(self) -> float:
        """Current [A] that a product of 1 (weight times activity) stands for."""
        full_scale = self.chip.spec.converters.dac.full_scale
        return full_scale / self.input_scale * self.mapping.scale

    def ideal_currents(self, codes: list[Codes], groups: int) -> Floats:
        """Return what perfect tiles, programmed as asked, would give: (groups, tiles, batch, columns) A."""
        ideal = [
            (unit.readout.dac.nominal(split(tile_codes, groups)) @ self.intended(index)).reshape(
                groups, len(tile_codes), -1
            )
            for index, (unit, tile_codes) in enumerate(zip(self.units, codes, strict=True))
        ]
        return np.stack(ideal, axis=1)

    def intended(self, index: int) -> Floats:
        """Return what the cells of a tile should conduct between their lines, (rows, columns) S."""
        intended: Floats = np.array(self.chip.spec.tile.cell.mesh_conductance(self.units[index].asked))
        if self.prefactor is not None:  # what was asked makes up for the wires
            intended[self.placements[index].cells] = self.target(index, self.weights)
        if self.stuck is not None:
            intended = np.where(np.isnan(self.stuck[index]), intended, self.stuck[index])
        return intended

    def set_range(self, codes: list[Codes], groups: int) -> Process:
        """Choose each tile's amplifier gain from measured reads at gain 1, to use 80 % of the range.

        One gain a tile, for the columns that have weights; one in ten that carry the most does not count, for a
        saturated one would hide all the others.
        """
        for unit in self.units:
            unit.readout.adc.set_pga_gain(1.0)
        self.choose_gains((yield from self._planes(codes, groups, "calibration_read")))

    def choose_gains(self, currents: Floats) -> None:
        """Set the gain of each tile for single reads like these, (groups, tiles, batch, planes, columns) A."""
        for index, unit in enumerate(self.units):
            adc = unit.readout.adc
            used = currents[:, index].max(axis=(0, 1, 2))[self.placements[index].columns]
            largest = np.quantile(used, 0.9) * adc.tia.transimpedance
            adc.set_pga_gain(_gain(adc, largest))


def _gain(adc: AdcBank, largest: float) -> float:
    """Return the gain at which an output of ``largest`` at gain 1 [V] uses 80 % of the range."""
    return float(np.clip(0.8 * (adc.spec.maximum - adc.spec.minimum) / max(largest, 1e-9), *GAINS))
