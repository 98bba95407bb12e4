"""What computes the circuits of a chip: the only place of this room that knows which engine that is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Address, standard_normal
from circuitmem._kernels.reads import IdealAdmittance, read_currents
from circuitmem.config import ChipSpec
from circuitmem.control.unit import Unit
from circuitmem.engine import AuditedEngine, BehavioralEngine, SpiceEngine, TransferCache
from circuitmem.errors import ValidationError
from circuitmem.tile import Tile

__all__ = ["Electrics"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Electrics:
    """Currents, codes and powers of a chip's tiles as they are; the clock stands still.

    Parameters
    ----------
    spec : ChipSpec
        What was designed.
    engine : BehavioralEngine, SpiceEngine or AuditedEngine, optional
        What computes the circuit: behavioral if left out; of an audited one, what is audited.
    reuse_error : float
        Error that a transfer matrix may have (:class:`circuitmem.engine.TransferCache`); 0 for none.
    seed : int
        Seed of the samples that reused matrices are checked with.

    Attributes
    ----------
    behavioral : BehavioralEngine
        The engine, or one to work out what an ngspice run leaves to it.
    transfers : TransferCache
        Transfer matrices of linear tiles.

    Raises
    ------
    ValidationError
        If the engine is none of those.
    """

    def __init__(
        self,
        spec: ChipSpec,
        engine: BehavioralEngine | SpiceEngine | AuditedEngine | None,
        reuse_error: float,
        seed: int,
    ) -> None:
        given: object = engine.behavioral if isinstance(engine, AuditedEngine) else engine
        if not isinstance(given, BehavioralEngine | SpiceEngine | None):
            raise ValidationError("engine", "must be behavioral, SPICE, or the first audited", given)
        self._engine = given or BehavioralEngine()
        self._spice = self._engine if isinstance(self._engine, SpiceEngine) else None
        self._linear = spec.tile.cell.linear
        self._columns = spec.tile.columns
        self.behavioral = self._engine if isinstance(self._engine, BehavioralEngine) else BehavioralEngine()
        self.transfers = TransferCache(self.behavioral, reuse_error, seed)
        self._rows_at_once = spec.programming.rows_at_once

    @property
    def through_matrices(self) -> bool:
        """Whether reads go through transfer matrices."""
        return self._linear and self._spice is None

    @property
    def pulses_are_ladders(self) -> bool:
        """Whether the power of a row's pulse is that of a ladder; else each pulse is a circuit of the whole tile."""
        return self._linear and self._spice is None and self._rows_at_once == 1

    def refresh(self, units: Sequence[Unit]) -> None:
        """Work out the transfer matrices of all tiles whose state has changed, in one call."""
        if self.through_matrices:
            self.transfers.refresh({unit.index: unit.tile for unit in units})

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

        ``first`` is the number of the first of these vectors at the address of the noise.
        """
        if self.through_matrices:
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
        currents, power = self.currents(unit, unit.readout.dac.voltages(codes))
        if self._spice is not None:
            return self._spice.codes(unit.tile, unit.readout, codes, volts), power
        return unit.readout.adc.codes(currents, volts), power

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
