"""The power of driving the rows of a 1T1R tile one after another, as programming does.

With the transistors of all other rows off, what is left of a tile is a ladder: the word line from its driver, and at
each cell whose transistor conducts the bit line down (and up, if sensed there) to its ends. It is worked out exactly
from the right end on. Per volt, seen from a node with the driver of the right end, if there is one, at 1 V:

    Y  admittance to the right     H  current sent from there     A v + B  current of the cells there, the node at v

A cell of c siemens adds c to Y and A. A segment of r ohms, with x = 1 / (1 + r Y), leaves

    Y x     H x     A x     B + A r x H

of which, both drivers at 1 V, A + B is the current of all cells. Nothing is subtracted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.select import load

__all__ = ["ground_resistance", "row_power"]

Floats = NDArray[np.float64]
_compiled = load("rows").module


def ground_resistance(bit_resistance: Floats) -> Floats:
    """Return what a cell sees along its bit line with no other cell on it, (rows, columns) Ω; ``inf`` if cut off.

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
        Of the drivers [V].
    """
    result = _row_power(
        np.ascontiguousarray(conductance, dtype=np.float64),
        np.ascontiguousarray(selected, dtype=np.bool_).view(np.uint8),
        word_resistance,
        ground,
        voltage,
    )
    return np.asarray(result)


def _reference(
    conductance: Floats, selected: NDArray[np.uint8], word_resistance: Floats, ground: Floats, voltage: float
) -> Floats:
    """Work out all rows at once."""
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


_row_power: Any = _reference if _compiled is None else _compiled.row_power
