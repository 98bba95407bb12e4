"""A chip in time: tiles, converters and drivers as resources of one SimPy clock, in integer picoseconds.

Operations are generators to be run as SimPy processes. Each waits for what it needs, holds it for as long as its
specification says, changes the state of the devices when its pulse ends, and books its time and energy.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Any, Literal

import numpy as np
import simpy
from numpy.typing import NDArray

from circuitmem._kernels.noise import Address, standard_normal
from circuitmem._kernels.pulses import changes
from circuitmem.config import ChipSpec
from circuitmem.control.ledger import PICOSECOND, Ledger, attojoules, picoseconds
from circuitmem.control.unit import Unit
from circuitmem.engine import BehavioralEngine, SpiceEngine

__all__ = ["Chip", "Process"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Process = Generator[simpy.Event, Any, Any]


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
    engine : BehavioralEngine or SpiceEngine, optional
        What computes the circuit; with :class:`SpiceEngine` converters are simulated as circuits too.
    granularity : {"burst", "pulse"}
        Whether operations in a row on one tile are one event or one each.
    """

    def __init__(
        self,
        spec: ChipSpec,
        tiles: int,
        seed: int = 0,
        noise_seed: int = 0,
        engine: BehavioralEngine | SpiceEngine | None = None,
        granularity: Literal["burst", "pulse"] = "burst",
    ) -> None:
        self.spec = spec
        self.engine = engine or BehavioralEngine()
        self.granularity = granularity
        self.noise_seed = noise_seed
        self.environment = simpy.Environment(initial_time=0)
        self.units = [Unit(self.environment, spec, seed, index) for index in range(tiles)]
        self.drivers = simpy.Resource(self.environment, capacity=spec.programming.drivers)
        self.digital = simpy.Resource(self.environment)
        self.ledger = Ledger()
        self._transfers: dict[int, tuple[int, Floats, Floats]] = {}

    @property
    def now(self) -> float:
        """Simulated time [s]."""
        return float(self.environment.now) * PICOSECOND

    def run(self, process: Process) -> Any:
        """Run a process to its end and return what it returns."""
        return self.environment.run(self.environment.process(process))

    def together(self, processes: Iterable[Process]) -> Process:
        """Run processes side by side; returns their results in order."""
        running = [self.environment.process(process) for process in processes]
        yield self.environment.all_of(running)
        return [process.value for process in running]

    def read(self, unit: Unit, codes: Codes, kind: str) -> Process:
        """Read a tile for a batch of inputs, one after another; returns ADC codes (batch, columns).

        Parameters
        ----------
        unit : Unit
            The tile.
        codes : (batch, rows) ndarray of int
            DAC codes.
        kind : str
            Account to book on: ``"mac_read"``, ``"calibration_read"``, ``"verify_read"`` ...
        """
        requests = [resource.request() for resource in (unit.array, unit.dacs, unit.adcs)]
        yield self.environment.all_of(requests)
        answer, power = self._answer(unit, codes)
        batch = len(codes)
        yield from self._spend(batch, unit.read_time)
        for resource, request in zip((unit.array, unit.dacs, unit.adcs), requests, strict=True):
            resource.release(request)
        rows, columns = unit.tile.spec.shape
        converters, duration = self.spec.converters, unit.read_time * PICOSECOND
        fixed = rows * converters.dac.energy_per_conversion + columns * converters.adc.energy_per_conversion
        fixed += columns * converters.tia.power * duration
        energy = attojoules(power * duration) + batch * attojoules(fixed)
        self.ledger.add(
            kind,
            operations=batch,
            busy=batch * unit.read_time,
            energy=energy,
            saturated=unit.readout.adc.saturated(answer),
        )
        return answer

    def program(self, unit: Unit, wanted: Floats, deadband: float) -> Process:
        """Give two-pulse programming to all cells of a tile that are asked to change by more than ``deadband``.

        Row after row: one RESET pulse for the cells that shall fall, one SET pulse for those and for the cells that
        shall rise, each cell's gate at the voltage for its wanted conductance. Stuck cells get pulses like the others.

        Parameters
        ----------
        unit : Unit
            The tile.
        wanted : (rows, columns) ndarray
            Wanted conductance [S].
        deadband : float
            Changes up to this are not worth a pulse [S].
        """
        requests = [self.drivers.request(), unit.array.request()]
        yield self.environment.all_of(requests)
        lowered, selected = changes(wanted, unit.asked, deadband)
        rows = len(selected)
        noise = unit.next_update(self.noise_seed)
        steps = [(0, rows)] if self.granularity == "burst" else [(row, row + 1) for row in range(rows)]
        for first, last in steps:
            yield from self._pulse(unit, "reset", lowered[first:last], wanted, deadband, (first, last), noise)
            yield from self._pulse(unit, "set", selected[first:last], wanted, deadband, (first, last), noise)
        self.drivers.release(requests[0])
        unit.array.release(requests[1])

    def _pulse(
        self,
        unit: Unit,
        kind: Literal["reset", "set"],
        cells: NDArray[np.int64],
        wanted: Floats,
        deadband: float,
        rows: tuple[int, int],
        noise: Address,
    ) -> Process:
        """Apply one row pulse to each of ``rows`` with ``cells`` to change; they change when the time is over."""
        device = self.spec.device
        driven = int(np.count_nonzero(cells))
        if driven == 0:
            return
        duration = picoseconds(device.set_time if kind == "set" else device.reset_time)
        yield self.environment.timeout(driven * duration)
        power = unit.pulse(kind, wanted, deadband, rows, noise)
        self.ledger.add(
            f"{kind}_row_pulse",
            operations=driven,
            busy=driven * duration,
            energy=attojoules(power * (duration * PICOSECOND)),
            pulses=int(cells.sum()),
        )

    def compute(self, operations: int) -> Process:
        """Hold the digital core for so many operations."""
        with self.digital.request() as request:
            yield request
            spec = self.spec.digital
            duration = picoseconds(operations / spec.throughput)
            yield self.environment.timeout(duration)
            energy = attojoules(operations * spec.energy_per_operation)
            self.ledger.add("digital_step", operations=operations, busy=duration, energy=energy)

    def refresh(self, units: Sequence[Unit]) -> None:
        """Work out the transfer matrices of all tiles whose state has changed, in one call."""
        stale = [unit for unit in units if self._version(unit) != unit.tile.version]
        if stale and isinstance(self.engine, BehavioralEngine) and self.spec.tile.cell.kind == "linear":
            transfer = self.engine.transfer([unit.tile for unit in stale])
            for unit, matrix, admittance in zip(stale, transfer.matrix, transfer.input_admittance, strict=True):
                self._transfers[unit.index] = (unit.tile.version, matrix, admittance)

    def currents(self, unit: Unit, voltages: Floats) -> tuple[Floats, Floats]:
        """Return column currents (batch, columns) A and power (batch,) W for driver voltages (batch, rows) V."""
        self.refresh([unit])
        if unit.index in self._transfers:
            _, matrix, admittance = self._transfers[unit.index]
            return voltages @ matrix.T, ((voltages @ admittance) * voltages).sum(axis=1)
        solution = self.engine.solve(unit.tile, voltages)
        return solution.column_current, solution.power

    def _version(self, unit: Unit) -> int:
        return self._transfers[unit.index][0] if unit.index in self._transfers else -1

    def _answer(self, unit: Unit, codes: Codes) -> tuple[Codes, Floats]:
        """Return the ADC codes (batch, columns) and the power of the array (batch,) W."""
        noise = unit.next_read(self.noise_seed)
        self.refresh([unit])
        if unit.index in self._transfers and isinstance(self.engine, BehavioralEngine):
            _, matrix, admittance = self._transfers[unit.index]
            return unit.readout.read(codes, matrix, admittance, noise, threads=self.engine.threads)
        volts = self.spec.converters.adc.noise * standard_normal(noise, len(codes) * unit.tile.spec.columns)
        volts = volts.reshape(len(codes), -1)
        currents, power = self.currents(unit, unit.readout.dac.voltages(codes))
        if isinstance(self.engine, SpiceEngine):
            return self.engine.codes(unit.tile, unit.readout, codes, volts), power
        return unit.readout.adc.codes(currents, volts), power

    def _spend(self, times: int, duration: int) -> Process:
        """Let ``times`` operations of ``duration`` ps pass, as one event or as one each."""
        if self.granularity == "burst":
            yield self.environment.timeout(times * duration)
        else:
            for _ in range(times):
                yield self.environment.timeout(duration)
