"""What a chip can do with a tile: each kind of operation, what it holds, and how long one beat of it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from circuitmem.config import ChipSpec
from circuitmem.control.ledger import picoseconds
from circuitmem.control.used_lines import read_cost

__all__ = ["OPERATIONS", "OperationSpec", "polarities"]


def _read_time(spec: ChipSpec) -> int:
    return read_cost(spec).time


def polarities(kind: str) -> tuple[str, str]:
    """Return the matching operations of RESET and SET pulses, given that of the SET pulses."""
    return kind.replace("set", "reset", 1), kind


def _set_time(spec: ChipSpec) -> int:
    return picoseconds(spec.device.set_time)


def _reset_time(spec: ChipSpec) -> int:
    return picoseconds(spec.device.reset_time)


@dataclass(frozen=True)
class OperationSpec:
    """One kind of operation on a tile.

    Attributes
    ----------
    holds : tuple of str
        Resources that it holds from its first beat to its last: ``"tile"``, ``"dac"``, ``"adc"``, ``"driver"``.
    beat : callable
        Duration on a chip of one beat, a read or a pulse that nothing interrupts [ps].
    levels : bool
        Whether it is a read whose inputs have many levels: with bit-serial inputs, one read for each bit.
    """

    holds: tuple[str, ...]
    beat: Callable[[ChipSpec], int]
    levels: bool = False


_PRODUCT = OperationSpec(("tile", "dac", "adc"), _read_time, levels=True)
_READ = OperationSpec(("tile", "dac", "adc"), _read_time)
_SET = OperationSpec(("tile", "driver"), _set_time)
_RESET = OperationSpec(("tile", "driver"), _reset_time)

OPERATIONS = {
    "mac_read": _PRODUCT,
    "calibration_read": _PRODUCT,
    "one_hot_read": _READ,
    "verify_read": _READ,
    "transfer_read": _READ,
    "set_row_pulse": _SET,
    "reset_row_pulse": _RESET,
    "set_cell_pulse": _SET,
    "reset_cell_pulse": _RESET,
    "refresh_set_pulse": _SET,
    "refresh_reset_pulse": _RESET,
}
"""Every kind of operation on a tile. A write-verify loop consists of row (or cell) pulses and verify reads; between
them it releases all resources."""
