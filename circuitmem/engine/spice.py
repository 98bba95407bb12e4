"""The circuit-exact engine: the netlist of a tile, simulated by ngspice in a process of its own."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuitmem.config import ComplianceCell, OdeDevice, Pulse, PulseTrain, TiaSpec
from circuitmem.converter import AdcBank, Readout
from circuitmem.device import conductance
from circuitmem.engine.base import ProgrammingResult, ReadoutSolution, Solution, StepResponse
from circuitmem.engine.programming import check_pulse, first_state, result_of, sample_times
from circuitmem.errors import SpiceError, SpiceTimeoutError, SpiceUnavailableError, ValidationError
from circuitmem.netlists import program
from circuitmem.netlists.adc import adc_netlist
from circuitmem.netlists.compliance import COMPLIANCE_OPTIONS, ComplianceNetlist
from circuitmem.netlists.jobs import Transient
from circuitmem.netlists.program import TRANSIENT_OPTIONS, ProgramNetlist
from circuitmem.netlists.readout import ReadoutNetlist
from circuitmem.netlists.runner import Library, Runner
from circuitmem.netlists.sar import SAR_OPTIONS, XSPICE_MODELS, Logic, SarNetlist
from circuitmem.netlists.step import STEP_OPTIONS, StepNetlist
from circuitmem.netlists.text import OPTIONS, Netlist
from circuitmem.netlists.tile import TileNetlist, tile_netlist
from circuitmem.tile import Tile
from circuitmem.validation import finite_array, in_range, integer

__all__ = [
    "Library",
    "SpiceEngine",
    "adc_netlist",
    "program_netlist",
    "tile_netlist",
]

Floats = NDArray[np.float64]

RESIDUAL_TOLERANCE = 1e-9
"""Largest current that may get lost between drivers and grounds, relative to the sum of all terminal currents."""


class SpiceEngine:
    """Computes tiles through libngspice.

    A worker process is started with the first call and serves later ones; all vectors of a call go through one
    circuit loaded once. Use the engine as a context manager, or call :meth:`close`, to end the workers early.

    Parameters
    ----------
    time_limit : float
        Seconds that one call may take, > 0.
    workers : int
        Worker processes at once, >= 1: so many threads of the program can use the engine side by side.
    jobs_per_worker : int
        Jobs after which a worker is replaced, >= 1.
    memory_limit : int
        Resident memory [bytes] after which a worker is replaced, > 0.
    address_limit : int
        Address space [bytes] that a worker may take, > 0; a call that needs more fails.
    niceness : int
        By how much workers let other processes go first, 0 to 19.
    gate_overdrive : float, optional
        Reads 1T1R cells with MOSFETs of level 1 instead of resistances: what their gates have more than the threshold
        [V], > 0. At small voltages they have the declared on-resistance.

    Raises
    ------
    ValidationError
        If a limit breaks its rule.
    SpiceUnavailableError
        From every computing method, if libngspice is not installed.
    SpiceTimeoutError
        From every computing method, if a call takes longer than the time limit.
    SpiceMemoryError
        From every computing method, if a worker may not take as much memory as the circuit needs.
    SpiceWorkerError
        From every computing method, if its worker process dies.
    SpiceError
        From every computing method, if ngspice fails. All of them carry ngspice's own last lines.
    """

    name = "spice"

    def __init__(
        self,
        *,
        time_limit: float = 600.0,
        workers: int = 1,
        jobs_per_worker: int = 500,
        memory_limit: int = 1 << 30,
        address_limit: int = 8 << 30,
        niceness: int = 0,
        gate_overdrive: float | None = None,
    ) -> None:
        self._runner = Runner(time_limit, jobs_per_worker, memory_limit, workers, address_limit, niceness)
        self._built: dict[str, float] = {}
        self._overdrive = None if gate_overdrive is None else in_range("gate_overdrive", gate_overdrive, 1e-3, 100.0)

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

    @property
    def seconds(self) -> dict[str, float]:
        """Where the time of the last call went [s].

        ``build`` of the netlist (of reads and solutions), ``transfer`` to the worker and back, ``load`` (ngspice reads
        the netlist), ``solve``, ``fetch`` (its results become arrays).
        """
        return {**self._built, **self._runner.seconds}

    @classmethod
    def probe(cls) -> Library:
        """Return version and path of the ngspice library.

        Raises
        ------
        SpiceUnavailableError
            If libngspice is not installed; the message says what to install.
        """
        with cls(time_limit=60.0) as engine:
            return engine._runner.library()

    @staticmethod
    def options() -> dict[str, str]:
        """Return the options that ngspice is given, by what it computes."""
        lines = {
            "reads": OPTIONS,
            "pulses": TRANSIENT_OPTIONS,
            "compliance": COMPLIANCE_OPTIONS,
            "settling": STEP_OPTIONS,
            "SAR": SAR_OPTIONS,
        }
        return {name: line.removeprefix(".options ") for name, line in lines.items()}

    @classmethod
    def available(cls) -> bool:
        """Say whether there is an ngspice library that runs."""
        try:
            cls.probe()
        except SpiceUnavailableError:
            return False
        return True

    def read(self, tile: Tile, voltages: ArrayLike) -> Floats:
        """Return the column currents, (batch, columns) or (columns,) A, for voltages (batch, rows) or (rows,) V."""
        batch = tile.input_voltages(voltages)
        if len(batch) == 0:
            return np.zeros((0, tile.spec.columns))
        currents = self._simulate(tile, batch, all_nodes=False).column_current
        return currents if np.ndim(voltages) == 2 else currents[0]

    def solve(self, tile: Tile, voltages: ArrayLike) -> Solution:
        """Return every node voltage and terminal current for driver voltages (batch, rows) or (rows,) V."""
        batch = tile.input_voltages(voltages)
        if len(batch) == 0:
            lines = np.zeros((0, *tile.spec.shape))
            return Solution(np.zeros((0, tile.spec.columns)), np.zeros((0, tile.spec.rows)), lines, lines, np.zeros(0))
        solution = self._simulate(tile, batch, all_nodes=True)
        if np.ndim(voltages) == 2:
            return solution
        return Solution(
            solution.column_current[0],
            solution.driver_current[0],
            solution.word_line_voltage[0],
            solution.bit_line_voltage[0],
            solution.power[0],
        )

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
            If an argument has the wrong shape or values, or the converters do not belong to such a tile.
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
        circuit = ReadoutNetlist(tile, readout)
        bits = (np.asarray(input_codes)[:, circuit.live, None] >> np.arange(readout.dac.spec.bits)) & 1
        table = np.hstack([bits.reshape(batch, -1) * readout.dac.spec.reference_voltage, added])
        parts = np.split(self._runner.run(circuit.netlist, table), [rows, -2 * columns, -columns], axis=1)
        codes = np.rint(parts[3]).astype(np.int64)
        if not (np.abs(parts[3] - codes) <= RESIDUAL_TOLERANCE * readout.adc.spec.highest_code).all():
            raise SpiceError("a quantiser gave something that is not a code")
        amplified = parts[1].reshape(batch, -1, columns).sum(axis=1)
        return ReadoutSolution(parts[0], amplified, parts[2], codes, readout.adc.saturated(codes))

    def program(self, tile: Tile, train: PulseTrain, *, samples: int = 0) -> ProgrammingResult:
        """Return what a pulse train does to a tile, by one transient analysis a pulse; the tile stays as it is.

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
        """Return the states at the wanted times of a pulse, its energy [J], and ngspice's number of steps."""
        circuit = ProgramNetlist(tile, train.device, pulse, state)
        step, stop, largest = circuit.times
        answer = self._runner.simulate(circuit.netlist, Transient(step, stop, 0.0, largest, initial=True))
        time, moving = answer.axis, len(circuit.moving)
        if not abs(time[-1] - stop) <= RESIDUAL_TOLERANCE * stop:
            raise SpiceError(f"ngspice ended at {time[-1]:.6g} s of {stop:.6g} s")
        found = [state.copy() for _ in wanted]
        for column, place in enumerate(circuit.moving):
            # A step may end a little beyond the limit, within ngspice's tolerance; the model's clamp holds it there.
            values = np.clip(np.interp(wanted, time, answer.values[:, column]), 0.0, 1.0)
            for states, value in zip(found, values, strict=True):
                states[place] = value
        plateau = np.array([voltage for _, voltage in (*circuit.word_sources, *circuit.bit_sources)])
        power = -pulse.level(time) * (answer.values[:, moving:] @ plateau)
        return found, float(np.trapezoid(power, time)), len(time)

    def code_models(self) -> bool:
        """Say whether XSPICE's digital code models load and work: a clock goes through a bridge and back."""
        text = (
            f".title circuitmem\n{XSPICE_MODELS}Va a 0 PULSE(0 1 1e-9 1e-10 1e-10 1e-8 1e-7)\n"
            "Abridge [a] [x] to_digital\nAback [x] [b] to_analog\nRb b 0 1e3\n.save b\n.end\n"
        )
        try:
            answer = self._runner.simulate(
                Netlist(text, (), ("b",)), Transient(1e-10, 5e-9, initial=True, code_models=True)
            )
        except (SpiceUnavailableError, SpiceTimeoutError):
            raise
        except SpiceError:
            return False
        return bool(abs(answer.values[0, 0]) < 0.1 and abs(answer.values[-1, 0] - 1.0) < 0.1)

    def sar_codes(self, bank: AdcBank, levels: ArrayLike, *, logic: Logic | None = None) -> NDArray[np.int64]:
        """Let the SARs of a bank convert voltages, clock by clock, in a transient analysis; returns the codes.

        Parameters
        ----------
        bank : AdcBank
            ADCs with ``architecture="sar"``, none of which is dead.
        levels : (conversions, columns) array_like
            Voltages at the inputs of their sample-and-holds [V].
        logic : {"xspice", "behavioral"}, optional
            What the registers are made of: XSPICE's code models, where they load, when left out.

        Raises
        ------
        ValidationError
            If the ADCs are no SARs, or the shape is wrong.
        """
        if bank.capacitors is None:
            raise ValidationError("bank", "must be of SAR ADCs", bank.spec.architecture)
        volts = finite_array("levels", levels)
        if volts.ndim != 2 or volts.shape[1] != bank.columns or len(volts) == 0:
            raise ValidationError("levels", f"must have shape (conversions, {bank.columns})", volts.shape)
        chosen = logic or ("xspice" if self.code_models() else "behavioral")
        circuit = SarNetlist(bank, volts, chosen)
        clock = circuit.clock
        analysis = Transient(clock.bit / 20, len(volts) * clock.period, initial=True, code_models=chosen == "xspice")
        answer = self._runner.simulate(circuit.netlist, analysis)
        ready = clock.ready + clock.period * np.arange(len(volts))
        found = np.stack([np.interp(ready, answer.axis, codes) for codes in answer.values.T], axis=1)
        codes: NDArray[np.int64] = np.rint(found).astype(np.int64)
        if not (np.abs(found - codes) <= RESIDUAL_TOLERANCE * bank.spec.highest_code).all():
            raise SpiceError("a SAR gave something that is not a code")
        return codes

    def two_pulses(self, cell: ComplianceCell, gates: ArrayLike, state: float = 0.5) -> Floats:
        """Return the conductances [S] that a RESET and a SET at gate voltages (cells,) [V] leave in 1T1R cells.

        One transient analysis with a MOSFET and a device for each cell, as
        :func:`circuitmem.device.two_pulses` has it without.

        Parameters
        ----------
        cell : ComplianceCell
            The cell.
        gates : (cells,) array_like
            Gate voltage of the SET of each.
        state : float
            State of the devices before, in [0, 1].

        Raises
        ------
        ValidationError
            If an argument breaks its rule.
        """
        voltages = np.atleast_1d(finite_array("gates", gates))
        circuit = ComplianceNetlist(cell, voltages, in_range("state", state, 0.0, 1.0))
        answer = self._runner.simulate(circuit.netlist, circuit.analysis)
        if not abs(answer.axis[-1] - circuit.analysis.stop) <= RESIDUAL_TOLERANCE * circuit.analysis.stop:
            raise SpiceError(f"ngspice ended at {answer.axis[-1]:.6g} s of {circuit.analysis.stop:.6g} s")
        return conductance(cell.device, np.clip(answer.values[-1], 0.0, 1.0))

    def step_response(
        self, tile: Tile, voltages: ArrayLike, stop: float, *, amplifier: TiaSpec | None = None
    ) -> StepResponse:
        """Simulate a read in time: drivers step from 0 V, and lines, cells and amplifiers settle.

        Parameters
        ----------
        tile : Tile
            The tile; its lines have the capacitance that its specification says.
        voltages : (rows,) array_like
            Driver voltages after the step [V].
        stop : float
            End [s], > 0.
        amplifier : TiaSpec, optional
            The amplifiers of the columns, whose input resistance the tile's sense resistance must be.

        Raises
        ------
        ValidationError
            If an argument breaks its rule.
        """
        batch = tile.input_voltages(voltages)
        if len(batch) != 1:
            raise ValidationError("voltages", f"must be one vector of shape ({tile.spec.rows},)", batch.shape)
        if amplifier is not None and amplifier.input_resistance != tile.spec.sense_resistance:
            raise ValidationError("amplifier", "must have the tile's sense resistance", amplifier.input_resistance)
        circuit = StepNetlist(tile, batch[0], amplifier)
        answer = self._runner.simulate(circuit.netlist, Transient(stop / 500, stop, 0.0, stop / 500, initial=True))
        at = {name: answer.values[:, index] for index, name in enumerate(circuit.netlist.outputs)}
        still = np.zeros(answer.axis.size)
        word = np.stack([still if name is None else at[name] for name in circuit.words], axis=1)
        column = np.stack([np.sum([at[name] for name in names], axis=0) for names in circuit.columns], axis=1)
        return StepResponse(answer.axis, word, column)

    def _simulate(self, tile: Tile, batch: Floats, *, all_nodes: bool) -> Solution:
        began = time.perf_counter()
        circuit = TileNetlist(tile, all_nodes=all_nodes, overdrive=self._overdrive)
        self._built = {"build": time.perf_counter() - began}
        results = self._runner.run(circuit.netlist, batch[:, circuit.live])
        position = {name: index for index, name in enumerate(circuit.netlist.outputs)}
        driver = -results[:, [position[name] for name in circuit.drive_currents]]
        column = np.stack(
            [results[:, [position[name] for name in names]].sum(axis=1) for names in circuit.sense_currents], axis=1
        )
        scale = np.abs(driver).sum(axis=1) + np.abs(column).sum(axis=1)
        # A direct solve may lose eps·ΣG·V even where the currents are far smaller: wires of micro-ohms.
        rounding = np.finfo(float).eps * circuit.wiring.conductance_sum * np.abs(batch).max(axis=1, initial=0.0)
        lost = np.abs(driver.sum(axis=1) - column.sum(axis=1))
        if not (lost <= RESIDUAL_TOLERANCE * scale + rounding).all():  # which NaN is not either
            raise SpiceError(f"ngspice's currents do not add up: {lost.max():.3g} A of {scale.max():.3g} A are lost")
        word = bit = np.zeros((len(batch), 0, 0))
        if all_nodes:
            word = _line_voltages(circuit.wiring.word_nodes, position, results)
            bit = _line_voltages(circuit.wiring.bit_nodes, position, results)
            _check_range(batch, word, bit)
        return Solution(column, driver, word, bit, (driver * batch).sum(axis=1))


