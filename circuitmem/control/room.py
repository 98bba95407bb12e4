"""Whether a chip fits into the memory of this machine: checked before it is fabricated."""

from __future__ import annotations

import os

import numpy as np

from circuitmem.config import ChipSpec
from circuitmem.errors import ValidationError

__all__ = ["check_room", "least_bytes"]

CELL = 25
"""Bytes that a chip keeps per cell: conductances asked, programmed and in the circuit, and whether it is stuck."""


def least_bytes(spec: ChipSpec, tiles: int) -> int:
    """Return the bytes that so many tiles take at least: their cells and, if wires have resistance, their matrices."""
    rows, columns = spec.tile.shape
    wired = bool(np.any(spec.tile.word_line_resistance) or np.any(spec.tile.bit_line_resistance))
    return tiles * rows * (CELL * columns + 8 * (columns + rows) * wired)


def check_room(spec: ChipSpec, tiles: int) -> None:
    """Refuse a chip of so many tiles if they take more memory than this machine has.

    Raises
    ------
    ValidationError
        If they do.
    """
    needed, there = least_bytes(spec, tiles), _memory()
    if needed > there:
        rule = f"must be such that the network fits into memory: {tiles:,} tiles take {needed / 1e9:,.1f} GB at least"
        more = f"and there are {there / 1e9:,.1f} GB; use other tiles, or keep layers digital (network.digital)"
        raise ValidationError("chip.tile", f"{rule}, {more}", list(spec.tile.shape))


def _memory() -> int:
    """Return the memory of this machine in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
