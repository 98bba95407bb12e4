"""What a read needs of a tile: the lines that carry inputs and outputs, and what reading them costs."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import ChipSpec
from circuitmem.control.ledger import PICOSECOND, attojoules, picoseconds

__all__ = ["ReadCost", "UsedLines", "converted_of", "read_cost", "turns"]

Mask = NDArray[np.bool_]


class ReadCost(NamedTuple):
    """Time and energy that the converters take for one read of a tile."""

    time: int
    """ps."""
    energy: dict[str, int]
    """By part [aJ]."""
    columns: int
    """Bit lines that are converted."""


class UsedLines(NamedTuple):
    """The lines of a tile that a read needs, on a gated chip.

    The DACs of the other word lines stay at code 0 and convert nothing. The other bit lines stay at ground: the circuit
    is the same, but they are neither amplified nor converted, and their code is 0.
    """

    columns: Mask
    """Which bit lines are converted, (columns,)."""
    cost: ReadCost

    @classmethod
    def of(cls, spec: ChipSpec, rows: int, columns: Mask, turns: int) -> UsedLines:
        """Return the used lines, with the cost of reading them: an ADC converts up to ``turns`` columns in turn.

        Parameters
        ----------
        spec : ChipSpec
            The chip.
        rows : int
            Word lines that are used, the first ones.
        columns : (columns,) ndarray of bool
            Which bit lines are used.
        turns : int
            Most columns that one ADC converts, one after another.
        """
        return cls(columns, _cost(spec, rows, int(np.count_nonzero(columns)), turns))


def read_cost(spec: ChipSpec) -> ReadCost:
    """Return what a read of a whole tile costs."""
    rows, columns = spec.tile.shape
    return _cost(spec, rows, columns, turns(spec, np.ones(columns, dtype=bool)))


def turns(spec: ChipSpec, columns: Mask) -> int:
    """Return the largest number of these bit lines, (columns,), that one ADC converts, one after another.

    ADCs are dealt out evenly: each has neighbouring columns, ``share`` of them or less.
    """
    count = len(columns)
    each = ceil(count / ceil(count / spec.converters.adc.share))
    edges = np.arange(0, count, each)
    return int(np.add.reduceat(columns.astype(np.int64), edges).max())


def _cost(spec: ChipSpec, rows: int, columns: int, turns: int) -> ReadCost:
    """Return what one read costs: DAC and amplifier settle, then each ADC converts its columns in turn."""
    converters = spec.converters
    time = (
        picoseconds(converters.dac.settling_time)
        + picoseconds(converters.tia.settling_time)
        + turns * picoseconds(converters.adc.conversion_time)
    )
    energy = {
        "dac": attojoules(rows * converters.dac.energy_per_conversion),
        "amplifier": attojoules(columns * converters.tia.power * (time * PICOSECOND)),
        "adc": attojoules(columns * converters.adc.energy_per_conversion),
    }
    return ReadCost(time, energy, columns)


def converted_of(used: Sequence[UsedLines | None]) -> Mask | None:
    """Return which bit lines of each tile are converted, (tiles, columns); None if all are."""
    known = [each.columns for each in used if each is not None]
    if not known:
        return None
    return np.stack([np.ones_like(known[0]) if each is None else each.columns for each in used])
