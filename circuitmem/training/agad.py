"""AGAD: choppers, and a reference that is learnt again after every change of their signs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import AgadSpec, InSituSpec, Spec
from circuitmem.network import HardwareNetwork
from circuitmem.training.tiki_taka import FastArrayRule

__all__ = ["Agad"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Agad(FastArrayRule):
    """Analog gradient accumulation with dynamic reference (Rasch et al., Nat. Commun. 15:7133, 2024), batch by batch.

    The sign of a word line changes after every ``period`` reads of it. A leaky mean of these reads is the reference
    for the later ones, until the next change: so no fast device has to be brought to a certain conductance first, and
    none needs a partner. Reads before the first change only serve to learn the reference.
    """

    Options: ClassVar[type[Spec]] = AgadSpec

    def __init__(self, spec: InSituSpec, network: HardwareNetwork) -> None:
        super().__init__(spec, network)
        self.reads = [np.zeros((len(memory), 1)) for memory in self.memory]
        self.means = [np.zeros_like(memory) for memory in self.memory]

    def state(self) -> dict[str, Any]:
        """Return the state of a rule with fast arrays, and of each line the number of its reads and their means."""
        return {**super().state(), "reads": self.reads, "means": self.means}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned."""
        super().restore(state)
        self.reads, self.means = state["reads"], state["means"]

    @property
    def _period(self) -> int:
        assert isinstance(self.options, AgadSpec)
        return self.options.period

    def signs(self, place: int) -> Floats:
        """Return the present signs; they follow from the number of reads of each word line."""
        return np.where(self.reads[place] // self._period % 2, -1.0, 1.0)

    def gradient(self, place: int, read: Mask, pulses: Floats) -> Floats:
        """Return the signed difference of the read from the reference; 0 where there is no reference yet."""
        assert isinstance(self.options, AgadSpec)
        reads, means = self.reads[place], self.means[place]
        found = np.where(reads[read] >= self._period, super().gradient(place, read, pulses), 0.0)
        new = np.where(reads[read] == 0, 1.0, self.options.leak)
        means[read] += new * (pulses - means[read])
        reads[read] += 1
        over = read[:, None] & (reads % self._period == 0)
        self.reference[place] = np.where(over, means, self.reference[place])
        return found
