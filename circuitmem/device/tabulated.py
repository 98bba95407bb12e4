"""Devices whose law is in tables: the law for the kernels, the conductance of a state, and where tables are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels import tables
from circuitmem._kernels.devices import TABULATED, DeviceLaw
from circuitmem.config import TabulatedSpec, VerilogASpec, cache_folder
from circuitmem.device.tabulate import LawTable, Limits, tabulate
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.files import load_npz, save_npz

__all__ = ["FORMAT", "conductance", "law", "limits_of", "state_of", "table_of", "tabulated_error"]

Floats = NDArray[np.float64]

FORMAT = 1
"""Version of the tables and of how they are made: tables of another version are made anew."""


def law(spec: TabulatedSpec) -> DeviceLaw:
    """Return the law for the kernels."""
    table = table_of(spec)
    return DeviceLaw(TABULATED, table.steepness, 1.0, table.numbers)


def conductance(spec: TabulatedSpec, state: Floats) -> Floats:
    """Return the conductance [S] of a state, at small positive voltages."""
    return _siemens(table_of(spec).numbers, np.asarray(state, dtype=np.float64))


def state_of(spec: TabulatedSpec, value: Floats) -> Floats:
    """Return the state of a conductance [S] that the device has."""
    grid, level, slope = _curve(table_of(spec).numbers)
    wanted = np.log(np.asarray(value, dtype=np.float64))
    order = 1.0 if level[-1] > level[0] else -1.0
    at = np.clip(np.searchsorted(order * level, order * wanted, side="right") - 1, 0, len(grid) - 2)
    width = grid[at + 1] - grid[at]
    low, high = np.zeros(wanted.shape), np.ones(wanted.shape)
    x = np.clip((wanted - level[at]) / (level[at + 1] - level[at]), 0.0, 1.0)
    for _ in range(60):  # Newton's method in a bracket: about five iterations
        weights, rising = tables.cubic(x, width)
        ends = level[at], level[at + 1], slope[at], slope[at + 1]
        off, steep = (sum(w * end for w, end in zip(parts, ends, strict=True)) for parts in (weights, rising))
        off = order * (off - wanted)
        low, high = np.where(off < 0.0, x, low), np.where(off > 0.0, x, high)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = x - order * off / (steep * width)
        new = np.where((step >= low) & (step <= high), step, 0.5 * (low + high))
        moved = np.abs(np.where(off == 0.0, 0.0, new - x)).max(initial=0.0)
        x = np.where(off == 0.0, x, new)
        if moved <= 1e-14:
            break
    return np.asarray(grid[at] + x * width)


def tabulated_error(spec: TabulatedSpec) -> tuple[int, float]:
    """Return the number of nodes of a device's tables, and their largest error at random points."""
    table = table_of(spec)
    surfaces = (surface for half in tables.unpack(table.numbers) for surface in half[:2])
    return sum(len(each.state) * len(each.voltage) for each in surfaces), table.error


def limits_of(spec: TabulatedSpec) -> Limits:
    """Return the range and the accuracy that the tables of a device must have."""
    return Limits(spec.positive_voltage, spec.negative_voltage, spec.time, spec.conductance, spec.error)


@lru_cache(maxsize=16)
def table_of(spec: TabulatedSpec) -> LawTable:
    """Return the tables of a device: made now, or, if a simulator makes them, kept in the user's cache.

    Raises
    ------
    ValidationError
        If the law cannot be tabulated, or is not that of a device.
    """

    def make() -> LawTable:
        return tabulate(spec.law, limits_of(spec))

    table = _kept(spec, make) if isinstance(spec, VerilogASpec) else make()
    _check(spec, table.numbers)
    return table


def _kept(spec: VerilogASpec, make: Callable[[], LawTable]) -> LawTable:
    key = hashlib.sha256(f"{FORMAT} {spec.model_dump_json(exclude={'file'})}".encode()).hexdigest()
    path = cache_folder() / f"{key}.npz"
    try:
        saved = load_npz(path)
        return LawTable(np.asarray(saved["numbers"], np.float64), float(saved["steepness"]), float(saved["error"]))
    except (DataFileError, KeyError):  # not made yet, or damaged
        table = make()
    save_npz(path, {name: np.asarray(value) for name, value in table._asdict().items()})
    return table


def _curve(numbers: Floats) -> tuple[Floats, Floats, Floats]:
    """Return states, logarithms of the conductance at small positive voltages there, and their slopes."""
    state, _, nodes = tables.unpack(numbers)[0].current
    return state, nodes[:, 0, 0], nodes[:, 0, 1]


def _siemens(numbers: Floats, state: Floats) -> Floats:
    grid, level, slope = _curve(numbers)
    s = np.clip(state, 0.0, 1.0)
    at = np.clip(np.searchsorted(grid, s, side="right") - 1, 0, len(grid) - 2)
    width = grid[at + 1] - grid[at]
    weights, _ = tables.cubic((s - grid[at]) / width, width)
    ends = level[at], level[at + 1], slope[at], slope[at + 1]
    return np.asarray(np.exp(sum(weight * end for weight, end in zip(weights, ends, strict=True))))


def _check(spec: TabulatedSpec, numbers: Floats) -> None:
    """Refuse laws of no device: the conductance is not monotonic, or pulses move it the wrong way."""
    grid = tables.unpack(numbers)[0].current.state
    steps = np.diff(_siemens(numbers, grid))
    if not ((steps > 0.0).all() or (steps < 0.0).all()):
        where = float(grid[int(np.argmax(np.sign(steps) != np.sign(steps.sum())))])
        raise ValidationError(
            "chip.device.state", "must be a node along which the conductance goes one way; it turns", where
        )
    order = np.sign(steps[0]) * spec.set_sign
    middle = np.full(1, 0.5)
    for volts, sign in ((spec.positive_voltage, order), (-spec.negative_voltage, -order)):
        rate = float(tables.rate(numbers, middle, np.full(1, volts))[0])
        if rate * sign < 0.0:
            what = "raises" if volts * spec.set_sign < 0.0 else "lowers"
            rule = f"must be {-spec.set_sign}: {volts:g} V {what} the conductance"
            raise ValidationError("chip.device.set_sign", rule, spec.set_sign)
        if rate == 0.0:
            raise ValidationError(
                "chip.device.file", f"must have a state that {volts:g} V moves, the largest of its pulses"
            )
