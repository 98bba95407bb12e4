"""What the operations of a chip share, and who listens to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuitmem.control.arbiter import Resource, Train
from circuitmem.control.auditor import ChipAuditor
from circuitmem.control.clock import Clock
from circuitmem.control.electrics import Electrics
from circuitmem.control.ledger import Account, Ledger
from circuitmem.control.observe import Done, SeenReads, unchangeable
from circuitmem.control.trace import Trace
from circuitmem.control.unit import Unit

__all__ = ["Context"]


@dataclass
class Context:
    """What a train needs from its chip.

    Attributes
    ----------
    clock : Clock
        Says which phase an operation belongs to.
    electrics : Electrics
        Computes the circuits.
    ledger : Ledger
        Where operations are booked.
    drivers : Resource
        Programming drivers.
    noise_seed : int
        Seed of read and pulse noise.
    auditor : ChipAuditor, optional
        Looks at operations and has some of them computed again.
    trace : Trace, optional
        Writes every operation.
    pulses_are_given : bool
        Whether a job is programming tiles at this moment.
    held_until : int
        When the last operation that was done at once ends [ps]; may lie far in the past.
    """

    clock: Clock
    electrics: Electrics
    ledger: Ledger
    drivers: Resource
    noise_seed: int
    auditor: ChipAuditor | None = None
    trace: Trace | None = None
    pulses_are_given: bool = False
    held_until: int = 0

    def hold(self, resources: Iterable[Resource], now: int, duration: int) -> None:
        """Note that an operation done at once holds resources from ``now`` on for ``duration`` [ps]."""
        end = now + duration
        for resource in resources:
            resource.busy += duration
            resource.until = end
        self.held_until = max(self.held_until, end)

    @property
    def traces_beats(self) -> bool:
        """Whether each read and pulse is booked on its own, for a trace with granularity ``"pulse"``."""
        return self.trace is not None and self.clock.granularity == "pulse"

    def let_audit(self, unit: Unit, drives: Callable[[], NDArray[np.int64]], kind: str, now: int) -> None:
        """Let the auditor look at reads of a tile that were just done, if there is one and it wants them.

        Parameters
        ----------
        unit : Unit
            The tile.
        drives : callable
            Returns their DAC codes, (batch, rows); called only if the auditor wants the reads.
        kind : str
            What they were booked as.
        now : int
            When they begin [ps].
        """
        auditor, tile, number = self.auditor, unit.index, unit.reads
        if auditor is None or not auditor.wants_reads(tile, number):
            return
        codes = drives()
        voltages = unit.readout.dac.voltages(codes[auditor.some_reads(tile, number, len(codes))])
        currents, _ = self.electrics.currents(unit, voltages)
        state = unchangeable(unit.tile.conductance), unit.tile.defects
        found = unchangeable(voltages), unchangeable(currents)
        auditor.read(SeenReads(tile, number, kind, now, unit.tile.spec, *state, *found))

    def show(
        self, train: Train, kind: str, begin: int, duration: int, count: int, booked: Account, since: int | None = None
    ) -> None:
        """Write to the trace, if there is one, what a train did from ``begin`` [ps] on, drawn from ``since`` on."""
        if self.trace is not None:
            cost = booked.busy, booked.energy, booked.pulses
            shown = begin if since is None else since
            self.trace.operation(Done(train.number, kind, train.held, begin, duration, count, *cost, shown))
