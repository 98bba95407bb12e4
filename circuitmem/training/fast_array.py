"""Arrays beside those of a layer, on which gradients add up as pulses before they are read and transferred."""

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
"""Pairs of pulses, at most, with which the digital core works out where the declared curves are symmetric."""


def symmetry(devices: Device) -> tuple[float, float]:
    """Return where a pulse up does as much as one down by the declared curves, and how much that is [S].

    Where they do so everywhere it is the middle of the working range.
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
    """The tiles on which the changes of one layer's weights add up.

    Each weight has a pair of devices, whatever columns it has on the tiles of the layer itself: pulses up and down move
    the first; the second may be a reference, which no pulse of training moves.

    Parameters
    ----------
    layer : HardwareLayer
        The layer. Tiles are added to its chip, with defects of their own if the layer's have them.

    Attributes
    ----------
    layer : HardwareLayer
        The added tiles.
    middle, step : float
        Where the declared device is symmetric, and what a pulse does there [S].
    lines : int
        Word lines of its tiles, one after another, that hold all of its inputs.
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
        """Return the pulses down and up of each tile for those of each weight, (inputs, outputs), positive upwards."""
        layer, found = self.layer, []
        for index, place in enumerate(layer.placements):
            own = layer.partition.input_slice(index), layer.partition.output_slice(index)
            cells = np.zeros(layer.chip.spec.tile.shape, dtype=np.int64)
            cells[place.rows[:, None], place.columns[0::2]] = signed[own]
            found.append((np.maximum(-cells, 0), np.maximum(cells, 0)))
        return found

    def settle(self, pairs: int) -> Process:
        """Bring the first devices to where they are symmetric, by so many pulses down and up in turn."""
        yield from self._program(self.middle, 0)
        ones = np.ones((self.layer.partition.inputs, self.layer.partition.outputs), dtype=np.int64)
        both = [(up, up) for _, up in self.counts(ones)]
        for _ in range(pairs):
            yield from self.layer.chip.pulse_all(self.layer.units, both)

    def set_references(self) -> Process:
        """Program the second devices towards what reads find that the first ones conduct."""
        _, found = yield from self.read(0, self.lines, differential=False)
        yield from self._program(found, 1)

    def read(self, first: int, count: int, *, differential: bool) -> Process:
        """Read word lines, one after another; returns which inputs they hold, and what was found of those.

        Parameters
        ----------
        first, count : int
            Which of :attr:`lines`: the first, and how many; after the last one the first follows.
        differential : bool
            Whether what the second devices conduct is subtracted.

        Returns
        -------
        read : (inputs,) ndarray of bool
        found : (read inputs, outputs) ndarray
            In S.
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
        """Program the devices of all pairs, the first (0) or the second (1) of each, towards (inputs, outputs) [S]."""
        layer, targets = self.layer, []
        full = np.broadcast_to(wanted, (layer.partition.inputs, layer.partition.outputs))
        for index, (unit, place) in enumerate(zip(layer.units, layer.placements, strict=True)):
            own = layer.partition.input_slice(index), layer.partition.output_slice(index)
            target = unit.asked.copy()
            target[place.rows[:, None], place.columns[which::2]] = full[own]
            targets.append(target)
        yield from layer.chip.program_all(layer.units, targets, 0.0)


def pulse_all(arrays: list[FastArray], signed: list[Counts]) -> Process:
    """Give the pulses of all fast arrays, side by side as far as there are drivers."""
    units = [unit for array in arrays for unit in array.layer.units]
    counts = [own for array, each in zip(arrays, signed, strict=True) for own in array.counts(each)]
    yield from arrays[0].layer.chip.pulse_all(units, counts)
