"""Overflow of the cell law in double precision, the reason why some tiles cannot be solved."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import SinhCell
from circuitmem.errors import ValidationError
from circuitmem.tile import Tile

__all__ = ["check_steepness"]

STEEPEST = 700.0
"""Largest argument of sinh: overflow begins at about 710, which leaves a factor of 10^4 for sums over many cells."""


def check_steepness(tile: Tile, voltages: NDArray[np.float64]) -> None:
    """Raise an error with the reason if a tile could not be solved because the law of its cells overflows.

    Call this only after a failure: if the wires take most of the voltage, cells of any steepness can be solved.

    Parameters
    ----------
    tile : Tile
        The tile.
    voltages : (batch, rows) ndarray
        Driver voltages [V].

    Raises
    ------
    ValidationError
        If the largest voltage that a cell could have is beyond what sinh can take.
    """
    cell = tile.spec.cell
    largest = float(max(voltages.max(initial=0.0) - voltages.min(initial=0.0), 0.0))
    if isinstance(cell, SinhCell) and cell.a * largest > STEEPEST:
        rule = f"must be <= {STEEPEST / largest:g} for cells at up to {largest:g} V: the current overflows"
        raise ValidationError("cell.a", rule, cell.a)
