"""Tiki-Taka v2: gradients accumulate on fast arrays, whose word lines are read in turn into a digital memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import FastArraySpec, InSituSpec, Spec, TikiTakaSpec
from circuitmem.control import Process
from circuitmem.network import HardwareLayer, HardwareNetwork
from circuitmem.rng import Purpose, stream
from circuitmem.training.fast_array import FastArray, pulse_all
from circuitmem.training.rules import UpdateRule

__all__ = ["FastArrayRule", "TikiTaka"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

REMEMBERED = 0.9
"""Decay per batch of the running mean of the largest change, which sets the number of pulses for a change."""


class FastArrayRule(UpdateRule):
    """Base of rules with fast arrays: pulses, transfers by reads of word lines, and the digital memory.

    After a batch, each layer's change is pulsed onto a fast array of its own (:class:`FastArray`), scaled by the recent
    largest change. Then some word lines of the fast array are read. The subclass subtracts the part of the read that is
    not a gradient, and the rest is added to a digital memory; at the next batch its whole steps are asked of the
    layer's cells.
    """

    differential: ClassVar[bool] = False
    """Whether the second device of each pair is a reference, which reads subtract."""
    CHANGED, READ = 3, 4
    """Operations of the digital core: for each change, its size and its rounding; for each weight that is read."""

    def __init__(self, spec: InSituSpec, network: HardwareNetwork) -> None:
        super().__init__(spec, network)
        self.options: FastArraySpec
        self.arrays = [FastArray(layer) for layer in network.layers]
        shapes = [layer.weights.shape for layer in network.layers]
        self.memory = [np.zeros(shape) for shape in shapes]
        self.reference = [np.zeros(shape) for shape in shapes]
        self.sizes = [0.0 for _ in shapes]
        self.batches = 0
        self.line = 0
        self._changes: dict[int, Floats] = {}

    def state(self) -> dict[str, Any]:
        """Return the state kept from step to step: memories, references, sizes of changes, and where reads go on."""
        kept = {"memory": self.memory, "reference": self.reference, "sizes": self.sizes}
        return {**kept, "batches": self.batches, "line": self.line}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned."""
        self.memory, self.reference, self.sizes = state["memory"], state["reference"], list(state["sizes"])
        self.batches, self.line = state["batches"], state["line"]

    def asked(self, layer: HardwareLayer, change: Floats) -> Floats:
        """Keep the change for the layer's fast array, and return the whole steps that the layer's memory holds."""
        place = next(k for k, own in enumerate(self.network.layers) if own is layer)
        self._changes[place] = change
        step = self.options.step * layer.largest_weights
        steps = np.trunc(self.memory[place] / step) * step
        self.memory[place] -= steps
        return np.asarray(steps)

    def program(self) -> Process:
        """Give every cell that was asked to move its pulses, pulse the fast arrays, and transfer if it is due."""
        chip = self.network.chip
        if self.batches == 0:
            yield from self.begin()
        yield from self.network.program(0.0)
        yield from chip.compute(self.CHANGED * sum(change.size for change in self._changes.values()))
        yield from pulse_all(self.arrays, [self._pulses(place) for place in range(len(self.arrays))])
        self._changes.clear()
        self.batches += 1
        if self.batches % self.options.transfer_every == 0:
            yield from self._transfer()

    def begin(self) -> Process:
        """Bring the fast arrays to their initial conductances, before the first batch."""
        yield from self.network.chip.together(array.settle(0) for array in self.arrays)

    def signs(self, place: int) -> Floats:
        """Return the sign with which the changes of each input of a layer go onto its fast array, (inputs, 1)."""
        return np.ones((len(self.memory[place]), 1))

    def gradient(self, place: int, read: Mask, pulses: Floats) -> Floats:
        """Return the part of a read that changes have caused, (read inputs, outputs), as a number of pulses.

        Parameters
        ----------
        place : int
            Number of the weight matrix.
        read : (inputs,) ndarray of bool
            Which inputs' weights were read.
        pulses : (read inputs, outputs) ndarray
            Result of the read, as a number of pulses from the middle.
        """
        return self.signs(place)[read] * (pulses - self.reference[place][read])

    def _pulses(self, place: int) -> NDArray[np.int64]:
        """Return the number of pulses for each weight's fast device, (inputs, outputs): positive up, negative down."""
        change = self._changes.get(place)
        if change is None:
            return np.zeros(self.memory[place].shape, dtype=np.int64)
        largest, size = float(np.abs(change).max(initial=0.0)), self.sizes[place]
        self.sizes[place] = REMEMBERED * size + (1.0 - REMEMBERED) * largest if size else largest
        if not self.sizes[place]:
            return np.zeros(change.shape, dtype=np.int64)
        coin = stream(self.network.chip.seed, Purpose.TRANSFER, 0, place, self.batches).random(change.shape)
        wanted = self.signs(place) * change * (self.options.pulses / self.sizes[place])
        return np.asarray(np.floor(wanted + coin), dtype=np.int64)

    def _transfer(self) -> Process:
        """Read the next word lines of all fast arrays, and add the gradients found to the memories."""
        chip, lines = self.network.chip, self.options.lines
        first, self.line = self.line, self.line + lines
        reads = (array.read(first % array.lines, lines, differential=self.differential) for array in self.arrays)
        found = yield from chip.together(reads)
        words = 0
        for place, (array, (read, conductances)) in enumerate(zip(self.arrays, found, strict=True)):
            pulses = (conductances - (0.0 if self.differential else array.middle)) / array.step
            worth = self.options.gain * self.sizes[place] / self.options.pulses
            self.memory[place][read] += worth * self.gradient(place, read, pulses)
            words += conductances.size
        yield from chip.compute(self.READ * words)


class TikiTaka(FastArrayRule):
    """Tiki-Taka v2 (Gokmen, Front. Artif. Intell. 4:699148, 2021), batch by batch.

    First, pulses up and down in turn bring every fast device to its symmetry point, where it forgets as much in one
    direction as in the other; its partner is programmed towards the same conductance as a reference. The difference
    that programming leaves between them is read once, and subtracted digitally from then on. Pulses are given row by
    row, as on this chip, whereas the published scheme pulses all rows and columns at once.
    """

    Options: ClassVar[type[Spec]] = TikiTakaSpec
    differential = True

    def begin(self) -> Process:
        """Settle the fast devices, set their references, and read the differences that are left."""
        chip, options = self.network.chip, self.options
        assert isinstance(options, TikiTakaSpec)
        yield from chip.together(array.settle(options.settling) for array in self.arrays)
        yield from chip.together(array.set_references() for array in self.arrays)
        found = yield from chip.together(array.read(0, array.lines, differential=True) for array in self.arrays)
        self.reference = [left / array.step for array, (_, left) in zip(self.arrays, found, strict=True)]
