"""What is asked of tiles that are programmed side by side: conductances, weights of layers, or numbers of pulses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.stack_pulses import Conductances, PairTargets, wanted_conductances
from circuitmem.control.arbiter import Priority
from circuitmem.control.context import Context
from circuitmem.control.pulses import ProgrammingTrain
from circuitmem.control.unit import Unit

__all__ = ["Conductances", "Layers", "PairTargets", "Programming", "Wanted"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Layers = Sequence[PairTargets | Conductances]
Wanted = Layers | Sequence[Floats] | Floats
"""What tiles are to conduct: weights or conductances of layers, or conductances [S] of each tile."""


class Programming(NamedTuple):
    """A job of programming different tiles."""

    units: Sequence[Unit]
    kind: str
    """Account of the SET pulses, a key of ``OPERATIONS``."""
    priority: Priority
    wanted: Wanted = ()
    """What they are to conduct; not used if ``counts`` is given."""
    deadband: float = 0.0
    """Changes up to this get no pulse [S]."""
    counts: Sequence[tuple[Counts, Counts]] | None = None
    """How many pulses down and up the cells of each tile get, (rows, columns)."""

    @property
    def layers(self) -> list[PairTargets | Conductances] | None:
        """The targets of layers; None if the targets are those of single tiles."""
        if isinstance(self.wanted, np.ndarray):
            return None
        return [each for each in self.wanted if isinstance(each, PairTargets | Conductances)] or None

    def conductances(self) -> Sequence[Floats] | Floats:
        """Return what each tile is to conduct, (tiles, rows, columns) S."""
        layers = self.layers
        if layers is not None and self.units[0].spec.packed:  # nan where a layer asks nothing
            return np.concatenate([each.wanted for each in layers if isinstance(each, Conductances)])
        if layers is not None:
            return wanted_conductances(layers, [unit.asked for unit in self.units])
        return [np.asarray(each) for each in self.wanted]

    def train(self, context: Context, place: int, wanted: Floats | None) -> ProgrammingTrain:
        """Make the train of one tile.

        Parameters
        ----------
        context : Context
            What it needs of its chip.
        place : int
            Which of the tiles, from 0.
        wanted : (rows, columns) ndarray, optional
            What it is to conduct [S]; None if the job gives numbers of pulses.

        Returns
        -------
        train : ProgrammingTrain
        """
        unit, counts = self.units[place], None if self.counts is None else self.counts[place]
        return ProgrammingTrain(context, unit, wanted, self.deadband, self.kind, self.priority, counts=counts)

    def trains(self, context: Context) -> list[ProgrammingTrain]:
        """Make the trains of all tiles."""
        wanted = [None] * len(self.units) if self.counts is not None else self.conductances()
        return [self.train(context, place, own) for place, own in enumerate(wanted)]
