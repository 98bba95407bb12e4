"""Things that break while a chip works, at a given time or after a number of pulses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import ChipSpec, FaultSpec
from circuitmem.control.ledger import picoseconds
from circuitmem.errors import ValidationError
from circuitmem.rng import Purpose, stream
from circuitmem.tile import DefectMap, Tile

if TYPE_CHECKING:
    from circuitmem.control.chip import Chip, Process

__all__ = ["FaultSpec", "broken", "check_faults", "schedule", "start_timed", "stuck"]

_ARRAYS = ("open_word_segments", "open_bit_segments", "bridges", "dead_drivers", "dead_senses")


def check_faults(spec: ChipSpec, tiles: int) -> None:
    """Raise :class:`ValidationError` if a fault is on a tile that a chip of so many tiles does not have."""
    for number, fault in enumerate(spec.faults):
        if fault.tile >= tiles:
            raise ValidationError(f"chip.faults.{number}.tile", f"must be < {tiles}, the number of tiles", fault.tile)


def schedule(chip: Chip) -> None:
    """Start a process for every fault that a chip's specification gives a time, and note the others on their tiles."""
    check_faults(chip.spec, len(chip.units))
    start_timed(chip, -1)
    for number, fault in enumerate(chip.spec.faults):
        if fault.pulses is not None:
            drawn = stream(chip.seed, Purpose.ENDURANCE, fault.tile, number + 1).weibull(fault.shape)
            chip.units[fault.tile].fragile.append((max(1, round(fault.pulses * drawn)), fault))
    for unit in chip.units:
        unit.fragile.sort(key=lambda entry: entry[0])


def start_timed(chip: Chip, after: int) -> None:
    """Start a process for every fault that comes at a time after ``after`` [ps]."""
    for fault in chip.spec.faults:
        if fault.time is not None and picoseconds(fault.time, least=0) > after:
            chip.start(_strike_later(chip, fault, picoseconds(fault.time, least=0)))


def _strike_later(chip: Chip, fault: FaultSpec, time: int) -> Process:
    yield from chip.wait_until(time)
    chip.strike(fault)


def stuck(tile: Tile, cells: NDArray[np.bool_], conductance: NDArray[np.float64]) -> DefectMap:
    """Return a tile's defects with ``cells`` (rows, columns) stuck at ``conductance`` (same shape, S) too."""
    old = tile.defects
    none = np.zeros(tile.spec.shape, dtype=bool)
    was = none if old.stuck is None else old.stuck
    held = none.astype(float) if old.stuck_conductance is None else old.stuck_conductance
    values = np.where(cells & ~was, conductance, held)
    return _changed(tile, stuck=was | cells, stuck_conductance=values)


def broken(tile: Tile, fault: FaultSpec) -> DefectMap:
    """Return a tile's defects with a fault added that concerns its cells, lines or drivers."""
    cell = (fault.row, fault.column)
    if fault.what == "cell":
        cells = np.zeros(tile.spec.shape, dtype=bool)
        cells[cell] = True
        return stuck(tile, cells, np.full(tile.spec.shape, fault.conductance))
    name, shape, place = {
        "word_line": ("open_word_segments", tile.spec.shape, cell),
        "bit_line": ("open_bit_segments", tile.spec.shape, cell),
        "driver": ("dead_drivers", (tile.spec.rows,), (fault.row,)),
    }[fault.what]
    old = getattr(tile.defects, name)
    array = np.zeros(shape, dtype=bool) if old is None else old.copy()
    array[place] = True
    return _changed(tile, **{name: array})


def _changed(tile: Tile, **changes: Any) -> DefectMap:
    names = ("stuck", "stuck_conductance", *_ARRAYS)
    return DefectMap(**{name: changes.get(name, getattr(tile.defects, name)) for name in names})
