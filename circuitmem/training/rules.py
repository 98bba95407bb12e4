"""Update rules: from wanted changes of the weights to pulses on the chip.

A rule decides which part of the optimiser's change is asked of the cells, and how it is programmed. The digital core's
weights are those that were asked for; only reads can show what the cells have become.
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
    """Programs the optimiser's changes into cells that are further than the deadband from their target.

    Parameters
    ----------
    spec : InSituSpec
        Its settings.
    network : HardwareNetwork
        The network to train.
    """

    Options: ClassVar[type[Spec] | None] = None
    """The rule's own settings, declared under its name in ``in_situ.options``; :attr:`options` holds them."""

    def __init__(self, spec: InSituSpec, network: HardwareNetwork) -> None:
        self.spec = spec
        self.network = network
        self.options: Any = options_of("rules", spec.options, type(self))

    def state(self) -> dict[str, Any]:
        """Return the state that is kept from step to step, for a checkpoint: nothing."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned."""

    def asked(self, layer: HardwareLayer, change: Floats) -> Floats:  # noqa: ARG002
        """Return the change to ask of a layer's weights, given the optimiser's change (inputs, outputs)."""
        return change

    def program(self) -> Process:
        """Give the pulses that program the cells towards the digital core's weights."""
        yield from self.network.program(self.network.chip.spec.programming.deadband)


class TwoPulseRule(UpdateRule):
    """The rule of Li et al. (Nat. Commun. 9:2385, 2018): one SET at the wanted gate, after a RESET if it falls."""


class PulseCount(UpdateRule):
    """The rule of NeuroSim: the number of pulses that the inverse of the declared curve gives, truncated.

    For devices of kind ``pulse-update`` (:class:`circuitmem.device.PulseUpdate`). A remainder of less than one pulse
    stays in the digital core's weights until it has grown to a whole one; NeuroSim drops it.
    """


class Manhattan(UpdateRule):
    """The sign of the change alone, with a fixed step (Zamanidoost et al. 2015; about 2.8 points worse [P]).

    A driver then needs no analogue levels of its own; every weight with a gradient is pulsed at every step.
    """

    def asked(self, layer: HardwareLayer, change: Floats) -> Floats:
        """Return steps of one size, with the signs of the change."""
        return np.sign(change) * (self.spec.manhattan_step * layer.largest_weights)

    def program(self) -> Process:
        """Give every cell that was asked to move its pulse."""
        yield from self.network.program(0.0)


class Threshold(UpdateRule):
    """Only the large changes of a step (Xia et al., DAC 2017): fewer pulses, and a longer life of the cells."""

    def asked(self, layer: HardwareLayer, change: Floats) -> Floats:  # noqa: ARG002
        """Return the changes that are large enough; the others are dropped."""
        least = self.spec.threshold * np.abs(change).max(initial=0.0)
        return np.where(np.abs(change) >= least, change, 0.0)

    def program(self) -> Process:
        """Give every cell that was asked to move its pulse."""
        yield from self.network.program(0.0)


class MixedPrecision(UpdateRule):
    """Accumulates small changes in a digital memory and programs whole steps, without verifying them.

    The rule of Nandakumar et al. (Front. Neurosci. 14:406, 2020): the optimiser's changes are added to a word of memory
    for each weight; the whole steps that it holds are asked of the cells and subtracted from it. The additions are
    booked as operations of the digital core.
    """

    OPERATIONS = 2
    """Operations for each weight and batch: an addition, and the comparison with the step."""

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
        """Add the change to the memory of the layer, and return the whole steps that it holds."""
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
    """Two pulses, then every row is read back and cells out of tolerance are programmed again.

    The reads cost as many vectors as a tile has rows, after every batch.
    """

    def program(self) -> Process:
        """Give the pulses, read back, and try again."""
        yield from super().program()
        tolerance = self.network.chip.spec.programming.verify_tolerance
        for layer in self.network.layers:
            yield from layer.verify(self.spec.verify_tries, tolerance)