def program_netlist(tile: Tile, device: OdeDevice, pulse: Pulse) -> str:
    """Return a netlist of a pulse on a tile that plain ``ngspice -b`` runs.

    It prints the state of each device at the end, 0 to 1, as ``final_i_j``.

    Raises
    ------
    ValidationError
        As :meth:`SpiceEngine.program`.
    """
    check_pulse(tile, pulse)
    state = first_state(tile, PulseTrain(device=device, pulses=(pulse,)))
    return program.program_netlist(tile, device, pulse, state)


def _line_voltages(nodes: NDArray[np.object_], position: dict[str, int], results: Floats) -> Floats:
    """Return the voltages of named nodes, (batch, rows, columns) V; 0 for a node without a name, which floats."""
    # Index -1 is the column of zeros.
    padded = np.hstack([results, np.zeros((len(results), 1))])
    index = [-1 if name is None else position[name] for name in nodes.ravel()]
    return padded[:, index].reshape(len(results), *nodes.shape)


def _check_range(batch: Floats, *lines: Floats) -> None:
    """Passive cells and wires cannot make a voltage beyond those of their sources."""
    slack = RESIDUAL_TOLERANCE * np.abs(batch).max(axis=1, initial=0.0)
    low = batch.min(axis=1, initial=0.0) - slack
    high = batch.max(axis=1, initial=0.0) + slack
    for voltage in lines:
        # A comparison with NaN is false: say what must hold, not what must not.
        if not ((voltage >= low[:, None, None]) & (voltage <= high[:, None, None])).all():
            raise SpiceError("ngspice gave a node voltage beyond those of the sources")
