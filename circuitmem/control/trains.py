"""The trains that program no cell: reads, and steps of the digital core and the bus."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Address
from circuitmem.config import BusSpec, DigitalSpec
from circuitmem.control.arbiter import Priority, Resource, Train
from circuitmem.control.context import Context
from circuitmem.control.ledger import PICOSECOND, attojoules, picoseconds
from circuitmem.control.operations import OPERATIONS
from circuitmem.control.unit import Unit
from circuitmem.control.used_lines import UsedLines

__all__ = ["ReadTrain", "StepTrain", "TileTrain", "bus_step", "core_step"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


class StepTrain(Train):
    """One beat on something other than a tile: a digital step, or a bus transfer.

    Parameters
    ----------
    context : Context
        What it needs of its chip.
    kind : str
        Account to book on.
    resource : Resource
        What it holds.
    amount : int
        Number of operations, or bits.
    duration : int
        How long it takes [ps], >= 1.
    energy : int
        Energy of the step [aJ].
    part : str
        Part of the chip that uses this energy.
    priority : Priority
        Its priority.
    """

    def __init__(
        self,
        context: Context,
        kind: str,
        resource: Resource,
        amount: int,
        duration: int,
        energy: int,
        part: str,
        priority: Priority,
    ) -> None:
        super().__init__((resource,), (duration,), priority)
        self.context, self.kind, self.phase = context, kind, context.clock.phase
        self.amount, self.energy, self.part = amount, energy, part

    def begin(self, now: int) -> None:
        """Do nothing: the step depends on no circuit."""

    def settle(self, beats: int) -> None:
        """Note that the step is done."""
        self.done = beats

    def pause(self, now: int) -> None:  # noqa: ARG002
        """Book the step."""
        busy = self.ends[0]
        booked = self.context.ledger.add(
            self.kind, operations=self.amount, busy=busy, energy={self.part: self.energy}, phase=self.phase
        )
        self.context.show(self, self.kind, self.origin, busy, 1, booked)

    def result(self) -> None:
        """Return nothing."""


def core_step(context: Context, spec: DigitalSpec, core: Resource, operations: int, priority: Priority) -> StepTrain:
    """Return the step that holds a digital core for so many operations."""
    duration, energy = picoseconds(operations / spec.throughput), attojoules(operations * spec.energy_per_operation)
    return StepTrain(context, "digital_step", core, operations, duration, energy, "core", priority)


def bus_step(context: Context, spec: BusSpec, bus: Resource, bits: int, priority: Priority) -> StepTrain:
    """Return the step that transfers so many bits over a bus with a declared bandwidth."""
    assert spec.bandwidth is not None
    duration, energy = picoseconds(bits / spec.bandwidth), attojoules(bits * spec.energy_per_bit)
    return StepTrain(context, "bus_transfer", bus, bits, duration, energy, "bus", priority)


class TileTrain(Train):
    """Beats on one tile.

    Parameters
    ----------
    context : Context
        What it needs of its chip.
    unit : Unit
        The tile.
    kind : str
        Key in ``OPERATIONS``, which says what it holds.
    ends : sequence of int
        As in :class:`circuitmem.control.arbiter.Train`.
    priority : Priority
        Its priority.
    """

    def __init__(self, context: Context, unit: Unit, kind: str, ends: Sequence[int], priority: Priority) -> None:
        place = {"tile": unit.array, "dac": unit.dacs, "adc": unit.adcs, "driver": context.drivers}
        super().__init__(tuple(place[name] for name in OPERATIONS[kind].holds), ends, priority)
        self.context, self.unit, self.kind, self.phase = context, unit, kind, context.clock.phase

    def notice(self, now: int) -> None:
        """React to a fault that struck the tile at ``now`` [ps]."""

    def catch_up(self, now: int) -> None:
        """Apply the effects of all beats that have ended at ``now`` [ps] or before."""
        self.settle(min(self.finished(now), self.stop))


class ReadTrain(TileTrain):
    """Reads of one tile: they see the array as it is when the train begins, continues, or a fault strikes.

    Parameters
    ----------
    context, unit, kind, priority
        As in :class:`TileTrain`.
    codes : (batch, rows) ndarray of int
        DAC codes.
    gain : float, optional
        Gain of the amplifiers for these reads.
    used : UsedLines, optional
        The lines that are read; all if left out.
    """

    def __init__(
        self,
        context: Context,
        unit: Unit,
        codes: Codes,
        kind: str,
        priority: Priority,
        gain: float | None = None,
        used: UsedLines | None = None,
    ) -> None:
        self.used, self.cost = used, unit.read_cost(used)
        time = self.cost.time
        super().__init__(context, unit, kind, range(time, len(codes) * time + 1, time), priority)
        self.codes = codes
        self.gain = gain
        self.answer: Codes = np.zeros((len(codes), unit.tile.spec.columns), dtype=np.int64)
        self.power = np.zeros(len(codes))
        self.noise: Address | None = None
        self.booked = 0

    def begin(self, now: int) -> None:
        """Compute all reads that are left, with the array as it is now."""
        self.unit.meet(now, self.context.noise_seed)
        if self.noise is None:  # once for the whole train, so that the noise does not depend on interruptions
            self.noise = self.unit.next_read(self.context.noise_seed)
        self._read(self.done)
        if self.done == 0:
            self.context.let_audit(self.unit, self.drives, self.kind, now)

    def drives(self) -> Codes:
        """Return the DAC codes of each read, (batch, rows)."""
        return self.codes

    def _read(self, first: int) -> None:
        assert self.noise is not None
        with self.unit.readout.adc.at_gain(self.gain):
            found = self.context.electrics.codes(self.unit, self.codes[first:], self.noise, first)
        self.answer[first:], self.power[first:] = found
        if self.used is not None:
            self.answer[first:, ~self.used.columns] = 0

    def notice(self, now: int) -> None:
        """Compute again the reads that had not begun when a fault struck."""
        passed = now - self.origin
        begun = self.finished(now - 1) + 1 if passed > 0 else 0
        if begun < len(self.codes):
            self._read(max(begun, self.done))

    def settle(self, beats: int) -> None:
        """Count reads; they disturb the cells only in :meth:`pause`."""
        self.done = max(self.done, beats)

    def pause(self, now: int) -> None:  # noqa: ARG002
        """Book the reads since the last pause, and let them disturb the cells."""
        first, last = self.booked, self.done
        if last == first:
            return
        self.booked = last
        if self.unit.cells.disturbed:
            self.unit.cells.read(np.count_nonzero(self.codes[first:last], axis=0), self.cost.time)
        if self.context.traces_beats:
            for beat in range(first, last):
                self._book(beat, beat + 1)
        else:
            self._book(first, last)

    def _book(self, first: int, last: int) -> None:
        unit, count, answer = self.unit, last - first, self.answer[first:last]
        time = self.cost.time
        energy = {part: count * each for part, each in self.cost.energy.items()}
        energy["array"] = attojoules(self.power[first:last] * (time * PICOSECOND))
        booked = self.context.ledger.add(
            self.kind,
            operations=count,
            busy=count * time,
            energy=energy,
            saturated=unit.readout.adc.saturated(answer),
            tile=unit.index,
            phase=self.phase,
        )
        self.context.show(self, self.kind, self.origin + first * time, count * time, count, booked)

    def result(self) -> Codes:
        """Return the ADC codes, (batch, columns)."""
        return self.answer
