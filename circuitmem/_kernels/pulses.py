r"""Two-pulse updates of a tile, in place, and the power that they take: the face of the kernels, and their twins.

A cell is changed if the change asked for exceeds a deadband. If its conductance is to fall, it first gets a RESET
pulse, which leaves the minimum of the working range, or less if it had less. Then each cell to be changed gets a SET
pulse with the gate at the voltage V for the wanted conductance, which leaves

.. math:: \max(G_{\min} + k\,(V - V_{\min}),\ G) + \sigma z,

where k is the cell's slope and z the standard normal number of its place.

Rows are driven one after another. With the transistors of all other rows off, the tile is a ladder: the word line from
its driver and, at each cell whose transistor conducts, the bit line down (and up, if sensed there) to its ends. The
ladder is solved exactly, from its right end on. Seen from a node, per volt and with the driver of the right end, if
there is one, at 1 V, Y is the admittance to the right, H the current sent from there, and A v + B the current of the
cells there when the node is at v. A cell of c siemens adds c to Y and to A. A segment of r ohms leaves

.. math:: Y x, \qquad H x, \qquad A x, \qquad B + A r x H, \qquad x = \frac{1}{1 + r Y},

and with both drivers at 1 V, A + B is the current of all cells. All terms are positive: nothing is pivoted, and nothing
is subtracted.

**How far off.** An error of Y does not grow from node to node, apart from four roundings at each; so Y is right to some
5 n roundings. A and H are products of up to n factors x: their errors add up to at most some 3 n² roundings, and only
to a few n where the resistance of the wires is small compared with that of the cells.

**Cost.** A division for each of a row's n cells.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Address, normal_table
from circuitmem._kernels.noise import _reference as _normals
from circuitmem._kernels.select import load_kernel

__all__ = ["TwoPulseLaw", "changes", "ground_resistance", "reset_pulse", "row_power", "set_pulse"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
_compiled = load_kernel("pulses").module


class TwoPulseLaw(NamedTuple):
    """The nominal law of the devices: the conductance that a SET pulse leaves."""

    minimum_conductance: float
    """Conductance at the lowest gate voltage, and after a RESET pulse [S]."""
    slope: float
    """Conductance per gate voltage [S/V]."""
    minimum_gate: float
    """Lowest gate voltage [V]."""
    maximum_gate: float
    """Highest gate voltage [V]."""
    noise: float
    """Standard deviation of the conductance after a SET pulse [S]."""


def changes(wanted: Floats, asked: Floats, deadband: float) -> tuple[Mask, Mask, Counts]:
    """Say which cells are to change.

    Parameters
    ----------
    wanted, asked : (rows, columns) ndarray
        Conductance that is asked for now, and the one that was asked for last [S].
    deadband : float
        Changes up to this are ignored [S].

    Returns
    -------
    falling, changing : (rows, columns) ndarray of bool
        Cells whose conductance is to fall, and cells that are to change at all.
    counts : (2, rows) ndarray of int
        Number of these cells in each row.
    """
    found: tuple[Mask, Mask, Counts] = _changes(wanted, asked, deadband)
    return found


def reset_pulse(conductance: Floats, effective: Floats, stuck: Mask, cells: Mask, law: TwoPulseLaw) -> None:
    """Give a RESET pulse to some cells of a tile, in place.

    Parameters
    ----------
    conductance, effective : (rows, columns) ndarray
        Conductance as programmed, and as seen by the circuit [S]; both may be the same array.
    stuck : (rows, columns) ndarray of bool
        Cells that change in ``conductance`` only.
    cells : (rows, columns) ndarray of bool
        Cells that get the pulse.
    law : TwoPulseLaw
        What the pulse leaves.
    """
    _reset_pulse(conductance, effective, stuck.view(np.uint8), cells.view(np.uint8), law.minimum_conductance)


def set_pulse(
    conductance: Floats,
    effective: Floats,
    stuck: Mask,
    cells: Mask,
    wanted: Floats,
    asked: Floats,
    slope: Floats,
    law: TwoPulseLaw,
    noise: Address,
) -> None:
    """Give a SET pulse to some cells of a tile, in place.

    Arguments are those of :func:`reset_pulse`, and the following.

    Parameters
    ----------
    wanted : (rows, columns) ndarray
        Wanted conductance, which sets the gate voltages [S].
    asked : (rows, columns) ndarray
        Record of the conductance that was last asked for, updated for these cells [S].
    slope : (rows, columns) ndarray
        Conductance per gate voltage of each device [S/V].
    noise : Address
        Where the normal numbers are found: number ``row·columns + column``.
    """
    state = conductance, effective, stuck.view(np.uint8), cells.view(np.uint8), wanted, asked
    _set_pulse(*state, slope, law, normal_table(), *noise.key, noise.operation)


def ground_resistance(bit_resistance: Floats) -> Floats:
    """Return the resistance from each cell along its bit line to ground, without other cells, (rows, columns) Ω.

    It is ``inf`` for a cell that is cut off.

    Parameters
    ----------
    bit_resistance : (rows + 1, columns) ndarray
        Bit-line segments [Ω], as in :class:`circuitmem.tile.Mesh`.
    """
    with np.errstate(divide="ignore"):
        down = np.cumsum(bit_resistance[:0:-1], axis=0)[::-1]
        up = np.cumsum(bit_resistance[:-1], axis=0)
        return np.ascontiguousarray(1.0 / (1.0 / down + 1.0 / up))


def row_power(
    conductance: Floats,
    selected: NDArray[np.bool_],
    word_resistance: Floats,
    ground: Floats,
    voltage: float,
) -> Floats:
    """Return the power of driving each row alone, (rows,) W.

    Parameters
    ----------
    conductance : (rows, columns) ndarray
        Cell conductances [S].
    selected : (rows, columns) ndarray of bool
        Cells whose transistor conducts.
    word_resistance : (rows, columns + 1) ndarray
        Word-line segments [Ω], as in :class:`circuitmem.tile.Mesh`.
    ground : (rows, columns) ndarray
        From :func:`ground_resistance` [Ω].
    voltage : float
        Voltage of the drivers [V].
    """
    result = _row_power(
        np.ascontiguousarray(conductance, dtype=np.float64),
        np.ascontiguousarray(selected, dtype=np.bool_).view(np.uint8),
        word_resistance,
        ground,
        voltage,
    )
    return np.asarray(result)


def _reference_changes(wanted: Floats, asked: Floats, deadband: float) -> tuple[Mask, Mask, Counts]:
    change = wanted - asked
    falling, changing = change < -deadband, np.abs(change) > deadband
    return falling, changing, np.array([falling.sum(axis=1), changing.sum(axis=1)])


def _reference_reset(conductance: Floats, effective: Floats, stuck: Bytes, cells: Bytes, floor: float) -> None:
    hit = (cells != 0) & (conductance > floor)
    conductance[hit] = floor
    effective[hit & (stuck == 0)] = floor


def _reference_set(
    conductance: Floats,
    effective: Floats,
    stuck: Bytes,
    cells: Bytes,
    wanted: Floats,
    asked: Floats,
    slope: Floats,
    law: TwoPulseLaw,
    normal: Floats,
    key0: int,
    key1: int,
    operation: int,
) -> None:
    hit = cells != 0
    gate = law.minimum_gate + (wanted - law.minimum_conductance) / law.slope
    left = law.minimum_conductance + slope * (np.clip(gate, law.minimum_gate, law.maximum_gate) - law.minimum_gate)
    z = _normals(key0, key1, operation, conductance.size, normal).reshape(conductance.shape)
    after = np.maximum(np.maximum(left, conductance) + law.noise * z, 0.0)
    conductance[hit], asked[hit] = after[hit], wanted[hit]
    free = hit & (stuck == 0)
    effective[free] = after[free]


def _reference_power(
    conductance: Floats, selected: NDArray[np.uint8], word_resistance: Floats, ground: Floats, voltage: float
) -> Floats:
    """Return the power of all rows, computed at once."""
    far = word_resistance[:, -1]
    held = far == 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = np.where(held, 0.0, 1.0 / far)
        sent = seen.copy()
        rising, constant = np.zeros(len(far)), np.zeros(len(far))
        cells = np.where((selected != 0) & np.isfinite(ground), conductance / (1.0 + conductance * ground), 0.0)
        for column in range(conductance.shape[1] - 1, -1, -1):
            cell, ohms = cells[:, column], word_resistance[:, column]
            constant += np.where(held, cell, 0.0)
            rising += np.where(held, 0.0, cell)
            seen += np.where(held, 0.0, cell)
            cut = np.isinf(ohms)
            share = np.where(cut, 0.0, 1.0 / (1.0 + ohms * seen))
            drop = np.where(cut, np.where(seen > 0.0, 1.0 / seen, 0.0), ohms * share)
            constant += np.where(held, 0.0, rising * drop * sent)
            released = held & (ohms != 0.0)
            rising, seen, sent = rising * share, seen * share, sent * share
            seen, sent = np.where(released, 1.0 / ohms, seen), np.where(released, 1.0 / ohms, sent)
            held = held & ~released
    return np.asarray((rising + constant) * voltage * voltage)


_row_power: Any = _reference_power if _compiled is None else _compiled.row_power
_changes: Any = _reference_changes if _compiled is None else _compiled.changes
_reset_pulse: Any = _reference_reset if _compiled is None else _compiled.reset_pulse
_set_pulse: Any = _reference_set if _compiled is None else _compiled.set_pulse
