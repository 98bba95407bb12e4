"""A chip in time: tiles, converters and drivers as resources of one SimPy clock, in integer picoseconds.

Operations are generators to be run as SimPy processes. Each waits for what it needs, holds it for as long as its
specification says, changes the state of the devices when its pulse ends, and books its time and energy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np
import simpy
from numpy.typing import NDArray

from circuitmem._kernels.noise import Address, standard_normal
from circuitmem._kernels.reads import IdealAdmittance, read_currents
from circuitmem.config import ChipSpec
from circuitmem.control import faults
from circuitmem.control.arbiter import Arbiter, Priority, Resource, Train
from circuitmem.control.auditor import ChipAuditor, Sample
from circuitmem.control.counts import CountTrain
from circuitmem.control.ledger import PICOSECOND, Account, Ledger, attojoules, on_clock, picoseconds
from circuitmem.control.pulses import PulseTrain
from circuitmem.control.signals import Signals
from circuitmem.control.trace import Trace
from circuitmem.control.trains import ReadTrain, StepTrain
from circuitmem.control.two_pulse import TwoPulseTrain
from circuitmem.control.unit import Unit
from circuitmem.engine import AuditedEngine, BehavioralEngine, SpiceEngine, TransferCache
from circuitmem.errors import ValidationError

__all__ = ["Chip", "Process", "Utilisation"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]
Process = Generator[simpy.Event, Any, Any]


_TRAINS: dict[str, type[PulseTrain]] = {"two-pulse": TwoPulseTrain, "pulse-update": CountTrain}
"""How each kind of device is programmed."""


class Utilisation(NamedTuple):
    """How much of the time things of one kind were held."""

    things: int
    """How many of them there are."""
    busy: int
    """Time that they were held, added up [ps]."""
    waited: int
    """Time that operations waited because one of them was taken [ps]."""
    fraction: float
    """``busy`` as a fraction of the time that was there."""


class _Task(simpy.Process):
    """A process that knows what its operations are booked under."""

    def __init__(self, environment: simpy.Environment, process: Process, phase: str) -> None:
        self.phase = phase
        super().__init__(environment, process)


class Chip:
    """Tiles on one clock.

    Parameters
    ----------
    spec : ChipSpec
        What was designed.
    tiles : int
        How many tiles, >= 1.
    seed : int
        Seed of the fabrication and, with ``noise_seed``, of the noise.
    noise_seed : int
        Seed of read and pulse noise: the same chip used twice.
    engine : BehavioralEngine, SpiceEngine or AuditedEngine, optional
        What computes the circuit. With :class:`SpiceEngine` reads go through converters that are simulated as circuits
        too, and the power of pulses is that of ngspice; with :class:`AuditedEngine` a random part of the reads and of
        the pulse trains is computed again.
    granularity : {"burst", "pulse"}
        Whether operations in a row on one tile are one event or one each.
    reuse_error : float
        Error that a transfer matrix may have, so that not each has to be worked out anew when cells change
        (:class:`circuitmem.engine.TransferCache`); 0 for none.
    sound : collection of int
        Tiles whose devices all work, whatever the specification says of stuck ones.

    """

    def __init__(
        self,
        spec: ChipSpec,
        tiles: int,
        seed: int = 0,
        noise_seed: int = 0,
        engine: BehavioralEngine | SpiceEngine | AuditedEngine | None = None,
        granularity: Literal["burst", "pulse"] = "burst",
        reuse_error: float = 0.0,
        sound: Collection[int] = (),
    ) -> None:
        self.spec = spec
        #: Looks at operations and has some of them done again.
        self.auditor: ChipAuditor | None = None
        if isinstance(engine, AuditedEngine):
            self.auditor = ChipAuditor(self, _audit_by(engine), fraction=engine.fraction, seed=engine.seed)
        given: object = engine.behavioral if isinstance(engine, AuditedEngine) else engine
        if not isinstance(given, BehavioralEngine | SpiceEngine | None):
            raise ValidationError("engine", "must be behavioral, SPICE, or the first audited", given)
        self.engine = given or BehavioralEngine()
        self.behavioral = self.engine if isinstance(self.engine, BehavioralEngine) else BehavioralEngine()
        self.granularity = granularity
        self.seed = seed
        self.noise_seed = noise_seed
        self.environment = simpy.Environment(initial_time=0)
        self.arbiter = Arbiter(self.environment, granularity)
        dacs = None if spec.dac_banks is None else Resource("DAC banks", spec.dac_banks)
        adcs = None if spec.adc_banks is None else Resource("ADC banks", spec.adc_banks)
        self.units = [Unit(spec, seed, index, dacs, adcs, index not in sound) for index in range(tiles)]
        self.drivers = Resource("programming drivers", spec.programming.drivers)
        self.digital = Resource("digital core")
        self.bus = Resource("bus")
        self.stroke_energy = attojoules(spec.programming.energy_per_pulse)
        self.ledger = Ledger()
        self._phase = ""
        self._trace: Trace | None = None
        self.transfers = TransferCache(self.behavioral, reuse_error, seed)
        faults.schedule(self)

    @property
    def _train(self) -> type[PulseTrain]:
        return _TRAINS[self.spec.device.kind]

    @property
    def now(self) -> float:
        """Simulated time [s]."""
        return float(self.environment.now) * PICOSECOND

    @property
    def clock(self) -> int:
        """Simulated time [ps]."""
        return int(self.environment.now)

    @property
    def resources(self) -> list[Resource]:
        """Everything that operations hold, each once."""
        per_tile = [resource for unit in self.units for resource in (unit.array, unit.dacs, unit.adcs)]
        return list(dict.fromkeys([*per_tile, self.drivers, self.digital, self.bus]))

    @property
    def traced(self) -> bool:
        """Whether a trace is being written."""
        return self._trace is not None

    def trace_to(self, trace: Trace) -> None:
        """Write every operation from now on into a trace."""
        self._trace = trace

    def signal_to(self, signals: Signals) -> None:
        """Show what is held from now on, and what for, on control signals."""
        self.arbiter.observer = signals

    def show(
        self, train: Train, kind: str, begin: int, duration: int, count: int, booked: Account, since: int | None = None
    ) -> None:
        """Let the trace, if there is one, have what a train did from ``begin`` on [ps], drawn from ``since`` on."""
        if self._trace is not None:
            self._trace.operation(train, kind, begin, duration, count, booked, since)

    def state(self) -> dict[str, Any]:
        """Return all that has changed since the chip was made, for a checkpoint: arrays and plain values, nested.

        Nothing may be under way: then the queue holds only faults to come, which the specification knows.
        """
        if not self.arbiter.idle:
            raise RuntimeError("a chip's state can be taken only while no operation is under way")
        return {
            "clock": self.clock,
            "numbered": self.arbiter.numbered,
            "ledger": self.ledger.state(),
            "resources": [[resource.busy, resource.waited, resource.free] for resource in self.resources],
            "units": [unit.state() for unit in self.units],
            "transfers": self.transfers.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Make a new chip what another with the same specification and seeds was when it gave :meth:`state`."""
        self.environment = simpy.Environment(initial_time=state["clock"])
        observer = self.arbiter.observer
        self.arbiter = Arbiter(self.environment, self.granularity)
        self.arbiter.numbered, self.arbiter.observer = state["numbered"], observer
        self.ledger.restore(state["ledger"])
        for resource, (busy, waited, free) in zip(self.resources, state["resources"], strict=True):
            resource.busy, resource.waited, resource.free = busy, waited, list(free)
        for unit, saved in zip(self.units, state["units"], strict=True):
            unit.restore(saved, self.clock)
        self.transfers.restore(state["transfers"], {unit.index: unit.tile for unit in self.units})
        faults.start_timed(self, self.clock)

    @property
    def phase(self) -> str:
        """What the operations that are asked for now belong to, in the accounts; see :meth:`during`."""
        active = self.environment.active_process
        return active.phase if isinstance(active, _Task) else self._phase

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """Book operations that are asked for in this block under ``phase``: those of this process, or of all.

        A process belongs to the phase of the one that started it.
        """
        active = self.environment.active_process
        before = self.phase
        holder, name = (active, "phase") if isinstance(active, _Task) else (self, "_phase")
        setattr(holder, name, phase)
        try:
            yield
        finally:
            setattr(holder, name, before)

    def utilisation(self) -> dict[str, Utilisation]:
        """Return how busy each kind of resource was so far, the busiest first: that one is the bottleneck."""
        found: dict[str, list[Resource]] = {}
        for resource in self.resources:
            found.setdefault(resource.kind, []).append(resource)
        sums = {
            name: Utilisation(
                sum(resource.capacity for resource in same),
                sum(resource.busy for resource in same),
                sum(resource.waited for resource in same),
                sum(resource.busy for resource in same) / max(1, self.clock * sum(r.capacity for r in same)),
            )
            for name, same in found.items()
        }
        return dict(sorted(sums.items(), key=lambda entry: -entry[1].fraction))

    def run(self, process: Process) -> Any:
        """Run a process to its end and return what it returns."""
        return self.environment.run(self.start(process))

    def start(self, process: Process) -> simpy.Process:
        """Let a process run beside the others; it is an event that comes when the process ends."""
        return _Task(self.environment, process, self.phase)

    def wait_until(self, time: int) -> Process:
        """Let time pass until ``time`` [ps], if that is to come."""
        if time > self.clock:
            yield self.environment.timeout(on_clock(time) - self.clock)

    def together(self, processes: Iterable[Process]) -> Process:
        """Run processes side by side; returns their results in order."""
        running = [self.start(process) for process in processes]
        yield self.environment.all_of(running)
        return [process.value for process in running]

    def read(
        self, unit: Unit, codes: Codes, kind: str, priority: Priority = Priority.NORMAL, gain: float | None = None
    ) -> Process:
        """Read a tile for a batch of inputs, one after another; returns ADC codes (batch, columns).

        Parameters
        ----------
        unit : Unit
            The tile.
        codes : (batch, rows) ndarray of int
            DAC codes.
        kind : str
            Account to book on: ``"mac_read"``, ``"calibration_read"``, ``"verify_read"`` ...
        priority : Priority
            ``BACKGROUND`` reads let others go first, between two of them.
        gain : float, optional
            Gain of the amplifiers for these reads; the one that is set if left out.
        """
        if len(codes) == 0:
            return np.zeros((0, unit.tile.spec.columns), dtype=np.int64)
        answer = yield self.arbiter.perform(ReadTrain(self, unit, codes, kind, priority, gain))
        yield from self.transfer(len(codes) * unit.tile.spec.columns * self.spec.converters.adc.bits, priority)
        return answer

    def program(self, unit: Unit, wanted: Floats, deadband: float, priority: Priority = Priority.NORMAL) -> Process:
        """Program all cells of a tile that are asked to change by more than ``deadband``, as their device wants it.

        Returns the number of cell pulses (:mod:`circuitmem.control.two_pulse`, :mod:`circuitmem.control.counts`).

        Parameters
        ----------
        unit : Unit
            The tile.
        wanted : (rows, columns) ndarray
            Wanted conductance [S].
        deadband : float
            Changes up to this are not worth a pulse [S].
        priority : Priority
            ``BACKGROUND`` pulses let others go first, between two of them.
        """
        kind = "set_cell_pulse" if self.spec.programming.by_cell else "set_row_pulse"
        return (yield self.arbiter.perform(self._train(self, unit, wanted, deadband, kind, priority)))

    def rewrite(self, unit: Unit, cells: Mask, lowered: Mask, priority: Priority = Priority.BACKGROUND) -> Process:
        """Program ``cells`` (rows, columns) once more towards what was last asked of them: a refresh.

        ``lowered`` of them get a RESET first. Returns the number of cell pulses.
        """
        train = self._train(self, unit, None, 0.0, "refresh_set_pulse", priority, (cells & lowered, cells))
        return (yield self.arbiter.perform(train))

    def compute(self, operations: int, priority: Priority = Priority.NORMAL) -> Process:
        """Hold the digital core for so many operations."""
        spec = self.spec.digital
        duration = picoseconds(operations / spec.throughput)
        energy = attojoules(operations * spec.energy_per_operation)
        step = StepTrain(self, "digital_step", self.digital, operations, duration, energy, "core", priority)
        yield self.arbiter.perform(step)

    def transfer(self, bits: int, priority: Priority = Priority.NORMAL) -> Process:
        """Carry so many bits over the bus; takes nothing if no bandwidth is declared."""
        spec = self.spec.bus
        if spec.bandwidth is not None:
            duration, energy = picoseconds(bits / spec.bandwidth), attojoules(bits * spec.energy_per_bit)
            yield self.arbiter.perform(
                StepTrain(self, "bus_transfer", self.bus, bits, duration, energy, "bus", priority)
            )

    def _catch_up(self, unit: Unit) -> PulseTrain | ReadTrain | None:
        for train in unit.array.users:
            if isinstance(train, PulseTrain | ReadTrain):
                train.settle(min(train.finished(self.clock), train.stop))
                return train
        return None

    def strike(self, fault: faults.FaultSpec) -> None:
        """Break something now: pulses that have ended came before, and reads that have begun too."""
        unit = self.units[fault.tile]
        train = self._catch_up(unit)
        self.damage(unit, fault)
        if train is not None:
            train.notice(self.clock)

    def damage(self, unit: Unit, fault: faults.FaultSpec) -> None:
        """Break something on a tile."""
        if fault.what == "adc":
            alive = unit.readout.adc.alive.copy()
            alive[fault.column] = False
            unit.readout.adc.alive = alive
        else:
            unit.tile.damage(faults.broken(unit.tile, fault))

    def wear_out(self, unit: Unit, worn: Mask, left: Floats) -> None:
        """Let cells stick for ever, as the endurance specification says."""
        failure, device = self.spec.endurance.failure, self.spec.device
        value = {"stuck-on": device.maximum_conductance, "stuck-off": device.minimum_conductance}.get(failure)
        unit.tile.damage(faults.stuck(unit.tile, worn, left if value is None else np.full(worn.shape, value)))

    def refresh(self, units: Sequence[Unit]) -> None:
        """Work out the transfer matrices of all tiles whose state has changed, in one call."""
        if self._through_matrices:
            self.transfers.refresh({unit.index: unit.tile for unit in units})

    @property
    def _through_matrices(self) -> bool:
        return isinstance(self.engine, BehavioralEngine) and self.spec.tile.cell.linear

    def currents(self, unit: Unit, voltages: Floats) -> tuple[Floats, Floats]:
        """Return column currents (batch, columns) A and power (batch,) W for driver voltages (batch, rows) V."""
        if self._through_matrices:
            matrix, admittance = self.transfers.get(unit.index, unit.tile)
            threads = self.behavioral.threads
            currents = read_currents(voltages, matrix, threads=threads)
            if isinstance(admittance, IdealAdmittance):
                return currents, admittance.power(voltages, currents)
            return currents, (read_currents(voltages, admittance, threads=threads) * voltages).sum(axis=1)
        solution = self.engine.solve(unit.tile, voltages)
        return solution.column_current, solution.power

    def answer(self, unit: Unit, codes: Codes, noise: Address, first: int = 0) -> tuple[Codes, Floats]:
        """Return the ADC codes (batch, columns) and the power of the array (batch,) W; the clock stands still.

        ``first`` is the number of the first of these vectors at the address of the noise.
        """
        if self._through_matrices:
            matrix, admittance = self.transfers.get(unit.index, unit.tile)
            return unit.readout.read(
                codes,
                matrix,
                admittance,
                noise,
                first=first,
                threads=self.behavioral.threads,
                offset_current=unit.offset_current(self.behavioral),
            )
        columns, sigma = unit.tile.spec.columns, self.spec.converters.adc.noise
        volts = sigma * standard_normal(noise, (first + len(codes)) * columns)[first * columns :].reshape(-1, columns)
        currents, power = self.currents(unit, unit.readout.dac.voltages(codes))
        if isinstance(self.engine, SpiceEngine):
            return self.engine.codes(unit.tile, unit.readout, codes, volts), power
        return unit.readout.adc.codes(currents, volts), power


def _audit_by(engine: AuditedEngine) -> Callable[[Sample], None]:
    """Return what hands a chosen operation to an audited engine."""

    def take(sample: Sample) -> None:
        engine.audit(sample.case, name=sample.name, provenance=sample.provenance)

    return take
