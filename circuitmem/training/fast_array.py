"""Fast arrays beside the tiles of a layer: gradients accumulate on them as pulses, are read, and are transferred."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.control import Process
from circuitmem.device import Device, PulseGroup
from circuitmem.network import HardwareLayer, Partition
from circuitmem.tile import PairMapping

__all__ = ["FastArray", "pulse_all", "symmetry"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]

SETTLED = 2000
"""Largest number of pairs of pulses from which the digital core computes the symmetry point of the declared curves."""


def symmetry(devices: Device) -> tuple[float, float]:
    """Return the symmetry point of the declared curves, and the size of a pulse there, both [S].

    Pulses down and up in turn settle in a cycle that begins and ends at one conductance; the symmetry point is the
    middle of that cycle. If a pulse up undoes a pulse down everywhere, it lies half a pulse below the middle of the
    working range.
    """
    spec = devices.spec
    place = 0.5 * (spec.minimum_conductance + spec.maximum_conductance)
    cells, down = np.ones((1, 1), dtype=bool), 0.0

    def after(is_set: bool, conductance: float) -> float:
        full = np.full(devices.shape, conductance)
        pulse = PulseGroup(is_set, 0, np.broadcast_to(cells, devices.shape), full)
        return float(devices.after(pulse, full, None).flat[0])

    for _ in range(SETTLED):
        low = after(False, place)
        high = after(True, low)
        down, moved = place - low, high - place
        place = high
        if abs(moved) < 1e-6 * abs(down):
            break
    return place - 0.5 * down, down


class FastArray:
    """The tiles on which the changes of one layer's weights accumulate.

    Each weight has a pair of devices here, whatever columns it uses on the tiles of the layer itself. Pulses up and
    down move the first device; the second may be a reference, which training never pulses.

    Parameters
    ----------
    layer : HardwareLayer
        The layer. Tiles are added to its chip; they have defects of their own if the layer's tiles have defects.

    Attributes
    ----------
    layer : HardwareLayer
        The added tiles.
    middle, step : float
        Symmetry point of the declared device, and the size of a pulse there [S].
    lines : int
        Number of word lines that have to be read, one after another, to cover all inputs.
    """

    def __init__(self, layer: HardwareLayer) -> None:
        chip, mapping = layer.chip, layer.mapping
        partition = Partition(layer.partition.inputs, layer.partition.outputs, *chip.spec.tile.shape)
        units = chip.add_tiles(partition.tiles, sound=layer.units[0].sound)
        pairs = PairMapping(mapping.minimum, mapping.maximum, mapping.largest_weight)
        self.layer = HardwareLayer(chip, units, partition, pairs, 1.0)
        self.middle, self.step = symmetry(units[0].devices)
        self.lines = max(len(place.rows) for place in self.layer.placements)

    def counts(self, signed: Counts) -> list[tuple[Counts, Counts]]:
        """Return each tile's pulses down and up for signed pulses of each weight, (inputs, outputs), positive up."""
        layer, found = self.layer, []
        for index, place in enumerate(layer.placements):
            own = layer.partition.input_slice(index), layer.partition.output_slice(index)
            cells = np.zeros(layer.chip.spec.tile.shape, dtype=np.int64)
            cells[place.rows[:, None], place.columns[0::2]] = signed[own]
            found.append((np.maximum(-cells, 0), np.maximum(cells, 0)))
        return found

    def settle(self, pairs: int) -> Process:
        """Program the first devices to their symmetry point, then give ``pairs`` of pulses, down and up in turn."""
        yield from self._program(self.middle, 0)
        ones = np.ones((self.layer.partition.inputs, self.layer.partition.outputs), dtype=np.int64)
        both = [(up, up) for _, up in self.counts(ones)]
        for _ in range(pairs):
            yield from self.layer.chip.pulse_all(self.layer.units, both)

    def set_references(self) -> Process:
        """Read the first devices, and program the second ones towards the conductances that were read."""
        _, found = yield from self.read(0, self.lines, differential=False)
        yield from self._program(found, 1)

    def read(self, first: int, count: int, *, differential: bool) -> Process:
        """Read word lines, one after another; returns which inputs they hold, and the conductances of those.

        Parameters
        ----------
        first, count : int
            The first of :attr:`lines` to read, and how many; after the last line follows the first.
        differential : bool
            Whether to subtract the conductances of the second devices.

        Returns
        -------
        read : (inputs,) ndarray of bool
            Inputs that were read.
        found : (read inputs, outputs) ndarray
            Conductances, or their differences [S].
        """
        layer, levels = self.layer, self.layer.chip.spec.converters.dac.levels
        chosen = (first + np.arange(min(count, self.lines))) % self.lines
        codes, lines = [], []
        for place in layer.placements:
            own = chosen[chosen < len(place.rows)]
            drive = np.zeros((len(chosen), layer.partition.rows), dtype=np.int64)
            drive[chosen < len(place.rows), place.rows[own]] = levels - 1
            codes.append(drive)
            lines.append(own)
        conductances = yield from layer.read_cells(codes, "transfer_read")
        found = np.zeros((layer.partition.inputs, layer.partition.outputs))
        read = np.zeros(layer.partition.inputs, dtype=bool)
        for index, (place, own) in enumerate(zip(layer.placements, lines, strict=True)):
            inputs = layer.partition.input_slice(index).start + own
            outputs = layer.partition.output_slice(index)
            pairs = conductances[index][chosen < len(place.rows)][:, place.columns]
            found[inputs, outputs] = pairs[:, 0::2] - (pairs[:, 1::2] if differential else 0.0)
            read[inputs] = True
        return read, found[read]

    def _program(self, wanted: Floats | float, which: int) -> Process:
        """Program the first (0) or second (1) device of every pair towards conductances (inputs, outputs) [S]."""
        layer, targets = self.layer, []
        full = np.broadcast_to(wanted, (layer.partition.inputs, layer.partition.outputs))
        for index, (unit, place) in enumerate(zip(layer.units, layer.placements, strict=True)):
            own = layer.partition.input_slice(index), layer.partition.output_slice(index)
            target = unit.asked.copy()
            target[place.rows[:, None], place.columns[which::2]] = full[own]
            targets.append(target)
        yield from layer.chip.program_all(layer.units, targets, 0.0)


def pulse_all(arrays: list[FastArray], signed: list[Counts]) -> Process:
    """Give the pulses of all fast arrays, in parallel as far as there are drivers."""
    units = [unit for array in arrays for unit in array.layer.units]
    counts = [own for array, each in zip(arrays, signed, strict=True) for own in array.counts(each)]
    yield from arrays[0].layer.chip.pulse_all(units, counts)
