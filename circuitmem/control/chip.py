"""A chip in time: tiles, converters and drivers as resources of one SimPy clock, in integer picoseconds.

Operations are generators to be run as SimPy processes. Each waits for what it needs, holds it for as long as its
specification says, changes the state of the devices when its pulse ends, and books its time and energy.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import simpy

from circuitmem.config import ChipSpec
from circuitmem.control import faults
from circuitmem.control.arbiter import Resource
from circuitmem.control.auditor import auditor_of
from circuitmem.control.clock import Process
from circuitmem.control.electrics import Electrics
from circuitmem.control.floor_plan import FloorPlan
from circuitmem.control.pulses import ProgrammingTrain
from circuitmem.control.room import check_room
from circuitmem.control.sequencer import Sequencer
from circuitmem.control.signals import Signals
from circuitmem.control.state import ChipState
from circuitmem.control.trace import Trace
from circuitmem.control.unit import Unit
from circuitmem.control.utilisation import Utilisation, utilisation
from circuitmem.engine import AuditedEngine, Engine
from circuitmem.errors import ChipBrokenError
from circuitmem.validation import integer

__all__ = ["Chip"]

LARGE = 1 << 22
"""Number of cells from which a chip counts as large. Data that follow from the seed alone, device slopes and DAC
tables, take three times the memory of the conductances: a large chip computes them when needed, some tiles at a
time."""

TABLES = 1 << 26
"""Most voltages of DAC codes that a chip keeps, half a gigabyte: with 16 bits a word line has 65,536."""


class Chip(Sequencer):
    """Tiles on one clock.

    Parameters
    ----------
    spec : ChipSpec
        Design of the chip.
    tiles : int
        Number of tiles, >= 0; :meth:`add_tiles` makes more.
    seed : int
        Seed of the fabrication, and of the samples that check reused transfer matrices.
    noise_seed : int
        Seed of read and pulse noise: with another one, the same chip is used a second time.
    engine : Engine, AuditedEngine or str, optional
        Engine that computes the circuit, or the name of its class (``circuitmem list engines``); behavioral if left
        out. With :class:`SpiceEngine` the converters of reads are simulated as circuits too, and the power of pulses
        comes from ngspice; with :class:`AuditedEngine` a random sample of the reads and pulse trains is computed again.
    granularity : {"burst", "pulse"}
        Whether consecutive operations on one tile are one event, or one event each.
    reuse_error : float
        Error allowed in a transfer matrix, so that not every one has to be computed again when cells change
        (:class:`circuitmem.engine.TransferCache`); 0 for none.
    sound : collection of int
        Tiles that are fabricated without defects, whatever the specification says.

    Notes
    -----
    A copy (:func:`copy.deepcopy`, pickle) is a chip in the same state, its noise included; traces and signals stay with
    the original, and a chip whose operations are audited cannot be copied.
    """

    def __init__(
        self,
        spec: ChipSpec,
        tiles: int,
        seed: int = 0,
        noise_seed: int = 0,
        engine: Engine | AuditedEngine | str | None = None,
        granularity: Literal["burst", "pulse"] = "burst",
        reuse_error: float = 0.0,
        sound: Collection[int] = (),
    ) -> None:
        electrics = Electrics(spec, engine, reuse_error, seed)
        super().__init__(spec, granularity, electrics, noise_seed)
        self.context.auditor = auditor_of(engine)
        self.seed = seed
        dacs = None if spec.dac_banks is None else Resource("DAC banks", spec.dac_banks)
        adcs = None if spec.adc_banks is None else Resource("ADC banks", spec.adc_banks)
        self._banks = dacs, adcs
        self._made_by = engine, granularity, reuse_error, frozenset(sound)
        self._broken = ""
        self.floor = FloorPlan((spec.tile.columns - spec.mapping.references) // spec.mapping.width)
        if tiles:
            faults.check_faults(spec, tiles)
            self._make_tiles(tiles, shared=True)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let a copy be made like a new chip and restored to the same state."""
        if self.context.auditor is not None:
            raise TypeError("a chip whose operations are audited cannot be copied")
        made = self.spec, len(self.units), self.seed, self.context.noise_seed, *self._made_by
        return type(self), made, self.state()

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.restore(state)

    def add_tiles(self, count: int, *, sound: bool = False) -> list[Unit]:
        """Fabricate ``count`` more tiles, placed after the last one, and return them.

        ``sound`` tiles have no defects, whatever the specification says. :meth:`take_places` never hands out the new
        tiles.
        """
        return self._make_tiles(count, sound=sound)

    def take_places(self, shares: Sequence[int]) -> tuple[list[Unit], list[int]]:
        """Reserve places on consecutive tiles, one of ``shares`` on each; returns the tiles and each one's first place.

        Tiles that others have left room on are used first; missing tiles are made.
        """
        first = self.floor.room(shares)
        self._make_tiles(max(first + len(shares) - len(self.units), 0), shared=True)
        return self.units[first : first + len(shares)], self.floor.take(first, shares)

    def _make_tiles(self, count: int, *, sound: bool = False, shared: bool = False) -> list[Unit]:
        first = len(self.units)
        total = first + integer("count", count, 0)
        check_room(self.spec, total)
        if sound:
            self._made_by = (*self._made_by[:-1], self._made_by[-1].union(range(first, total)))
        working = self._made_by[-1]
        state = ChipState(total, *self.spec.tile.shape)
        # Each is taken as soon as it is made: the arrays that it gives up free memory for the next one.
        added = [
            state.take(Unit(self.spec, self.seed, index, *self._banks, index not in working))
            for index in range(first, total)
        ]
        state.units = [*map(state.take, self.units), *added]
        self.units += added
        self.floor.add(len(added), shared=shared)
        keep = state.asked.size < LARGE
        tables = total * self.spec.tile.rows * self.spec.converters.dac.levels
        for unit in self.units:
            unit.devices.keeps_slope = keep
            unit.readout.dac.keep_table(keep and tables <= TABLES)
        self.electrics.state = state
        faults.note_fragile(self.spec, self.seed, added)
        self._start_faults(-1, first)
        return added

    def trace_to(self, trace: Trace) -> None:
        """Write every operation from now on into a trace."""
        self.context.trace = trace

    def signal_to(self, signals: Signals) -> None:
        """Show from now on, as control signals, what is held and by which operation."""
        self.arbiter.observer = signals

    def state(self) -> dict[str, Any]:
        """Return all that has changed since the chip was made, for a checkpoint: arrays and plain values, nested.

        No operation may be under way: then the queue holds only future faults, which the specification lists.
        """
        self._check_whole()
        if not self.arbiter.idle:
            raise RuntimeError("a chip's state can be taken only while no operation is under way")
        return {
            "clock": self.clock,
            "numbered": self.arbiter.numbered,
            "ledger": self.ledger.state(),
            "resources": [[resource.busy, resource.waited, resource.free] for resource in self.resources],
            "units": [unit.state() for unit in self.units],
            "transfers": self.electrics.transfers.state(),
            "places": list(self.floor.taken),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Bring a new chip to the :meth:`state` of another one with the same specification and seeds."""
        self.set_clock(state["clock"], state["numbered"])
        self._broken = ""
        self.ledger.restore(state["ledger"])
        for resource, (busy, waited, free) in zip(self.resources, state["resources"], strict=True):
            resource.busy, resource.waited, resource.free = busy, waited, list(free)
        for unit, saved in zip(self.units, state["units"], strict=True):
            unit.restore(saved, self.clock)
        self.electrics.transfers.restore(state["transfers"], {unit.index: unit.tile for unit in self.units})
        self.floor.taken = list(state.get("places", self.floor.taken))  # older versions shared no tiles
        self._start_faults(self.clock)

    def run(self, process: Process) -> Any:
        """Run a process to its end and return what it returns.

        An error or Ctrl-C ends everything that was under way, including other processes: unfinished operations are not
        booked, and their resources are free. The chip can be used from there on, unless cells were being programmed.

        Raises
        ------
        ChipBrokenError
            If an earlier process was stopped while cells were being programmed; :meth:`restore` repairs the chip.
        """
        try:
            return super().run(process)
        except BaseException as error:
            self._abort(error)
            raise

    def start(self, process: Process) -> simpy.Process:
        """Run a process beside the others; returns an event that fires when the process ends."""
        self._check_whole()
        return super().start(process)

    def _check_whole(self) -> None:
        if self._broken:
            raise ChipBrokenError(
                f"the chip cannot be used: {self._broken} stopped it while cells were being programmed; "
                "restore a state of it, or make a new one"
            )

    def _abort(self, error: BaseException) -> None:
        """End everything that is under way: book nothing, free the resources, schedule future faults again."""
        if self._broken:
            return
        running = list(self.arbiter.running.values())
        if self.arbiter.observer is not None:
            for train in running:
                self.arbiter.observer.ended(train.holding(self.clock))
        self.set_clock(self.clock, self.arbiter.numbered)
        for resource in self.resources:
            resource.reset()
        self.electrics.transfers.clear()  # the error may have come in the middle of an update
        halfway, self.context.pulses_are_given = self.context.pulses_are_given, False
        if halfway or any(isinstance(train, ProgrammingTrain) for train in running):
            self._broken = type(error).__name__
        else:
            self._start_faults(self.clock - 1)  # a fault due now must strike; striking twice does no harm

    def utilisation(self) -> dict[str, Utilisation]:
        """Return how busy each kind of resource was so far, the busiest first: that one is the bottleneck."""
        return utilisation(self.resources, self.clock)
