"""Tiki-Taka v2 with choppers: signs of word lines that change at random, so that constant offsets average out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import ChoppedSpec, InSituSpec, Spec
from circuitmem.network import HardwareNetwork
from circuitmem.rng import Purpose, stream
from circuitmem.training.tiki_taka import TikiTaka

__all__ = ["ChoppedTikiTaka"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class ChoppedTikiTaka(TikiTaka):
    """Chopped Tiki-Taka v2 (Rasch, Carta, Fagbohungbe & Gokmen, Nat. Commun. 15:7133, 2024), batch by batch.

    Every word line of a fast array has a sign, which multiplies the changes that go onto it and the reads that come
    back. It flips with a declared probability after each read: so errors of the reference, and the drift that the
    pulses themselves cause, count as often with one sign as with the other.
    """

    Options: ClassVar[type[Spec]] = ChoppedSpec

    def __init__(self, spec: InSituSpec, network: HardwareNetwork) -> None:
        super().__init__(spec, network)
        self.choppers = [np.ones((len(memory), 1)) for memory in self.memory]

    def state(self) -> dict[str, Any]:
        """Return the state of :class:`TikiTaka`, and the signs."""
        return {**super().state(), "choppers": self.choppers}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned."""
        super().restore(state)
        self.choppers = state["choppers"]

    def signs(self, place: int) -> Floats:
        """Return the present signs."""
        return self.choppers[place]

    def gradient(self, place: int, read: Mask, pulses: Floats) -> Floats:
        """Return the gradient found by the read, with its sign, and flip some signs."""
        assert isinstance(self.options, ChoppedSpec)
        found = super().gradient(place, read, pulses)
        coin = stream(self.network.chip.seed, Purpose.TRANSFER, 1, place, self.batches).random((len(read), 1))
        flipped = read[:, None] & (coin < self.options.flip)
        self.choppers[place] = np.where(flipped, -self.choppers[place], self.choppers[place])
        return found
