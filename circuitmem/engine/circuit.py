"""The common part of the circuit-exact engines: they simulate a tile's netlist in a separate process, and check it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuitmem.config import OdeDevice, Pulse, PulseTrain, TiaSpec, TileSpec
from circuitmem.converter import Readout
from circuitmem.engine.base import ProgrammingResult, ReadoutSolution, Solution, StepResponse
from circuitmem.engine.programming import check_pulse, first_state, result_of, sample_times
from circuitmem.errors import SpiceError, ValidationError
from circuitmem.netlists.jobs import Analysis, Circuit, OperatingPoints, SimulatorOutputs, Transient
from circuitmem.netlists.program import TransientTimes
from circuitmem.netlists.runner import Runner
from circuitmem.netlists.wiring import Wiring
from circuitmem.tile import DefectMap, Tile
from circuitmem.validation import finite_array, integer

__all__ = ["RESIDUAL_TOLERANCE", "CircuitEngine", "Site", "Terminals", "TileRead"]

Floats = NDArray[np.float64]

RESIDUAL_TOLERANCE = 1e-9
"""Largest error of the current balance of drivers and grounds, relative to the sum of all terminal currents."""


class TileRead(NamedTuple):
    """Input vectors of a tile."""

    tile: Tile
    voltages: Floats
    """(batch, rows) V."""


class Site(NamedTuple):
    """What tiles must have in common to be computed together, in one process."""

    spec: TileSpec
    defects: DefectMap
    """Defects of lines and drivers only."""
    block: int | None = None
    """Number of the block of word lines with all conducting cells, if that block is computed alone."""


class Terminals(NamedTuple):
    """Currents into and out of a tile, and the power."""

    column_current: Floats
    """(batch, columns) A."""
    driver_current: Floats
    """(batch, rows) A."""
    power: Floats
    """Power that the drivers deliver, (batch,) W."""


class TileCircuit(Protocol):
    """The circuit of a tile, for instance a :class:`circuitmem.netlists.tile.TileNetlist`."""

    netlist: Any
    wiring: Wiring
    live: list[int]
    drive_currents: list[str]
    sense_currents: list[list[str]]


class ReadoutCircuit(Protocol):
    """The circuit of a tile with converters, for instance a :class:`circuitmem.netlists.readout.ReadoutNetlist`."""

    netlist: Any
    live: list[int]


class PulseCircuit(Protocol):
    """The circuit of a tile during a pulse, for instance a :class:`circuitmem.netlists.program.ProgramNetlist`."""

    netlist: Any
    moving: list[tuple[int, int]]
    word_sources: list[tuple[str, float]]
    bit_sources: list[tuple[str, float]]
    times: TransientTimes
    initial: bool
    state_range: tuple[float, float]


class StepCircuit(Protocol):
    """The circuit of a tile whose drivers step, for instance a :class:`circuitmem.netlists.step.StepNetlist`."""

    netlist: Any
    words: list[str | None]
    columns: list[list[str]]


class CircuitEngine(ABC):
    """Computes tiles by simulating their circuits.

    A subclass builds the circuits for its simulator, and provides the processes in which the simulator runs.

    Parameters
    ----------
    runner : Runner
        The worker processes.
    """

    name: ClassVar[str]
    simulator: ClassVar[str]

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._built: dict[str, float] = {}

    @abstractmethod
    def _tile_circuit(self, tile: Tile, *, all_nodes: bool) -> TileCircuit:
        """Return the circuit of a tile for a read."""

    @abstractmethod
    def _readout_circuit(self, tile: Tile, readout: Readout) -> ReadoutCircuit:
        """Return the circuit of a tile with its converters."""

    @abstractmethod
    def _pulse_circuit(self, tile: Tile, device: OdeDevice, pulse: Pulse, state: Floats) -> PulseCircuit:
        """Return the circuit of a tile of ODE devices during a pulse."""

    @abstractmethod
    def _step_circuit(self, tile: Tile, voltages: Floats, amplifier: TiaSpec | None) -> StepCircuit:
        """Return the circuit of a tile whose drivers step."""

    def _run(self, tile: Tile, netlist: Circuit, analysis: Analysis) -> SimulatorOutputs:  # noqa: ARG002
        """Simulate a circuit of a tile."""
        return self._runner.simulate(netlist, analysis)

    def _error(self, reason: str) -> SpiceError:
        return SpiceError(reason, simulator=self.simulator)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes. A later call starts a new one."""
        self._runner.close()

    def kill(self) -> None:
        """End the worker processes at once, from any thread; calls under way raise :class:`SpiceWorkerError`."""
        self._runner.kill()

    def widen(self, workers: int) -> None:
        """Allow this many calls to compute at once from now on; a number below the present one changes nothing."""
        self._runner.widen(workers)

    @property
    def seconds(self) -> dict[str, float]:
        """How the time of the last call was spent [s].

        ``build``: building the netlist (for reads and solutions); ``transfer``: to the worker and back; ``load``: the
        simulator loads the netlist; ``solve``: it solves; ``fetch``: its results become arrays.
        """
        return {**self._built, **self._runner.seconds}

    def read(self, tile: Tile, voltages: ArrayLike) -> Floats:
        """Return the column currents, (batch, columns) or (columns,) A, for voltages (batch, rows) or (rows,) V."""
        batch = tile.input_voltages(voltages)
        if len(batch) == 0:
            return np.zeros((0, tile.spec.columns))
        currents = self._terminals(TileRead(tile, batch)).column_current
        return currents if np.ndim(voltages) == 2 else currents[0]

    def solve(self, tile: Tile, voltages: ArrayLike) -> Solution:
        """Return every node voltage and terminal current for driver voltages (batch, rows) or (rows,) V."""
        batch = tile.input_voltages(voltages)
        if len(batch) == 0:
            lines = np.zeros((0, *tile.spec.shape))
            empty = Solution(np.zeros((0, tile.spec.columns)), np.zeros((0, tile.spec.rows)), lines, lines, np.zeros(0))
            return empty.answers(tile, single=False)
        solution = self._simulate(tile, batch)
        return solution.answers(tile, single=np.ndim(voltages) < 2)

    def site(self, tile: Tile) -> Site | None:  # noqa: ARG002
        """Return the site that a tile shares with all tiles computed together with it; None if it is computed alone."""
        return None

    def terminals(self, reads: Sequence[TileRead]) -> list[Terminals]:
        """Return the currents of all terminals for input vectors of several tiles.

        Raises
        ------
        ValidationError
            If a shape is wrong or an element is not finite.
        """
        return [self._terminals(read) for read in reads]

    def _terminals(self, read: TileRead) -> Terminals:
        batch = read.tile.input_voltages(read.voltages)
        return self._measured(*self._computed(read.tile, batch, all_nodes=False), batch)

    def transfer_matrix(self, tile: Tile) -> Floats:
        """Return W, (columns, rows) S, with ``read(tile, v) == v @ W.T``: one read of 1 V on each word line.

        Raises
        ------
        ValidationError
            If the cells are not linear.
        """
        if not tile.spec.cell.linear:
            raise ValidationError("cell", "must be linear for a transfer matrix", tile.spec.cell.kind)
        return self.read(tile, np.eye(tile.spec.rows)).T

    def codes(
        self, tile: Tile, readout: Readout, input_codes: ArrayLike, noise: ArrayLike | None = None
    ) -> NDArray[np.int64]:
        """Return the ADC codes, (batch, columns), for DAC codes (batch, rows) and noise (batch, columns) V."""
        return self.convert(tile, readout, input_codes, noise).codes

    def convert(
        self, tile: Tile, readout: Readout, input_codes: ArrayLike, noise: ArrayLike | None = None
    ) -> ReadoutSolution:
        """Simulate DACs, tile, amplifiers and ADCs as one circuit.

        Parameters
        ----------
        tile : Tile
            The tile.
        readout : Readout
            Its converters.
        input_codes : (batch, rows) array_like of int
            Codes of the DACs.
        noise : (batch, columns) array_like, optional
            Noise voltage of each conversion [V], 0 if not given.

        Raises
        ------
        ValidationError
            If an argument has the wrong shape or values, or the converters do not match the tile.
        """
        rows, columns = tile.spec.shape
        if (readout.dac.rows, readout.adc.columns) != (rows, columns):
            raise ValidationError("readout", f"must be of {rows} rows and {columns} columns", readout.dac.rows)
        if readout.adc.tia.input_resistance != tile.spec.sense_resistance:
            raise ValidationError("readout", "must have the tile's sense resistance", readout.adc.tia.input_resistance)
        batch = len(readout.dac.voltages(input_codes))
        added = np.zeros((batch, columns)) if noise is None else finite_array("noise", noise, shape=(batch, columns))
        if batch == 0:
            empty = np.zeros((0, columns))
            return ReadoutSolution(np.zeros((0, rows)), empty, empty, empty.astype(np.int64), 0)
        circuit = self._readout_circuit(tile, readout)
        bits = (np.asarray(input_codes)[:, circuit.live, None] >> np.arange(readout.dac.spec.bits)) & 1
        table = np.hstack([bits.reshape(batch, -1) * readout.dac.spec.reference_voltage, added])
        parts = np.split(
            self._run(tile, circuit.netlist, OperatingPoints(table)).values, [rows, -2 * columns, -columns], axis=1
        )
        codes = np.rint(parts[3]).astype(np.int64)
        if not (np.abs(parts[3] - codes) <= RESIDUAL_TOLERANCE * readout.adc.spec.highest_code).all():
            raise self._error("a quantiser gave something that is not a code")
        amplified = parts[1].reshape(batch, -1, columns).sum(axis=1)
        return ReadoutSolution(parts[0], amplified, parts[2], codes, readout.adc.saturated(codes))

    def program(self, tile: Tile, train: PulseTrain, *, samples: int = 0) -> ProgrammingResult:
        """Return the effect of a pulse train, by one transient analysis per pulse; the tile itself does not change.

        Parameters
        ----------
        tile : Tile
            The tile, as for :meth:`BehavioralEngine.program`.
        train : PulseTrain
            Devices and pulses.
        samples : int
            States to keep within each pulse for the trajectory, evenly spaced, >= 0.

        Raises
        ------
        ValidationError
            As :meth:`BehavioralEngine.program`.
        """
        samples, state = integer("samples", samples), first_state(tile, train)
        for pulse in train.pulses:
            check_pulse(tile, pulse)
        times, states, start, energy, steps = [0.0], [state], 0.0, 0.0, 0
        for pulse in train.pulses:
            wanted = sample_times(pulse, samples)
            found, delivered, points = self._pulse(tile, train, pulse, state, wanted)
            times += [start + moment for moment in wanted]
            states += found
            state, start = found[-1], start + pulse.duration
            energy, steps = energy + delivered, steps + points
        return result_of(tile, train, times, states, energy, steps)

    def _pulse(
        self, tile: Tile, train: PulseTrain, pulse: Pulse, state: Floats, wanted: list[float]
    ) -> tuple[list[Floats], float, int]:
        """Return the states at the wanted times of a pulse, its energy [J], and the simulator's number of steps."""
        circuit = self._pulse_circuit(tile, train.device, pulse, state)
        step, stop, largest = circuit.times
        analysis = Transient(step, stop, 0.0, largest, initial=circuit.initial)
        answer = self._run(tile, circuit.netlist, analysis)
        time, moving = answer.axis, len(circuit.moving)
        if not abs(time[-1] - stop) <= RESIDUAL_TOLERANCE * stop:
            raise self._error(f"{self.simulator} ended at {time[-1]:.6g} s of {stop:.6g} s")
        found, (low, high) = [state.copy() for _ in wanted], circuit.state_range
        for column, place in enumerate(circuit.moving):
            # The simulator's tolerance lets a step end slightly beyond 0 or 1, where the model clamps the state.
            values = np.clip((np.interp(wanted, time, answer.values[:, column]) - low) / (high - low), 0.0, 1.0)
            for states, value in zip(found, values, strict=True):
                states[place] = value
        plateau = np.array([voltage for _, voltage in (*circuit.word_sources, *circuit.bit_sources)])
        power = -pulse.level(time) * (answer.values[:, moving:] @ plateau)
        return found, float(np.trapezoid(power, time)), len(time)

    def step_response(
        self, tile: Tile, voltages: ArrayLike, stop: float, *, amplifier: TiaSpec | None = None
    ) -> StepResponse:
        """Simulate the transient of a read: drivers step from 0 V, and lines, cells and amplifiers settle.

        Parameters
        ----------
        tile : Tile
            The tile; its lines have the capacitance that its specification says.
        voltages : (rows,) array_like
            Driver voltages after the step [V].
        stop : float
            End [s], > 0.
        amplifier : TiaSpec, optional
            The amplifiers of the columns; the tile's sense resistance must equal their input resistance.

        Raises
        ------
        ValidationError
            If an argument breaks its rule.
        """
        volts = tile.one_input(voltages)
        if amplifier is not None and amplifier.input_resistance != tile.spec.sense_resistance:
            raise ValidationError("amplifier", "must have the tile's sense resistance", amplifier.input_resistance)
        circuit = self._step_circuit(tile, volts, amplifier)
        answer = self._run(tile, circuit.netlist, Transient(stop / 500, stop, 0.0, stop / 500, initial=True))
        at = {name: answer.values[:, index] for index, name in enumerate(circuit.netlist.outputs)}
        still = np.zeros(answer.axis.size)
        word = np.stack([still if name is None else at[name] for name in circuit.words], axis=1)
        column = np.stack([np.sum([at[name] for name in names], axis=0) for names in circuit.columns], axis=1)
        return StepResponse(answer.axis, word, column)

    def _computed(self, tile: Tile, batch: Floats, *, all_nodes: bool) -> tuple[TileCircuit, Floats]:
        """Return the circuit of a tile for a read, and the circuit's outputs (batch, outputs)."""
        began = time.perf_counter()
        circuit = self._tile_circuit(tile, all_nodes=all_nodes)
        self._built = {"build": time.perf_counter() - began}
        return circuit, self._run(tile, circuit.netlist, OperatingPoints(batch[:, circuit.live])).values

    def _measured(self, circuit: TileCircuit, results: Floats, batch: Floats) -> Terminals:
        """Take the terminal currents from a circuit's outputs, and check that they add up to zero."""
        position = {name: index for index, name in enumerate(circuit.netlist.outputs)}
        driver = -results[:, [position[name] for name in circuit.drive_currents]]
        column = np.stack(
            [results[:, [position[name] for name in names]].sum(axis=1) for names in circuit.sense_currents], axis=1
        )
        scale = np.abs(driver).sum(axis=1) + np.abs(column).sum(axis=1)
        # A direct solve has rounding errors of eps·ΣG·V, even if the currents are far smaller (wires of micro-ohms).
        rounding = np.finfo(float).eps * circuit.wiring.conductance_sum * np.abs(batch).max(axis=1, initial=0.0)
        lost = np.abs(driver.sum(axis=1) - column.sum(axis=1))
        if not (lost <= RESIDUAL_TOLERANCE * scale + rounding).all():  # refuses NaN as well
            raise self._error(
                f"{self.simulator}'s currents do not add up: {lost.max():.3g} A of {scale.max():.3g} A are lost"
            )
        return Terminals(column, driver, (driver * batch).sum(axis=1))

    def _simulate(self, tile: Tile, batch: Floats) -> Solution:
        circuit, results = self._computed(tile, batch, all_nodes=True)
        position = {name: index for index, name in enumerate(circuit.netlist.outputs)}
        found = self._measured(circuit, results, batch)
        word = _line_voltages(circuit.wiring.word_nodes, position, results)
        bit = _line_voltages(circuit.wiring.bit_nodes, position, results)
        if not _within(batch, word, bit):
            raise self._error(f"{self.simulator} gave a node voltage beyond those of the sources")
        return Solution(found.column_current, found.driver_current, word, bit, found.power)


def _line_voltages(nodes: NDArray[np.object_], position: dict[str, int], results: Floats) -> Floats:
    """Return the voltages of named nodes, (batch, rows, columns) V; 0 for floating nodes, which have no name."""
    # Index -1 selects the column of zeros.
    padded = np.hstack([results, np.zeros((len(results), 1))])
    index = [-1 if name is None else position[name] for name in nodes.ravel()]
    return padded[:, index].reshape(len(results), *nodes.shape)


def _within(batch: Floats, *lines: Floats) -> bool:
    """Say whether node voltages lie between those of the sources, as they must with passive cells and wires."""
    slack = RESIDUAL_TOLERANCE * np.abs(batch).max(axis=1, initial=0.0)
    low = batch.min(axis=1, initial=0.0) - slack
    high = batch.max(axis=1, initial=0.0) + slack
    # Comparisons with NaN are false, so test for what must hold, not for violations.
    return all(bool(((voltage >= low[:, None, None]) & (voltage <= high[:, None, None])).all()) for voltage in lines)
