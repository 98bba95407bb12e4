"""The second circuit-exact engine: the same tiles simulated by VACASK, which shares no code with ngspice."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import LinearCell, OdeDevice, Pulse, TiaSpec
from circuitmem.converter import Readout
from circuitmem.engine.circuit import CircuitEngine, Site, Terminals, TileRead
from circuitmem.errors import SpiceUnavailableError, ValidationError
from circuitmem.netlists.jobs import Analysis, Circuit, OperatingPoints, SimulatorOutputs
from circuitmem.netlists.process import Program
from circuitmem.netlists.runner import Library, Runner
from circuitmem.netlists.vacask import installation
from circuitmem.netlists.vacask.program import PULSE_OPTIONS, VacaskProgram
from circuitmem.netlists.vacask.readout import VacaskReadout
from circuitmem.netlists.vacask.states import VacaskStates, block_of
from circuitmem.netlists.vacask.step import STEP_OPTIONS, VacaskStep
from circuitmem.netlists.vacask.text import OPTIONS
from circuitmem.netlists.vacask.tile import VacaskTile, vacask_netlist
from circuitmem.tile import Tile
from circuitmem.validation import in_range, integer

__all__ = ["VacaskEngine", "vacask_netlist"]

Floats = NDArray[np.float64]

VACASK = Program("VACASK", "circuitmem.netlists.vacask.worker")


class VacaskEngine(CircuitEngine):
    """Computes tiles through VACASK, which is installed by ``pip install 'circuitmem[vacask]'``.

    Each call runs VACASK once, in a separate process with its own empty folder. Besides what every engine can do, it
    simulates whole reads with converters, and transients of reads. Use the engine as a context manager, or call
    :meth:`close`, to end its worker processes early.

    Parameters
    ----------
    time_limit : float, optional
        Seconds that one call may take, > 0; when left out, it follows from the size of the tile and of the batch.
    workers : int
        Number of calls that may compute at once, >= 1: this many threads of the program can use the engine at the same
        time.
    largest_tile : int
        Largest number of cells of a tile with linear cells, >= 1; a quarter of it for other tiles and for pulses. One
        vector of a tile of 256x256 cells takes 7 s, and the time grows with the square of the number of cells.
    address_limit : int
        Address space [bytes] that a call may take, > 0.
    niceness : int
        Niceness of the workers, 0 to 19: higher values leave more processor time to other processes.
    gate_overdrive : float, optional
        Gate voltage above the threshold [V], > 0. If given, reads simulate the transistors of 1T1R cells as MOSFETs of
        level 1 instead of resistances.

    Raises
    ------
    ValidationError
        If a parameter breaks its rule; from every computing method, if a tile is too large.
    SpiceUnavailableError
        From every computing method, if VACASK is not installed or does not start.
    SpiceTimeoutError
        From every computing method, if a call takes longer than the time limit.
    SpiceWorkerError, SpiceMemoryError
        From every computing method, if its worker process dies, or needs more memory than it may take.
    SpiceError
        From every computing method, if VACASK fails. All of them carry VACASK's own last lines.
    """

    name = "vacask"
    simulator = "VACASK"

    def __init__(
        self,
        *,
        time_limit: float | None = None,
        workers: int = 1,
        largest_tile: int = 256 * 256,
        address_limit: int = 8 << 30,
        niceness: int = 0,
        gate_overdrive: float | None = None,
    ) -> None:
        self._fixed = time_limit is not None
        limit = 60.0 if time_limit is None else time_limit
        super().__init__(Runner(limit, workers=workers, address_limit=address_limit, niceness=niceness, program=VACASK))
        self.largest_tile = integer("largest_tile", largest_tile, minimum=1)
        self._overdrive = None if gate_overdrive is None else in_range("gate_overdrive", gate_overdrive, 1e-3, 100.0)

    @classmethod
    def probe(cls) -> Library:
        """Return version and path of VACASK, after a test that it starts.

        Raises
        ------
        SpiceUnavailableError
            If it is not installed, or does not start; the message says what to do.
        """
        return _library(installation.find_vacask())

    @classmethod
    def available(cls) -> bool:
        """Say whether VACASK is installed and starts."""
        try:
            cls.probe()
        except SpiceUnavailableError:
            return False
        return True

    @staticmethod
    def compiler_version() -> str:
        """Return the version of OpenVAF, the Verilog-A compiler that comes with VACASK.

        Raises
        ------
        SpiceUnavailableError
            If it is not installed, or does not start.
        """
        return installation.find_vacask().compiler_version

    @staticmethod
    def digest() -> str:
        """Return the SHA-256 of the program.

        Raises
        ------
        SpiceUnavailableError
            If it is not installed.
        """
        return installation.find_vacask().digest

    @staticmethod
    def options() -> dict[str, str]:
        """Return the VACASK options for each kind of computation."""
        return {"reads": OPTIONS, "pulses": PULSE_OPTIONS, "settling": STEP_OPTIONS}

    def terminals(self, reads: Sequence[TileRead]) -> list[Terminals]:
        """Return the currents of all terminals for input vectors of several tiles.

        Tiles with linear cells that differ only in their cells are computed together, in one process. Then a state
        takes a quarter of the time that it takes alone, or a sixteenth if only one row conducts. The answers do not
        depend on which states are computed together.

        Raises
        ------
        ValidationError
            If a shape is wrong or an element is not finite.
        """
        sites = [self.site(read.tile) for read in reads]
        if any(site is None or site[:2] != sites[0][:2] for site in sites):  # type: ignore[index]
            return super().terminals(reads)
        blocks = [None if site is None else site.block for site in sites]
        found: dict[int, Terminals] = {}
        for block in dict.fromkeys(blocks):
            places = [place for place, own in enumerate(blocks) if own == block]
            found |= zip(places, self._together([reads[place] for place in places], block), strict=True)
        return [found[place] for place in range(len(reads))]

    def _together(self, reads: Sequence[TileRead], block: int | None) -> list[Terminals]:
        """Return the terminal currents of tiles of one site, computed in one process."""
        tile = reads[0].tile
        self._check_size(tile, True)
        batches = [read.tile.input_voltages(read.voltages) for read in reads]
        circuit = VacaskStates([read.tile for read in reads], block)
        results = self._run(tile, circuit.netlist, OperatingPoints(circuit.table(batches))).values[1:]
        vectors = np.vstack(batches)
        found = self._measured(circuit, circuit.without_leaks(results, vectors), vectors)
        ends = np.cumsum([len(batch) for batch in batches])[:-1]
        return [Terminals(*parts) for parts in zip(*(np.split(each, ends) for each in found), strict=True)]

    def site(self, tile: Tile) -> Site | None:
        """Return the site of a tile if its cells are linear and no line is cut, so that no part floats; else None."""
        if type(tile.spec.cell) is not LinearCell or tile.defects.cuts_lines:
            return None
        return Site(tile.spec, tile.defects.lines_only(), block_of(tile))

    def _tile_circuit(self, tile: Tile, *, all_nodes: bool) -> VacaskTile:
        self._check_size(tile, tile.spec.cell.linear and self._overdrive is None)
        return VacaskTile(tile, all_nodes=all_nodes, overdrive=self._overdrive)

    def _readout_circuit(self, tile: Tile, readout: Readout) -> VacaskReadout:
        self._check_size(tile, tile.spec.cell.linear)
        return VacaskReadout(tile, readout)

    def _pulse_circuit(self, tile: Tile, device: OdeDevice, pulse: Pulse, state: Floats) -> VacaskProgram:
        self._check_size(tile, False)
        return VacaskProgram(tile, device, pulse, state)

    def _step_circuit(self, tile: Tile, voltages: Floats, amplifier: TiaSpec | None) -> VacaskStep:
        self._check_size(tile, False)
        return VacaskStep(tile, voltages, amplifier)

    def _check_size(self, tile: Tile, linear: bool) -> None:
        cells, largest = tile.spec.rows * tile.spec.columns, self.largest_tile // (1 if linear else 4)
        if cells > largest:
            what = "" if linear else " that are not linear, or move"
            raise ValidationError("tile", f"must have <= {largest} cells{what} for VACASK (largest_tile)", cells)

    def _run(self, tile: Tile, netlist: Circuit, analysis: Analysis) -> SimulatorOutputs:
        if self._fixed:
            return self._runner.simulate(netlist, analysis)
        points = len(analysis.table) if isinstance(analysis, OperatingPoints) else 400
        cells = tile.spec.rows * tile.spec.columns
        # A vector takes about 2e-9 s times the square of the number of cells, sinh cells twice as long; for small tiles
        # reading the netlist dominates. Ten times that is allowed, and 30 s more for a machine under load.
        seconds = 30.0 + 10.0 * points * (4e-9 * cells**2 + 2e-5 * cells)
        return self._runner.simulate(netlist, analysis, seconds)


@cache
def _library(_found: installation.Installation) -> Library:
    """Return version and path from a worker, cached: an installation is assumed not to change while a program runs."""
    with VacaskEngine(time_limit=60.0) as engine:
        return engine._runner.library()
