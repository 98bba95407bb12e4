"""A layer of weights on a grid of tiles: programming, reads, corrections, and the digital sum."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.control import (
    Chip,
    Conductances,
    LayerCodes,
    LayerSums,
    PairTargets,
    Priority,
    Process,
    Unit,
)
from circuitmem.errors import ValidationError
from circuitmem.network.correction import Correction
from circuitmem.network.partition import Partition
from circuitmem.network.placement import Placement
from circuitmem.network.tiled import TiledLayer
from circuitmem.network.tiling import split
from circuitmem.tile import PairMapping, WeightMapping
from circuitmem.validation import finite_array

__all__ = ["HardwareLayer"]

Floats = NDArray[np.float64]
Codes = NDArray[Any]

AT_ONCE = 1 << 14
"""Vectors whose codes are converted to floating point at a time."""


class HardwareLayer(TiledLayer):
    """One layer of the network on its tiles.

    Parameters
    ----------
    chip, units, partition, firsts
        As in :class:`~circuitmem.network.tiled.TiledLayer`.
    mapping : WeightMapping
        Maps weights to conductances between word and bit lines, in the column layout of the partition.
    input_scale : float
        Activity that the highest DAC code stands for, > 0.

    Attributes
    ----------
    weights : (inputs, outputs) ndarray
        Weights that the tiles were last programmed towards, of all copies of the layer.
    correction : Correction
        What the digital core does to the measured currents.
    stuck : (tiles, rows, columns) ndarray, optional
        Conductances of the cells that do not follow pulses [S], as found by reads; nan for the others. The working
        cells of a weight make up for its stuck ones.
    ranges : (outputs of a copy,) ndarray, optional
        Largest weight of each output, as a fraction of that of the mapping; the digital core multiplies the output's
        sums by it. When left out, all outputs have that of the mapping.
    prefactor : (tiles, rows, columns) ndarray, optional
        Factors on the wanted conductances, applied before these are programmed.
    seen : (batch, inputs) ndarray
        Activities of the last forward pass before they were clipped to the range of the DACs.
    converted, saturated : int
        Number of activities converted so far, and of those among them that were outside the range of the DACs, so that
        their DAC code saturated.
    """

    def __init__(
        self,
        chip: Chip,
        units: list[Unit],
        partition: Partition,
        mapping: WeightMapping,
        input_scale: float,
        firsts: Sequence[int] | None = None,
    ) -> None:
        super().__init__(chip, units, partition, firsts)
        self.mapping = mapping
        self.input_scale = input_scale
        self.converted = self.saturated = 0
        self.seen: Floats = np.zeros((0, partition.inputs))
        self.weights: Floats = np.zeros((partition.inputs, partition.outputs))
        self.correction = Correction.identity(len(units), chip.spec.tile.columns)
        self.stuck: Floats | None = None
        self.prefactor: Floats | None = None
        self.ranges: Floats | None = None
        self._slopes: tuple[Correction, list[Floats], LayerSums] | None = None
        self._excess: tuple[Correction, Floats] | None = None

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
            "ranges": self.ranges,
            "input_scale": self.input_scale,
            "converted": self.converted,
            "saturated": self.saturated,
            "codes": [self.codes_read, self.codes_saturated],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned."""
        self.weights, self.stuck, self.prefactor = state["weights"], state["stuck"], state["prefactor"]
        self.ranges = state.get("ranges")
        self.codes_read, self.codes_saturated = state.get("codes", (0, 0))
        self.correction, self.saturated = Correction.of(state["correction"]), state["saturated"]
        self.input_scale = state.get("input_scale", self.input_scale)  # older versions never changed it
        self.converted = state.get("converted", 0)  # older versions did not count
        self.placements = [Placement(rows, places, self.partition.layout) for rows, places in state["placements"]]

    def target(self, index: int, weights: Floats) -> Floats:
        """Return the conductances of a tile's :attr:`Placement.cells` for its part of weights (inputs, outputs) [S]."""
        partition, place = self.partition, self.placements[index]
        share = self.relative(weights)[partition.input_slice(index), partition.output_slice(index)]
        return self.mapping.conductances(share, None if self.stuck is None else self.stuck[index][place.cells])

    def relative(self, weights: Floats) -> Floats:
        """Return what the cells represent: weights (inputs, outputs) divided by the ranges of their outputs."""
        if self.ranges is None:
            return weights
        return weights / (self.ranges if weights.shape[1] == len(self.ranges) else self.of_copies(self.ranges))

    @property
    def kernel(self) -> Floats:
        """Weights that each copy was last programmed towards, (inputs, outputs of a copy)."""
        return self.weights[:, : self.partition.of_each]

    def of_copies(self, values: Floats) -> Floats:
        """Return values (..., outputs of a copy) repeated for the outputs of all copies."""
        copies = self.partition.copies
        return values if copies == 1 else np.tile(values, (1,) * (values.ndim - 1) + (copies,))

    def _of_all(self, weights: Floats) -> Floats:
        """Return the weights of all copies, (inputs, outputs), given those of one copy or of all."""
        return weights if weights.shape[1] == self.partition.outputs else self.of_copies(weights)

    @property
    def largest_weights(self) -> Floats | float:
        """Magnitude of weight that uses the whole range, of the layer or of each output of a copy."""
        return self.mapping.largest_weight if self.ranges is None else self.mapping.largest_weight * self.ranges

    def program(self, weights: Floats, deadband: float) -> Process:
        """Program the tiles towards ``weights`` (inputs, outputs), in parallel as far as there are drivers."""
        yield from self.chip.program_all(self.units, [self.targets(weights)], deadband)

    def targets(self, weights: Floats) -> PairTargets | Conductances:
        """Keep ``weights`` (inputs, outputs) as what is asked for, and return the targets of the cells."""
        self.weights = weights  # frees the previous ones before the copy is made
        self.weights = self._of_all(weights).copy()
        mapping, cell = self.mapping, self.chip.spec.tile.cell
        if self.chip.spec.packed or type(mapping) is not PairMapping:
            return Conductances(np.stack([self._wanted(index) for index in range(len(self.units))]))
        return PairTargets(
            self.relative(self.weights),
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
        """Return the targets of a tile's devices, (rows, columns) S; known stuck ones keep what was asked of them."""
        place, wanted = self.placements[index], self.units[index].asked.copy()
        devices = self._devices(index, self.weights)
        if self.stuck is not None:
            devices = np.where(np.isnan(self.stuck[index][place.cells]), devices, wanted[place.cells])
        wanted[place.cells] = devices
        return self.of_own_cells(wanted, index)

    def _devices(self, index: int, weights: Floats) -> Floats:
        """Return the conductances of the devices in a tile's :attr:`Placement.cells` for its share of weights [S]."""
        between = self.target(index, weights)
        if self.prefactor is not None:
            between = between * self.prefactor[index][self.placements[index].cells]
            between = np.clip(between, self.mapping.minimum, self.mapping.maximum)
        return np.asarray(self.chip.spec.tile.cell.memristor_conductance(between))

    def limits(self) -> tuple[Floats, Floats]:
        """Return the lowest and highest weights that cells can represent, as far as known, (inputs, outputs of a copy).

        With several copies this is the range that all of them can represent.
        """
        ranges = self.of_copies(np.broadcast_to(1.0 if self.ranges is None else self.ranges, self.partition.of_each))
        highest = np.empty((self.partition.inputs, self.partition.outputs))
        highest[:] = self.mapping.largest_weight * ranges
        lowest = -highest
        if self.stuck is not None:
            for index, place in enumerate(self.placements):
                own = self.partition.input_slice(index), self.partition.output_slice(index)
                least, most = self.mapping.limits(self.stuck[index][place.cells])
                lowest[own], highest[own] = least * ranges[own[1]], most * ranges[own[1]]
        each = len(highest), self.partition.copies, self.partition.of_each
        return lowest.reshape(each).max(axis=1), highest.reshape(each).min(axis=1)

    def at_limit(self, weights: Floats) -> int:
        """Return how many weights (inputs, outputs) use the whole range of the cells: larger ones are clipped."""
        return int(np.count_nonzero(np.abs(weights) >= self.largest_weights * (1.0 - 1e-12)))

    def verify(self, tries: int, tolerance: float) -> Process:
        """Read every cell back, row by row, and program again what is off by more than ``tolerance`` [S].

        The read-back goes through the same converters with their errors; stuck cells are tried again like the others.
        """
        for _ in range(tries):
            conductances = yield from self.read_back("verify_read")
            wanted = [unit.asked.copy() for unit in self.units]
            for unit, found, own in zip(self.units, conductances, wanted, strict=True):
                unit.asked = np.where(np.abs(found - own) > tolerance, found, own)
            own_cells = [self.of_own_cells(own, index) for index, own in enumerate(wanted)]
            yield from self.chip.program_all(self.units, own_cells, tolerance)

    def within_range(self, activities: Floats) -> Floats:
        """Return activities clipped to the range of the DACs, 0 to :attr:`input_scale`; count those that saturate."""
        self.seen = activities
        beyond = np.count_nonzero(activities > self.input_scale) + np.count_nonzero(activities < 0.0)
        self.count_converted(activities.size, int(beyond))
        return np.clip(activities, 0.0, self.input_scale)

    def count_converted(self, activities: int, beyond: int) -> None:
        """Add to the numbers of activities that were converted and of those that saturated."""
        self.converted += activities
        self.saturated += beyond

    def input_codes(self, activities: Floats) -> list[Codes]:
        """Return the DAC codes of every tile, each (batch, rows), for activities (batch, inputs).

        Those above :attr:`input_scale` saturate.

        Raises
        ------
        ValidationError
            If an activity is negative (word lines have no such voltage: a signed input is read in two halves) or not
            finite, if there are no activities, or if they are not of the layer's width.
        """
        return self.drives_of(self.layer_codes(activities))

    def layer_codes(self, activities: Floats) -> Codes:
        """Return the DAC codes of the layer's inputs; they depend on the design of the DACs, not on the tile."""
        inputs, shape = self.partition.inputs, np.shape(activities)
        if len(shape) != 2 or shape[1] != inputs or not shape[0]:
            raise ValidationError("activities", f"must have shape (batch, {inputs}), with at least one vector", shape)
        activities = finite_array("activities", activities, minimum=0.0, copy=False)
        return self.codes_within(activities)

    def codes_within(self, activities: Floats) -> Codes:
        """Return the DAC codes of activities within the range of the DACs, of any shape."""
        return self.units[0].readout.dac.quantise(activities / self.input_scale)

    def line_voltages(self, index: int, activities: Floats) -> Floats:
        """Return the word line voltages of a tile with ideal DACs of infinite resolution, (batch, rows) V."""
        values = np.zeros((len(activities), self.partition.rows))
        values[:, self.placements[index].rows] = activities[:, self.partition.input_slice(index)]
        return values * (self.chip.spec.converters.dac.full_scale / self.input_scale)

    def set_cells(self, weights: Floats) -> None:
        """Set the cells as ``weights`` ask for, without pulses, time or noise; stuck ones stay as they are."""
        weights = self._of_all(weights)
        for index, (unit, place) in enumerate(zip(self.units, self.placements, strict=True)):
            wanted = unit.asked.copy()
            wanted[place.cells] = self._devices(index, weights)
            unit.put(wanted, self.chip.clock)
        self.weights = weights.copy()  # last: if this is interrupted, the next call sets all cells again

    def _corrected(self, codes: list[Codes], kind: str, priority: Priority) -> Process:
        """Read all tiles; returns the corrected currents of each, groups added up, (tiles, batch, columns) A."""
        correction = self.correction
        if self.chip.spec.converters.dac.input == "serial":
            currents = yield from self.measure(codes, correction.groups, kind, priority)
            return list(correction.apply(currents).sum(axis=0))
        answers = yield from self._answers(codes, correction.groups, kind, priority)
        found = []
        for index, (unit, answer, own) in enumerate(zip(self.units, answers, codes, strict=True)):
            # Current is an affine function of the code, and so is the correction: both at once, group by group.
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

        The correction of the layer's outputs is not applied.
        """
        correction = self.correction
        currents = yield from self.measure(codes, correction.groups, kind)
        if correction.changes_nothing:
            return currents
        corrected = correction.apply(currents)
        operations = 2 * correction.groups * len(codes[0]) * self.columns_read()
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

        Parameters
        ----------
        activities : (batch, inputs) ndarray
            Vectors to multiply, elements >= 0; the codes of those above ``input_scale`` saturate.
        priority : Priority
            Priority of the reads, for the chip's arbiter.
        kind : str
            The account that the reads are booked on.
        """
        return (yield from self.multiply(self.layer_codes(activities), priority, kind))

    def multiply(self, layer_codes: Codes, priority: Priority = Priority.NORMAL, kind: str = "mac_read") -> Process:
        """Do what :meth:`forward` does, given the DAC codes of its inputs, (batch, inputs); returns (batch, outputs).

        Copies of the layer take the vectors in turn, and are read at the same time.
        """
        vectors, layer_codes = len(layer_codes), self.dealt(layer_codes)
        correction, batch = self.correction, len(layer_codes)
        operations = 2 * correction.groups * batch * self.columns_read()
        operations += self.mapping.combining * batch * self.partition.outputs * self.partition.grid[0]
        if correction.excess is not None:
            operations += 2 * batch * self.digital_products
        if correction.output_scale is not None:
            operations += 2 * batch * self.partition.outputs
        if self.ranges is not None:
            operations += batch * self.partition.outputs
        sums = None
        parallel = self.chip.spec.converters.dac.input == "parallel"
        at_once = parallel and type(self.mapping) is PairMapping and not self.shares_tiles
        if at_once:
            own, lines, groups = self._sums_of_codes(), self.tiling.dealt, correction.groups
            drives = lambda index: split(self._codes_of(index, layer_codes), groups)  # noqa: E731
            request = LayerCodes(layer_codes, lines, groups, drives, self.used_lines())
            sums = yield from self.chip.read_layer(self.units, request, own, kind, priority)
        if sums is not None:
            yield from self.chip.compute(operations, priority)
            return self._collected(self._outputs(self._less_excess(sums, layer_codes)), vectors)
        partial = yield from self._corrected(self.drives_of(layer_codes), kind, priority)
        yield from self.chip.compute(operations, priority)
        return self._collected(self.products(partial, layer_codes), vectors)

    def _collected(self, outputs: Floats, vectors: int) -> Floats:
        """Return the outputs, (vectors, outputs of a copy), of ``vectors`` vectors dealt out among the copies."""
        return outputs if self.partition.copies == 1 else outputs.reshape(-1, self.partition.of_each)[:vectors]

    def _sums_of_codes(self) -> LayerSums:
        """Return what the digital core sums codes with: converter and correction as one affine function."""
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

    def products(self, currents: Sequence[Floats] | Floats, codes: Codes) -> Floats:
        """Return the layer's outputs, (batch, outputs), for its tiles' corrected currents, (tiles, batch, columns) A.

        The current of excess conductance, for codes of the layer's inputs, (batch, inputs), is subtracted.
        """
        return self._outputs(self._less_excess(self._summed(currents), codes))

    def sums(self, currents: Sequence[Floats] | Floats) -> Floats:
        """Return the layer's outputs, (batch, outputs), for its tiles' corrected currents, (tiles, batch, columns)."""
        return self._outputs(self._summed(currents))

    def _summed(self, currents: Sequence[Floats] | Floats) -> Floats:
        sums = np.zeros((len(currents[0]), self.partition.outputs))
        for index, place in enumerate(self.placements):
            used = currents[index][:, place.columns]
            sums[:, self.partition.output_slice(index)] += self.mapping.difference(used)
        return sums

    def _less_excess(self, sums: Floats, codes: Codes) -> Floats:
        """Subtract the current of excess conductance from sums of currents, (batch, outputs) A, for input codes.

        The excess is known cell by cell, and so weight by weight: one multiplication serves the whole layer.
        """
        correction = self.correction
        if correction.excess is None:
            return sums
        if self._excess is None or self._excess[0] is not correction:
            of_weights = np.zeros((self.partition.inputs, self.partition.outputs))
            for index, (place, much) in enumerate(zip(self.placements, correction.excess, strict=True)):
                own = self.partition.input_slice(index), self.partition.output_slice(index)
                of_weights[own] = self.mapping.difference(much[place.cells])
            self._excess = correction, of_weights
        excess, inputs, dac = self._excess[1], self.partition.inputs, self.units[0].readout.dac
        each = self.partition.outputs * inputs // codes.shape[1]  # outputs that depend on the same codes
        for copy in range(codes.shape[1] // inputs):
            taken, given = slice(copy * each, (copy + 1) * each), slice(copy * inputs, (copy + 1) * inputs)
            for first in range(0, len(sums), AT_ONCE):  # codes as floating-point numbers take four times the memory
                part = slice(first, first + AT_ONCE)
                sums[part, taken] -= dac.nominal(codes[part, given]) @ excess[:, taken]
        return sums

    def _outputs(self, sums: Floats) -> Floats:
        """Return the layer's outputs for sums of currents, (batch, outputs) A."""
        sums /= self.current_scale
        scale, shift = self.correction.output_scale, self.correction.output_shift
        return sums if scale is None or shift is None else scale * sums + shift

    @property
    def current_scale(self) -> Floats | float:
        """Current [A] that a product of 1 (weight times activity) stands for, of the layer or of each output."""
        scale = self.chip.spec.converters.dac.full_scale / self.input_scale * self.mapping.scale
        return scale if self.ranges is None else scale / self.of_copies(self.ranges)

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
        if self.prefactor is not None:  # what was asked includes a compensation of the wires
            intended[self.placements[index].cells] = self.target(index, self.weights)
        if self.stuck is not None:
            intended = np.where(np.isnan(self.stuck[index]), intended, self.stuck[index])
        return intended
