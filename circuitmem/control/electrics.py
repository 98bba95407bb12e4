"""Computation of a chip's circuits: the only module of this package that knows which engine does it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Address, Addresses, standard_normal
from circuitmem._kernels.reads import IdealAdmittance, read_currents
from circuitmem._kernels.stack_reads import IdealWires, Matrices, StackCorrection, StackRead
from circuitmem._kernels.tiling import Tiling
from circuitmem.config import ChipSpec, Pulse, PulseTrain
from circuitmem.config.law import is_zero, law_values
from circuitmem.control.stack_reads import StackReads
from circuitmem.control.state import ChipState
from circuitmem.control.unit import Unit
from circuitmem.control.used_lines import UsedLines, converted_of
from circuitmem.device import OdeCells
from circuitmem.engine import AuditedEngine, BehavioralEngine, Engine, Referee, TransferCache
from circuitmem.errors import ValidationError
from circuitmem.registry import find
from circuitmem.tile import Tile

__all__ = ["Electrics"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Electrics:
    """Currents, codes and powers of a chip's tiles as they are now; no simulated time passes.

    Parameters
    ----------
    spec : ChipSpec
        Design of the chip.
    engine : Engine, AuditedEngine or str, optional
        Engine that computes the circuit, or the name of its class (``circuitmem list engines``): behavioral if left
        out; for an audited engine, the one that is audited.
    reuse_error : float
        Error allowed in a transfer matrix (:class:`circuitmem.engine.TransferCache`); 0 for none.
    seed : int
        Seed of the samples that check reused matrices.

    Attributes
    ----------
    behavioral : BehavioralEngine
        The engine itself or, if that is another one, a behavioral engine for what it does not compute.
    transfers : TransferCache
        Transfer matrices of linear tiles.
    state : ChipState, optional
        Stacks in which many tiles are read and programmed at once.

    Raises
    ------
    ValidationError
        If ``engine`` is not an engine.
    """

    def __init__(
        self,
        spec: ChipSpec,
        engine: Engine | AuditedEngine | str | None,
        reuse_error: float,
        seed: int,
    ) -> None:
        given: object = engine.behavioral if isinstance(engine, AuditedEngine) else engine
        if isinstance(given, str):
            given = find("engines", given, "engine")()
        if given is None:
            given = BehavioralEngine()
        if not isinstance(given, Engine):
            raise ValidationError("engine", "must be an engine, the name of one, or a behavioral one audited", given)
        self._engine: Engine = given
        self._circuit = given if isinstance(given, Referee) else None
        self._linear, self._law = spec.tile.cell.linear, spec.tile.cell
        # An amplifier's offset drives a current through the tile, which changes with the tile's state.
        self._grounds_are_equal = spec.converters.tia.input_offset == 0.0
        self.state: ChipState | None = None
        self._columns = spec.tile.columns
        self._by_kernels = isinstance(given, BehavioralEngine)
        self.behavioral = given if isinstance(given, BehavioralEngine) else BehavioralEngine()
        self.transfers = TransferCache(self.behavioral, reuse_error, seed)
        self._rows_at_once = spec.programming.rows_at_once
        self._white = None if is_zero(spec.noise.white) else spec.noise.white

    @property
    def through_matrices(self) -> bool:
        """Whether reads go through transfer matrices."""
        return self._linear and self._by_kernels

    @property
    def pulses_are_ladders(self) -> bool:
        """Whether the power of a row's pulse is that of a ladder network; else it takes a circuit of the whole tile."""
        return self._linear and self._by_kernels and self._rows_at_once == 1

    def refresh(self, units: Sequence[Unit]) -> None:
        """Work out the transfer matrices of all tiles whose state has changed, in one call."""
        if self.through_matrices:
            self.transfers.refresh({unit.index: unit.tile for unit in units})

    def read_all(
        self,
        units: Sequence[Unit],
        codes: Sequence[Codes],
        noise: Sequence[Address],
        used: Sequence[UsedLines | None],
    ) -> tuple[Codes, Floats, NDArray[np.int64]] | None:
        """Read tiles in one call; returns None and does nothing if they have to be read one by one.

        Parameters
        ----------
        units : sequence of Unit
            The tiles.
        codes : sequence of (batch, rows) ndarray of int
            DAC codes of each tile, the same number for each.
        noise : sequence of Address
            Address of the noise of each tile's conversions.
        used : sequence of UsedLines or None
            The lines of each tile that are read; None for all.

        Returns
        -------
        codes : (tiles, batch, columns) ndarray of int
            ADC codes.
        power : (tiles, batch) ndarray
            Power of the arrays [W].
        saturated : (tiles,) ndarray of int
            Codes at the upper end of the range.
        """
        for unit, own in zip(units, codes, strict=True):
            unit.readout.dac.check_shape(own)
        keys = np.array([address.key for address in noise], dtype=np.uint64)
        operations = np.array([address.operation for address in noise], dtype=np.uint64)
        found = self._read(units, lambda: np.stack(codes), Addresses(keys, operations), used)
        if found is not None and found.codes is not None:
            return found.codes.astype(np.int64), found.power, found.saturated
        return self._read_in_turn(units, codes, noise, used) if self.through_matrices else None

    def _read_in_turn(
        self,
        units: Sequence[Unit],
        codes: Sequence[Codes],
        noise: Sequence[Address],
        used: Sequence[UsedLines | None],
    ) -> tuple[Codes, Floats, NDArray[np.int64]]:
        """Read tiles that the kernel cannot take together, such as those with noisy cells; arguments as above."""
        part = None if self.state is None else self.state.part(units)
        if part is not None and self.state is not None:
            self._source(self.state, part)
        answers = np.empty((len(units), len(codes[0]), self._columns), dtype=np.int64)
        power = np.empty(answers.shape[:2])
        for place, unit in enumerate(units):
            answers[place], power[place] = self.codes(unit, codes[place], noise[place])
        converted = converted_of(used)
        if converted is not None:
            answers *= converted[:, None]
        top = units[0].readout.adc.spec.highest_code
        return answers, power, np.count_nonzero(answers == top, axis=(1, 2))

    def read_layer(
        self,
        units: Sequence[Unit],
        codes: Codes,
        lines: Tiling,
        groups: int,
        sums: StackCorrection,
        noise: Addresses,
        used: Sequence[UsedLines | None],
    ) -> StackRead | None:
        """Read the tiles of a layer and add up their corrected codes, in one call.

        Returns None and does nothing if they have to be read one by one.

        Parameters
        ----------
        units : sequence of Unit
            The layer's tiles.
        codes : (batch, inputs) ndarray of int
            DAC codes of the layer's inputs.
        lines : Tiling
            Which word line takes which input, and which bit lines give which output.
        groups : int
            Groups of word lines that are read one after another.
        sums : StackCorrection
            How the ADC codes of each column count in the sums.
        noise : Addresses
            Address of each tile's noise.
        used : sequence of UsedLines or None
            The lines of each tile that are read; None for all.

        Returns
        -------
        StackRead or None
            Sums, (batch, outputs), and the power of the arrays, (tiles, reads) W; no codes.
        """
        layout = {"tiling": lines, "correction": sums, "groups": groups, "keep_codes": False}
        return self._read(units, lambda: codes, noise, used, **layout)

    def _read(
        self,
        units: Sequence[Unit],
        codes: Callable[[], Codes],
        noise: Addresses,
        used: Sequence[UsedLines | None],
        **layout: Any,
    ) -> StackRead | None:
        part = None if self.state is None else self.state.part(units)
        if part is None or self.state is None or not (self.through_matrices and self._grounds_are_equal):
            return None
        quiet = units[0].readout.adc.noise
        if self._white is not None or any(unit.readout.adc.noise != quiet for unit in units):
            return None
        source = self._source(self.state, part)
        if source is None:
            return None
        reads, threads = StackReads(codes(), source, noise, **layout), self.behavioral.threads
        if units[0].readout.dac.keeps_table:
            return reads.read(self.state.channels(part), threads, converted_of(used))
        return reads.read_in_pieces([unit.readout for unit in units], threads, converted_of(used))

    def _source(self, state: ChipState, part: slice) -> IdealWires | Matrices | None:
        """Return how consecutive tiles turn voltages into currents; None if each has to be computed alone."""
        cells = np.asarray(self._law.mesh_conductance(state.effective[part]))
        return self.transfers.stack(state.tiles, part, cells, state.changes[:, 0], is_plain=state.is_plain)

    def currents(self, unit: Unit, voltages: Floats) -> tuple[Floats, Floats]:
        """Return column currents (batch, columns) A and power (batch,) W for driver voltages (batch, rows) V."""
        if self.through_matrices:
            matrix, admittance = self.transfers.get(unit.index, unit.tile)
            threads = self.behavioral.threads
            currents = read_currents(voltages, matrix, threads=threads)
            if isinstance(admittance, IdealAdmittance):
                return currents, admittance.power(voltages, currents)
            return currents, (read_currents(voltages, admittance, threads=threads) * voltages).sum(axis=1)
        solution = self._engine.solve(unit.tile, voltages)
        return solution.column_current, solution.power

    def codes(self, unit: Unit, codes: Codes, noise: Address, first: int = 0) -> tuple[Codes, Floats]:
        """Return the ADC codes (batch, columns) for DAC codes (batch, rows), and the power of the array (batch,) W.

        Parameters
        ----------
        unit : Unit
            The tile.
        codes : (batch, rows) ndarray of int
            DAC codes.
        noise : Address
            Address of the noise.
        first : int
            Number of the first of these vectors at that address.
        """
        if self.through_matrices and self._white is None:
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
        before, count = first * self._columns, (first + len(codes)) * self._columns
        volts = unit.readout.adc.noise * standard_normal(noise, count)[before:].reshape(-1, self._columns)
        voltages = unit.readout.dac.voltages(codes)
        currents, power = self.currents(unit, voltages)
        offset = None if self._circuit is not None else unit.offset_current(self.behavioral)
        if offset is not None:
            currents = currents + offset
        if self._white is not None and unit.cell_noise:
            drawn = standard_normal(_of_cells(noise), count)[before:].reshape(-1, self._columns)
            volts = volts + unit.readout.adc.factor * self.cell_noise(unit, voltages) * drawn
        if self._circuit is not None:
            return self._circuit.codes(unit.tile, unit.readout, codes, volts), power
        return unit.readout.adc.codes(currents, volts), power

    def cell_noise(self, unit: Unit, voltages: Floats) -> Floats:
        """Return the standard deviation of the column currents due to the cells' white noise, (batch, columns) A.

        The noise of the cells is independent and small, so that of a whole column is one normal number. Wires attenuate
        the noise of a cell as much as its current.

        Parameters
        ----------
        unit : Unit
            The tile.
        voltages : (batch, rows) ndarray
            Driver voltages [V].
        """
        if self._white is None:
            return np.zeros((len(voltages), self._columns))
        tile = unit.tile
        relative = law_values(self._white, tile.conductance, "chip.noise.white")
        if self.through_matrices:
            share = self.transfers.get(unit.index, tile)[0].T * np.where(tile.stuck, 0.0, relative)
            return np.sqrt((voltages**2) @ (share**2))
        cells = np.where(tile.stuck, 0.0, relative) * self._engine.solve(tile, voltages).cell_current
        return np.asarray(np.sqrt((cells**2).sum(axis=1)))

    def pulse_power(self, unit: Unit, conductance: Floats, selected: Mask, voltage: float) -> float:
        """Return the power of driving at once all rows that have ``selected`` cells [W].

        Parameters
        ----------
        unit : Unit
            The tile.
        conductance : (rows, columns) ndarray
            Conductances of the memristors [S].
        selected : (rows, columns) ndarray of bool
            Cells whose transistor conducts: of one row, if :attr:`pulses_are_ladders`.
        voltage : float
            Pulse amplitude [V].
        """
        if self.pulses_are_ladders:
            return float(unit.row_power(conductance, selected, voltage).sum())
        alone = Tile(unit.tile.spec, np.where(selected, conductance, 0.0))
        alone.damage(unit.wire_defects)
        driven = selected.any(axis=1)
        return float(self._engine.solve(alone, voltage * driven).power)

    def drive(self, unit: Unit, pulse: Pulse) -> tuple[Floats, float]:
        """Return the conductances that a pulse on a tile's lines leaves, (rows, columns) S, and its energy [J].

        For ODE devices, all with the model :attr:`OdeCells.model`; stuck ones keep what was programmed.
        """
        devices, tile = unit.devices, unit.tile
        assert isinstance(devices, OdeCells)
        found = self._engine.program(tile, PulseTrain(device=devices.model, pulses=(pulse,)))
        # A device that has not moved keeps every bit: converting its conductance to a state and back would round.
        still = found.state == found.trajectory[0]
        return np.where(still, tile.conductance, found.conductance), found.energy


def _of_cells(noise: Address) -> Address:
    """Return the address of the cells' noise for conversions whose own noise is at ``noise``."""
    return noise._replace(operation=noise.operation | 1 << 63)
