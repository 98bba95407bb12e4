"""Things that break while a chip works, at a given time or after a number of pulses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import ChipSpec, FaultSpec
from circuitmem.control.ledger import picoseconds
from circuitmem.control.trains import TileTrain
from circuitmem.control.unit import Unit
from circuitmem.errors import ValidationError
from circuitmem.rng import Purpose, stream
from circuitmem.tile import DefectMap, Tile

__all__ = [
    "FaultSpec",
    "broken",
    "check_faults",
    "damage",
    "failed_at",
    "note_fragile",
    "strike",
    "stuck",
    "timed",
    "wear_out",
]

_ARRAYS = ("open_word_segments", "open_bit_segments", "bridges", "dead_drivers", "dead_senses")


def check_faults(spec: ChipSpec, tiles: int) -> None:
    """Raise :class:`ValidationError` if a fault is on a tile that a chip of so many tiles does not have."""
    for number, fault in enumerate(spec.faults):
        if fault.tile >= tiles:
            raise ValidationError(f"chip.faults.{number}.tile", f"must be < {tiles}, the number of tiles", fault.tile)


def note_fragile(spec: ChipSpec, seed: int, units: Sequence[Unit]) -> None:
    """Note on some tiles, next first, the specified faults that come after a number of pulses."""
    own = {unit.index: unit for unit in units}
    for number, fault in enumerate(spec.faults):
        if fault.pulses is not None and fault.tile in own:
            drawn = stream(seed, Purpose.ENDURANCE, fault.tile, number + 1).weibull(fault.shape)
            own[fault.tile].fragile.append((max(1, round(fault.pulses * drawn)), fault))
    for unit in units:
        unit.fragile.sort(key=lambda entry: entry[0])


def timed(spec: ChipSpec, after: int) -> list[tuple[int, FaultSpec]]:
    """Return the faults that come at a time after ``after`` [ps], each with its time [ps]."""
    times = [(picoseconds(fault.time, least=0), fault) for fault in spec.faults if fault.time is not None]
    return [(time, fault) for time, fault in times if time > after]


def strike(unit: Unit, fault: FaultSpec, now: int) -> None:
    """Let a fault strike at ``now`` [ps], after pulses that have ended by then and reads that have begun before."""
    trains = [train for train in unit.array.users if isinstance(train, TileTrain)]
    for train in trains:
        train.catch_up(now)
    damage(unit, fault)
    for train in trains:
        train.notice(now)


def damage(unit: Unit, fault: FaultSpec) -> None:
    """Apply a fault to a tile."""
    if fault.what == "adc":
        alive = unit.readout.adc.alive.copy()
        alive[fault.column] = False
        unit.readout.adc.alive = alive
    else:
        unit.tile.damage(broken(unit.tile, fault))


def wear_out(unit: Unit, worn: NDArray[np.bool_], left: NDArray[np.float64]) -> None:
    """Make worn cells stuck for good, as the endurance specification says; ``left`` is what pulses left there [S]."""
    value = failed_at(unit.spec)
    unit.tile.damage(stuck(unit.tile, worn, left if value is None else np.full(worn.shape, value)))


def failed_at(spec: ChipSpec) -> float | None:
    """Return the conductance at which worn-out cells are stuck [S]; None if they keep what they had."""
    failure, device = spec.endurance.failure, spec.device
    return {"stuck-on": device.maximum_conductance, "stuck-off": device.minimum_conductance}.get(failure)


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
