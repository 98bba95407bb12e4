"""Update rules: from wanted changes of the weights to pulses on the chip.

A rule decides which part of the optimiser's change is asked of the cells, and how it is programmed. The digital core's
weights are what was asked for; what the cells made of it only reads can tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import InSituSpec, Spec
from circuitmem.config.names import options_of
from circuitmem.control import Process
from circuitmem.network import HardwareLayer, HardwareNetwork

__all__ = ["Manhattan", "MixedPrecision", "PulseCount", "Threshold", "TwoPulseRule", "UpdateRule", "WriteVerify"]

Floats = NDArray[np.float64]


class UpdateRule:
    """Programs the optimiser's changes for cells that are further than the deadband from their target.

    Parameters
    ----------
    spec : InSituSpec
        Its numbers.
    network : HardwareNetwork
        What is trained.
    """

    Options: ClassVar[type[Spec] | None] = None
    """Numbers of its own, which ``in_situ.options`` declares by its name: :attr:`options` then."""

    def __init__(self, spec: InSituSpec, network: HardwareNetwork) -> None:
        self.spec = spec
        self.network = network
        self.options: Any = options_of("rules", spec.options, type(self))

    def state(self) -> dict[str, Any]:
        """Return what is kept from step to step, for a checkpoint: nothing."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned."""

    def asked(self, layer: HardwareLayer, change: Floats) -> Floats:  # noqa: ARG002
        """Return the change to ask of a layer's weights, for the one that the optimiser wants (inputs, outputs)."""
        return change

    def program(self) -> Process:
        """Give the pulses towards the digital core's weights."""
        yield from self.network.program(self.network.chip.spec.programming.deadband)


class TwoPulseRule(UpdateRule):
    """The rule of Li et al. (Nat. Commun. 9:2385, 2018): one SET at the wanted gate, after a RESET if it falls."""


class PulseCount(UpdateRule):
    """The rule of NeuroSim: as many whole pulses as the inverse of the declared curve says, truncated.

    For devices of kind ``pulse-update`` (:class:`circuitmem.device.PulseUpdate`). What is less than a pulse stays in
    the digital core's weights until it has grown to one; NeuroSim forgets it.
    """


class Manhattan(UpdateRule):
    """The sign of the change alone, with a fixed step (Zamanidoost et al. 2015; about 2.8 points worse [P]).

    A driver then needs no analogue levels of its own; every weight with a gradient is pulsed at every step.
    """

    def asked(self, layer: HardwareLayer, change: Floats) -> Floats:
        """Return steps of one size."""
        return np.sign(change) * (self.spec.manhattan_step * layer.largest_weights)

    def program(self) -> Process:
        """Give every cell that was asked to move its pulse."""
        yield from self.network.program(0.0)


class Threshold(UpdateRule):
    """Only the large changes of a step (Xia et al., DAC 2017): fewer pulses, and cells that live longer."""

    def asked(self, layer: HardwareLayer, change: Floats) -> Floats:  # noqa: ARG002
        """Return the changes that are large enough; the others are forgotten."""
        least = self.spec.threshold * np.abs(change).max(initial=0.0)
        return np.where(np.abs(change) >= least, change, 0.0)

    def program(self) -> Process:
        """Give every cell that was asked to move its pulse."""
        yield from self.network.program(0.0)


class MixedPrecision(UpdateRule):
    """Accumulates small changes in a digital memory and programs whole steps, without verifying them.

    The rule of Nandakumar et al. (Front. Neurosci. 14:406, 2020): a word of memory for each weight takes what the
    optimiser wants; as many whole steps as it holds are asked of the cells and taken out of it. Its additions are
    booked as operations of the digital core.
    """

    OPERATIONS = 2
    """For a weight and a batch: an addition, and the comparison with the step."""

    def __init__(self, spec: InSituSpec, network: HardwareNetwork) -> None:
        super().__init__(spec, network)
        self.memory: list[Floats | None] = [None for _ in network.layers]
        self._added = 0

    def state(self) -> dict[str, Any]:
        """Return the memory of each layer, (inputs, outputs)."""
        return {"memory": self.memory}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned."""
        self.memory = list(state.get("memory", self.memory))

    def asked(self, layer: HardwareLayer, change: Floats) -> Floats:
        """Return the whole steps that the memory of the layer has come to."""
        place = next(k for k, own in enumerate(self.network.layers) if own is layer)
        held = self.memory[place]
        held = change.copy() if held is None else held + change
        step = self.spec.mixed_precision_step * layer.largest_weights
        steps = np.trunc(held / step) * step
        self.memory[place] = held - steps
        self._added += change.size
        return np.asarray(steps)

    def program(self) -> Process:
        """Book the additions, and give every cell that was asked to move its pulses."""
        yield from self.network.chip.compute(self.OPERATIONS * self._added)
        self._added = 0
        yield from self.network.program(0.0)


class WriteVerify(UpdateRule):
    """Two pulses, then every row is read back and its cells that are off are programmed again.

    The reads cost as many vectors as a tile has rows, after every batch.
    """

    def program(self) -> Process:
        """Give the pulses, read back, and try again."""
        yield from super().program()
        tolerance = self.network.chip.spec.programming.verify_tolerance
        for layer in self.network.layers:
            yield from layer.verify(self.spec.verify_tries, tolerance)
