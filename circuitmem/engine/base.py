"""The interface of all engines, and the types of their results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuitmem.config import PulseTrain
from circuitmem.errors import ValidationError
from circuitmem.tile import Tile

__all__ = [
    "Engine",
    "ProgrammingResult",
    "PulseResult",
    "ReadoutSolution",
    "Solution",
    "StepResponse",
    "Transfer",
    "silence_dead_drivers",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Solution:
    """The solved network of one tile, for one input vector or a batch of them.

    For a batch every array has a leading dimension ``batch``; for a single vector it does not.

    Attributes
    ----------
    column_current : (batch, columns) or (columns,) ndarray
        Current into the virtual ground of each column [A]; both ends added when sensed at both.
    driver_current : (batch, rows) or (rows,) ndarray
        Current out of each word-line driver [A]; both ends added when driven from both.
    word_line_voltage : (batch, rows, columns) or (rows, columns) ndarray
        Voltage of the word-line nodes [V]. A part of a line that is not connected to any source or ground is at 0 V.
    bit_line_voltage : (batch, rows, columns) or (rows, columns) ndarray
        Voltage of the bit-line nodes [V]; floating parts as above.
    power : (batch,) ndarray or float
        Power that the drivers deliver and the array dissipates [W].
    law : callable, optional
        Function that returns the current of each cell [A] from the voltage across it [V]; for :attr:`cell_current`.
    segments : (word, bit), optional
        Resistance of the segments between neighbouring cells, (rows, columns - 1) and (rows - 1, columns) Ω, ``inf``
        where a line is cut; for :attr:`word_line_current` and :attr:`bit_line_current`.
    """

    column_current: NDArray[np.float64]
    driver_current: NDArray[np.float64]
    word_line_voltage: NDArray[np.float64]
    bit_line_voltage: NDArray[np.float64]
    power: NDArray[np.float64]
    law: Callable[[Floats], Floats] | None = field(default=None, repr=False, compare=False)
    segments: tuple[Floats, Floats] | None = field(default=None, repr=False, compare=False)

    @property
    def cell_current(self) -> Floats:
        """Return the current of each cell, from its word line to its bit line [A], in the shape of the voltages."""
        assert self.law is not None  # only the intermediate solutions inside an engine have none
        return self.law(self.word_line_voltage - self.bit_line_voltage)

    @property
    def word_line_current(self) -> Floats:
        """Return the current of each word-line segment between neighbouring cells [A], (batch, rows, columns - 1).

        It is positive from left to right. ``driver_current`` flows into a line before its first cell, unless lines are
        driven from both ends.

        Raises
        ------
        ValidationError
            If a segment has zero resistance: node voltages do not determine the current in an ideal line.
        """
        assert self.segments is not None
        return _through("word_line_resistance", -np.diff(self.word_line_voltage, axis=-1), self.segments[0])

    @property
    def bit_line_current(self) -> Floats:
        """Return the current of each bit-line segment between neighbouring cells [A], (batch, rows - 1, columns).

        It is positive from top to bottom. ``column_current`` flows out of a line after its last cell, unless lines are
        sensed at both ends.

        Raises
        ------
        ValidationError
            As in :attr:`word_line_current`.
        """
        assert self.segments is not None
        return _through("bit_line_resistance", -np.diff(self.bit_line_voltage, axis=-2), self.segments[1])

    def answers(self, tile: Tile, single: bool) -> Solution:
        """Return the solution of ``tile`` as users get it, without the batch dimension if ``single``."""
        conductance, cell = tile.effective_conductance, tile.spec.cell  # taken now: the tile may be programmed later
        column, driver, word, bit, power = (
            array[0] if single else array
            for array in (
                self.column_current,
                self.driver_current,
                self.word_line_voltage,
                self.bit_line_voltage,
                self.power,
            )
        )
        word_segments, bit_segments = tile.wires  # the segments towards drivers and sense amplifiers are left out
        between = word_segments[:, 1:-1], bit_segments[1:-1]
        return Solution(column, driver, word, bit, power, lambda across: cell.current(conductance, across), between)


def _through(name: str, drop: Floats, resistance: Floats) -> Floats:
    """Return the currents of segments from the voltage drops along them."""
    if (resistance == 0.0).any():
        rule = "must be > 0 for currents of segments: voltages do not say what flows in an ideal line"
        raise ValidationError(name, rule, 0.0)
    return np.asarray(drop / resistance)


@dataclass(frozen=True)
class ProgrammingResult:
    """The result of a pulse train on a tile. The tile is not changed; ``tile.program(result.conductance)`` changes it.

    Attributes
    ----------
    state : (rows, columns) ndarray
        State of the devices at the end, 0 to 1. Stuck cells keep the state that they had before.
    conductance : (rows, columns) ndarray
        Conductance at the end, at small positive voltages [S]; for stuck cells, the value programmed before.
    energy : float
        Energy that the drivers of all lines delivered [J].
    time : (points,) ndarray
        Times of the trajectory [s]: the beginning, the ``samples`` points of each pulse, and the end of each pulse.
    trajectory : (points, rows, columns) ndarray
        States at these times.
    steps : int
        Number of time steps of the integration.
    """

    state: Floats
    conductance: Floats
    energy: float
    time: Floats
    trajectory: Floats
    steps: int


@dataclass(frozen=True)
class PulseResult:
    """The effect of one pulse on the devices of a tile.

    Attributes
    ----------
    state : (rows, columns) ndarray
        State of the devices at the end, 0 to 1. Stuck cells keep the state that they had before.
    energy : float
        Energy that the drivers of all lines delivered [J].
    steps : int
        Number of time steps of the integration.
    """

    state: Floats
    energy: float
    steps: int


@dataclass(frozen=True)
class Transfer:
    """The transfer matrices of tiles with linear cells.

    Attributes
    ----------
    matrix : (tiles, columns, rows) ndarray
        Column current per volt on a driver [S].
    input_admittance : (tiles, rows, rows) ndarray
        Driver current per volt on a driver [S], symmetric: the power of an input v is ``v @ input_admittance @ v``.
    """

    matrix: NDArray[Any]
    input_admittance: NDArray[Any]


def silence_dead_drivers(tile: Tile, matrix: NDArray[Any], admittance: NDArray[Any]) -> None:
    """Set the entries of dead drivers in the matrices of a tile to zero, in place."""
    if (dead := tile.defects.dead_drivers) is not None:
        matrix[:, dead] = 0.0
        admittance[dead] = 0.0
        admittance[:, dead] = 0.0


@dataclass(frozen=True)
class ReadoutSolution:
    """The result of a read through a tile and its converters, for a batch of input codes.

    Attributes
    ----------
    driver_voltage : (batch, rows) ndarray
        Voltage of each DAC's output [V].
    amplifier_voltage : (batch, columns) ndarray
        Output of each column's transimpedance amplifier [V], sign inverted as the amplifier does; the sum of both
        if the column is sensed at both ends.
    input_voltage : (batch, columns) ndarray
        Voltage at each quantiser [V].
    codes : (batch, columns) ndarray of int
        The ADC codes.
    saturated : int
        Number of codes at the upper end of the range.
    """

    driver_voltage: NDArray[np.float64]
    amplifier_voltage: NDArray[np.float64]
    input_voltage: NDArray[np.float64]
    codes: NDArray[np.int64]
    saturated: int


@dataclass(frozen=True)
class StepResponse:
    """The transient of a read, after a step of the drivers.

    Attributes
    ----------
    time : (points,) ndarray
        Time since the step of the drivers [s].
    word_line_voltage : (points, rows) ndarray
        Voltage at the last cell of each word line [V].
    output : (points, columns) ndarray
        Output of each column's amplifier [V] (inverted), or its column current [A] without amplifiers; both ends added.
    """

    time: NDArray[np.float64]
    word_line_voltage: NDArray[np.float64]
    output: NDArray[np.float64]

    def at(self, time: float) -> NDArray[np.float64]:
        """Return the outputs at one moment, (columns,), interpolated; ``time`` in s."""
        return np.array([np.interp(time, self.time, values) for values in self.output.T])


@runtime_checkable
class Engine(Protocol):
    """Computes tiles. A call does not change the tile, and no answer depends on earlier calls."""

    @property
    def name(self) -> str:
        """Short name for records, e.g. ``"behavioral"``."""

    def read(self, tile: Tile, voltages: ArrayLike) -> NDArray[np.float64]:
        """Return column currents, (batch, columns) or (columns,) A, for voltages (batch, rows) or (rows,) V."""

    def solve(self, tile: Tile, voltages: ArrayLike) -> Solution:
        """Return every node voltage and terminal current for driver voltages (batch, rows) or (rows,) V."""

    def transfer_matrix(self, tile: Tile) -> NDArray[np.float64]:
        """Return W, (columns, rows) S, with ``read(tile, v) == v @ W.T``; linear cells only."""

    def program(self, tile: Tile, train: PulseTrain, *, samples: int = 0) -> ProgrammingResult:
        """Return the effect of a pulse train on a tile of ODE devices, with ``samples`` states within each pulse.

        Parameters
        ----------
        tile : Tile
            The tile; its conductances are those of the devices, free or stuck.
        train : PulseTrain
            The device and its pulses, one after another.
        samples : int
            Number of states to keep within each pulse, evenly spaced, >= 0.
        """
