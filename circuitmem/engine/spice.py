"""The circuit-exact engine: it simulates the netlist of a tile with ngspice, in a separate process."""

from __future__ import annotations

import os
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuitmem.config import ComplianceCell, OdeDevice, Pulse, PulseTrain, TiaSpec
from circuitmem.converter import AdcBank, Readout
from circuitmem.device import conductance
from circuitmem.engine.circuit import RESIDUAL_TOLERANCE, CircuitEngine
from circuitmem.engine.programming import check_pulse, first_state
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
from circuitmem.validation import finite_array, in_range

__all__ = [
    "Library",
    "SpiceEngine",
    "adc_netlist",
    "program_netlist",
    "tile_netlist",
]

Floats = NDArray[np.float64]


class SpiceEngine(CircuitEngine):
    """Computes tiles through libngspice.

    The first call starts a worker process, which also serves later calls. The circuit is loaded once per call, for all
    vectors of the call. Use the engine as a context manager, or call :meth:`close`, to end the workers early.

    Parameters
    ----------
    time_limit : float
        Seconds that one call may take, > 0.
    workers : int
        Number of worker processes, >= 1: this many threads of the program can use the engine at the same time.
    jobs_per_worker : int
        Jobs after which a worker is replaced, >= 1.
    memory_limit : int
        Resident memory [bytes] after which a worker is replaced, > 0.
    address_limit : int
        Address space [bytes] that a worker may take, > 0; a call that needs more fails.
    niceness : int
        Niceness of the workers, 0 to 19: higher values leave more processor time to other processes.
    gate_overdrive : float, optional
        Gate voltage above the threshold [V], > 0. If given, reads simulate the transistors of 1T1R cells as MOSFETs of
        level 1 instead of resistances; at small voltages they have the declared on-resistance.

    Raises
    ------
    ValidationError
        If a limit breaks its rule.
    SpiceUnavailableError
        From every computing method, if libngspice is not installed.
    SpiceTimeoutError
        From every computing method, if a call takes longer than the time limit.
    SpiceMemoryError
        From every computing method, if the circuit needs more memory than a worker may take.
    SpiceWorkerError
        From every computing method, if its worker process dies.
    SpiceError
        From every computing method, if ngspice fails. All of them carry ngspice's own last lines.
    """

    name = "spice"
    simulator = "ngspice"

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
        super().__init__(Runner(time_limit, jobs_per_worker, memory_limit, workers, address_limit, niceness))
        self._overdrive = None if gate_overdrive is None else in_range("gate_overdrive", gate_overdrive, 1e-3, 100.0)

    def _tile_circuit(self, tile: Tile, *, all_nodes: bool) -> TileNetlist:
        return TileNetlist(tile, all_nodes=all_nodes, overdrive=self._overdrive)

    def _readout_circuit(self, tile: Tile, readout: Readout) -> ReadoutNetlist:
        return ReadoutNetlist(tile, readout)

    def _pulse_circuit(self, tile: Tile, device: OdeDevice, pulse: Pulse, state: Floats) -> ProgramNetlist:
        return ProgramNetlist(tile, device, pulse, state)

    def _step_circuit(self, tile: Tile, voltages: Floats, amplifier: TiaSpec | None) -> StepNetlist:
        return StepNetlist(tile, voltages, amplifier)

    @classmethod
    def probe(cls) -> Library:
        """Return version and path of the ngspice library.

        Raises
        ------
        SpiceUnavailableError
            If libngspice is not installed; the message says what to install.
        """
        return _library(*(os.environ.get(name) for name in ("NGSPICE_LIBRARY_PATH", "LD_LIBRARY_PATH")))

    @staticmethod
    def options() -> dict[str, str]:
        """Return the ngspice options for each kind of computation."""
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
        """Say whether an ngspice library is installed and runs."""
        try:
            cls.probe()
        except SpiceUnavailableError:
            return False
        return True

    def code_models(self) -> bool:
        """Say whether XSPICE's digital code models load and work, by sending a clock through a bridge and back."""
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
        """Return the codes of a bank of SAR ADCs, simulated clock by clock in a transient analysis.

        Parameters
        ----------
        bank : AdcBank
            ADCs with ``architecture="sar"``, without dead channels.
        levels : (conversions, columns) array_like
            Voltages at the inputs of their sample-and-holds [V].
        logic : {"xspice", "behavioral"}, optional
            Implementation of the registers. When left out, XSPICE's code models if they load, else ``"behavioral"``.

        Raises
        ------
        ValidationError
            If the ADCs are not SARs, or the shape is wrong.
        SpiceError
            If ngspice fails, or returns a value that is not a code.
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
        """Return the conductances [S] of 1T1R cells after a RESET and a SET at gate voltages (cells,) [V].

        One transient analysis has a MOSFET and a device for each cell. :func:`circuitmem.device.two_pulses` computes
        the same without a simulator.

        Parameters
        ----------
        cell, gates, state
            As in :func:`circuitmem.device.two_pulses`.

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


@cache
def _library(*_where: str | None) -> Library:
    """Return the library that a worker finds, cached for the environment variables that say where to look."""
    with SpiceEngine(time_limit=60.0) as engine:
        return engine._runner.library()


def program_netlist(tile: Tile, device: OdeDevice, pulse: Pulse) -> str:
    """Return a netlist of a pulse on a tile that plain ``ngspice -b`` can run.

    The simulation prints the state of each device at the end, 0 to 1, as ``final_i_j``.

    Raises
    ------
    ValidationError
        As :meth:`SpiceEngine.program`.
    """
    check_pulse(tile, pulse)
    state = first_state(tile, PulseTrain(device=device, pulses=(pulse,)))
    return program.pulse_netlist(tile, device, pulse, state)
