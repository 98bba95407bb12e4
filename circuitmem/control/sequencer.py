"""The operations that a chip's controller requests of tiles, core and bus, as processes on the clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import ChipSpec, FaultSpec
from circuitmem.control import faults
from circuitmem.control.arbiter import Priority, Resource
from circuitmem.control.clock import Clock, Process
from circuitmem.control.context import Context
from circuitmem.control.electrics import Electrics
from circuitmem.control.jobs import (
    LayerCodes,
    LayerSums,
    program_at_once,
    read_at_once,
    read_layer_at_once,
)
from circuitmem.control.ledger import Ledger
from circuitmem.control.programming import Programming, Wanted
from circuitmem.control.pulses import ProgrammingTrain
from circuitmem.control.trains import ReadTrain, bus_step, core_step
from circuitmem.control.unit import Unit
from circuitmem.control.used_lines import UsedLines

__all__ = ["Sequencer"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]


class Sequencer(Clock):
    """Operations on tiles, the digital core and the bus, and faults that strike at given times.

    Parameters
    ----------
    spec : ChipSpec
        The chip.
    granularity : {"burst", "pulse"}
        Whether consecutive operations on one tile are one event, or one event each.
    electrics : Electrics
        Computes the circuits.
    noise_seed : int
        Seed of read and pulse noise.

    Attributes
    ----------
    context : Context
        What operations share: the seed of their noise, and who listens to them.
    digital, bus : Resource
        The digital core, and the bus.
    units : list of Unit
        The tiles.
    """

    def __init__(
        self, spec: ChipSpec, granularity: Literal["burst", "pulse"], electrics: Electrics, noise_seed: int
    ) -> None:
        super().__init__(granularity)
        self.spec, self.electrics, self.ledger = spec, electrics, Ledger()
        drivers = Resource("programming drivers", spec.programming.drivers)
        self.context = Context(self, electrics, self.ledger, drivers, noise_seed)
        self.digital, self.bus = Resource("digital core"), Resource("bus")
        self.units: list[Unit] = []

    def _start_faults(self, after: int, first: int = 0) -> None:
        """Start a process for every fault of the tiles from ``first`` on that comes at a time after ``after`` [ps]."""
        for time, fault in faults.timed(self.spec, after):
            if first <= fault.tile < len(self.units):
                self.start(self._strike(fault, time))

    def _strike(self, fault: FaultSpec, time: int) -> Process:
        yield from self.wait_until(time)
        faults.strike(self.units[fault.tile], fault, self.clock)

    @property
    def resources(self) -> list[Resource]:
        """Everything that operations hold, each once."""
        per_tile = [resource for unit in self.units for resource in (unit.array, unit.dacs, unit.adcs)]
        return list(dict.fromkeys([*per_tile, self.context.drivers, self.digital, self.bus]))

    def _until_free(self, units: Sequence[Unit]) -> Process:
        """Wait for operations on these tiles that were done at once, and so have no train to queue behind."""
        while units and self.context.held_until > self.clock:
            end = max(unit.array.until for unit in units)
            if end <= self.clock:
                return
            for unit in units:
                unit.array.waited += max(unit.array.until - self.clock, 0)
            yield from self.wait_until(end)

    def read(
        self,
        unit: Unit,
        codes: Codes,
        kind: str,
        priority: Priority = Priority.NORMAL,
        gain: float | None = None,
        used: UsedLines | None = None,
    ) -> Process:
        """Read a tile for a batch of inputs, one after another; returns ADC codes (batch, columns).

        Parameters
        ----------
        codes : (batch, rows) ndarray of int
            DAC codes.
        kind : str
            Account to book on: ``"mac_read"``, ``"calibration_read"``, ``"verify_read"`` ...
        priority : Priority
            ``BACKGROUND`` reads yield to other operations between two reads.
        gain : float, optional
            Gain of the amplifiers for these reads; the present one if left out.
        used : UsedLines, optional
            The lines that are read; all if left out.
        """
        if len(codes) == 0:
            return np.zeros((0, unit.tile.spec.columns), dtype=np.int64)
        yield from self._until_free([unit])
        answer = yield self.arbiter.perform(ReadTrain(self.context, unit, codes, kind, priority, gain, used))
        columns = unit.read_cost(used).columns
        yield from self.transfer(len(codes) * columns * self.spec.converters.adc.bits, priority)
        return answer

    def program(self, unit: Unit, wanted: Floats, deadband: float, priority: Priority = Priority.NORMAL) -> Process:
        """Program all cells of a tile that have to change by more than ``deadband``, with the pulses that they need.

        Returns the number of cell pulses.

        Parameters
        ----------
        wanted : (rows, columns) ndarray
            Wanted conductance [S]; on a chip that is packed, nan for cells that are to stay.
        deadband : float
            Changes up to this get no pulse [S].
        priority : Priority
            ``BACKGROUND`` pulses yield to other operations between two pulses.
        """
        yield from self._until_free([unit])
        train = ProgrammingTrain(self.context, unit, wanted, deadband, self._set_pulse, priority)
        return (yield self.arbiter.perform(train))

    def read_all(
        self,
        units: Sequence[Unit],
        codes: Sequence[Codes],
        kind: str,
        priority: Priority = Priority.NORMAL,
        gain: float | None = None,
        used: Sequence[UsedLines | None] | None = None,
    ) -> Process:
        """Read tiles side by side; returns the ADC codes (batch, columns) of each. Arguments as in :meth:`read`."""
        yield from self._until_free(units)
        asked = list(zip(units, codes, [None] * len(units) if used is None else used, strict=True))
        if self.spec.bus.bandwidth is None and all(len(some) for some in codes):
            trains = [ReadTrain(self.context, unit, some, kind, priority, gain, own) for unit, some, own in asked]
            duration = read_at_once(self.context, trains)
            if duration is not None:
                yield from self.wait_until(self.clock + duration)
                return [train.result() for train in trains]
        # Cells that change in time are updated when their read begins.
        self.electrics.refresh([unit for unit in units if not unit.cells.moves])
        return (yield from self.together(self.read(unit, some, kind, priority, gain, own) for unit, some, own in asked))

    def read_layer(
        self,
        units: Sequence[Unit],
        layer: LayerCodes,
        sums: LayerSums,
        kind: str,
        priority: Priority = Priority.NORMAL,  # noqa: ARG002 - there is nothing else to yield to
    ) -> Process:
        """Read the tiles of a layer and add up their corrected codes; returns sums (batch, outputs).

        Returns None and reads nothing if the tiles have to be read one by one, which :meth:`read_all` does.
        """
        found = None
        yield from self._until_free(units)
        if self.spec.bus.bandwidth is None:
            found = read_layer_at_once(self.context, units, layer, sums, kind)
        if found is not None:
            yield from self.wait_until(self.clock + found[0])
            return found[1]
        return None

    def program_all(
        self,
        units: Sequence[Unit],
        wanted: Wanted,
        deadband: float,
        priority: Priority = Priority.NORMAL,
    ) -> Process:
        """Program tiles side by side; returns the number of cell pulses of each. Arguments as in :meth:`program`.

        ``wanted`` gives the conductances of each tile, or the targets of layers on consecutive tiles.
        """
        return (yield from self._carry_out(Programming(units, self._set_pulse, priority, wanted, deadband)))

    def _carry_out(self, job: Programming) -> Process:
        """Give the pulses of a job, at once if nothing can come between them; returns each tile's number of pulses."""
        yield from self._until_free(job.units)
        found = program_at_once(self.context, job)
        if found is None:
            return (yield from self.together(self._perform(train) for train in job.trains(self.context)))
        yield from self.wait_until(self.clock + found[0])
        return found[1]

    def _perform(self, train: ProgrammingTrain) -> Process:
        return (yield self.arbiter.perform(train))

    @property
    def _set_pulse(self) -> str:
        """Kind of the SET pulses of programming."""
        return "set_cell_pulse" if self.spec.programming.by_cell else "set_row_pulse"

    def rewrite(self, unit: Unit, cells: Mask, lowered: Mask, priority: Priority = Priority.BACKGROUND) -> Process:
        """Program ``cells`` (rows, columns) once more towards what was last asked of them: a refresh.

        Those in ``lowered`` get a RESET first. Returns the number of cell pulses.
        """
        chosen = cells & lowered, cells
        yield from self._until_free([unit])
        train = ProgrammingTrain(self.context, unit, None, 0.0, "refresh_set_pulse", priority, chosen)
        return (yield self.arbiter.perform(train))

    def pulse(self, unit: Unit, down: Counts, up: Counts, priority: Priority = Priority.NORMAL) -> Process:
        """Give the cells of a tile so many pulses, first those down, then those up; returns the number of cell pulses.

        Only reads can tell the result: the digital core assumes what the declared curves predict.

        Parameters
        ----------
        down, up : (rows, columns) ndarray of int
            Pulses of each cell, >= 0.
        """
        yield from self._until_free([unit])
        train = ProgrammingTrain(self.context, unit, None, 0.0, self._set_pulse, priority, counts=(down, up))
        return (yield self.arbiter.perform(train))

    def pulse_all(
        self, units: Sequence[Unit], counts: Sequence[tuple[Counts, Counts]], priority: Priority = Priority.NORMAL
    ) -> Process:
        """Give the cells of tiles pulses, side by side; arguments as in :meth:`pulse`."""
        return (yield from self._carry_out(Programming(units, self._set_pulse, priority, counts=counts)))

    def compute(self, operations: int, priority: Priority = Priority.NORMAL) -> Process:
        """Hold the digital core for so many operations."""
        yield self.arbiter.perform(core_step(self.context, self.spec.digital, self.digital, operations, priority))

    def transfer(self, bits: int, priority: Priority = Priority.NORMAL) -> Process:
        """Carry so many bits over the bus; takes no time and no energy if no bandwidth is declared."""
        if self.spec.bus.bandwidth is not None:
            yield self.arbiter.perform(bus_step(self.context, self.spec.bus, self.bus, bits, priority))
