"""What the pulses of a row of tiles find of cells that drift, warm or wear, and what they leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Addresses
from circuitmem.control.cells import CellHistory
from circuitmem.control.faults import failed_at, wear_out
from circuitmem.control.unit import Unit
from circuitmem.device import CellState, Device, PulseGroup
from circuitmem.device.rows import give_row

__all__ = ["AgedRow"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Places = NDArray[np.intp]


class AgedRow:
    """The histories of the cells of a row of tiles while it is programmed.

    Parameters
    ----------
    units : sequence of Unit
        The tiles.
    cells : CellState
        Their part of the chip's state, (tiles, rows, columns) each: it changes in place.
    """

    def __init__(self, units: Sequence[Unit], cells: CellState) -> None:
        self._units, self._cells = units, cells
        self._histories = [unit.cells for unit in units]
        first = self._histories[0]
        self._aging = first.aging
        self._written, self._written_at = self._stack("written"), self._stack("written_at")
        self._spread = None if first.spread is None else self._stack("spread")
        known = [each.known_exponent() for each in self._histories] if self._aging.drifts else []
        arrays = [each for each in known if isinstance(each, np.ndarray)]
        # A table is long to look up, and the last read has done so: only what pulses leave is new.
        self._exponent = np.stack(arrays) if arrays and len(arrays) == len(units) else None
        self._new = np.zeros(cells.stuck.shape, dtype=bool)
        self._since = [each.since_pulse() for each in self._histories] if first.disturbed else None
        if self._since is not None:
            self._reads, self._read_time = (np.stack(each) for each in zip(*self._since, strict=True))
        self._stuck = cells.stuck
        if first.wears:
            self._stuck = cells.stuck.copy()
            self._pulses, self._endurance = self._stack("pulses"), self._stack("endurance")
            self._worn = np.zeros(cells.stuck.shape, dtype=bool)
            self._failed = np.zeros(cells.stuck.shape)
        # What there is of cells that move is worked out where a pulse meets it; what they were last read at stays.
        self._now = np.zeros(cells.stuck.shape) if first.moves else cells.conductance
        self._seen = np.zeros(cells.stuck.shape)

    def _stack(self, name: str) -> NDArray[Any]:
        return np.stack([getattr(each, name) for each in self._histories])

    def give(self, devices: Sequence[Device], pulse: PulseGroup, noise: Addresses, ends: Floats) -> Floats:
        """Give a pulse to cells, and return what they conduct while it lasts, (tiles, rows, columns) S.

        What is returned of others says nothing.

        Parameters
        ----------
        devices : sequence of Device
            Those of each tile.
        pulse : PulseGroup
            Which cells get it; its arrays are (tiles, rows, columns).
        noise : Addresses
            Where the noise of each tile is drawn.
        ends : (tiles, rows) ndarray
            When each row's pulse ends [ps].
        """
        aging, now = self._aging, self._now.reshape(-1)
        cells = np.flatnonzero(pulse.cells)
        when = ends.reshape(-1)[cells // pulse.cells.shape[2]]
        if aging.moves:
            now[cells] = self._found(cells, when)
        driven = None if pulse.is_set else self._driven(cells)
        give_row(devices, pulse, CellState(self._now, self._now, self._cells.stuck, self._cells.asked), noise)
        left = now[cells]
        self._written.reshape(-1)[cells] = left
        self._written_at.reshape(-1)[cells] = when
        self._new.reshape(-1)[cells] = True
        if self._since is not None:
            self._reads.reshape(-1)[cells] = self._read_time.reshape(-1)[cells] = 0
        if aging.wears:
            self._wear(cells, left)
        if not aging.moves:
            free = cells[~self._stuck.reshape(-1)[cells]]
            self._cells.effective.reshape(-1)[free] = now[free]
        driven = self._driven(cells) if driven is None else driven
        if aging.warms:
            driven = driven * aging.factor(when)
        self._seen.reshape(-1)[cells] = driven
        return self._seen

    def _found(self, cells: Places, when: Floats) -> Floats:
        """Return what pulses find of some cells [S], when they end [ps]: as :meth:`CellHistory.found`."""
        aging, found = self._aging, self._written.reshape(-1)[cells]
        if aging.drifts:
            found = aging.drifted(found, when - self._written_at.reshape(-1)[cells], self._exponents(cells, found))
        if self._since is not None:
            found = aging.read_out(found, self._reads.reshape(-1)[cells], self._read_time.reshape(-1)[cells])
        return found

    def _exponents(self, cells: Places, left: Floats) -> float | Floats:
        """Return exponents of drift of some cells, of which the last pulses left so much [S]."""
        spread = None if self._spread is None else self._spread.reshape(-1)[cells]
        if self._exponent is None:
            return self._aging.exponent(left, spread)
        exponent, new = self._exponent.reshape(-1)[cells], np.flatnonzero(self._new.reshape(-1)[cells])
        if new.size:
            exponent[new] = self._aging.exponent(left[new], None if spread is None else spread[new])
        return exponent

    def _driven(self, cells: Places) -> Floats:
        """Return what the circuit sees of some cells [S]: stuck ones as they are."""
        stuck = self._stuck.reshape(-1)[cells]
        return np.where(stuck, self._cells.effective.reshape(-1)[cells], self._now.reshape(-1)[cells])

    def _wear(self, cells: Places, left: Floats) -> None:
        """Count a pulse of some cells, after which they conduct ``left`` [S]: those that have had enough stick."""
        before, endurance = self._pulses.reshape(-1)[cells], self._endurance.reshape(-1)[cells]
        self._pulses.reshape(-1)[cells] = before + 1
        worn = (before + 1 >= endurance) & (before < endurance)
        if not worn.any():
            return
        cells, left = cells[worn], left[worn]
        self._worn.reshape(-1)[cells] = True
        self._failed.reshape(-1)[cells] = left
        new = ~self._stuck.reshape(-1)[cells]
        value = failed_at(self._units[0].spec)
        self._cells.effective.reshape(-1)[cells[new]] = left[new] if value is None else value
        self._stuck.reshape(-1)[cells] = True

    def keep(self, pulses: Counts, tiles: Counts) -> None:
        """Let the tiles that had pulses, so many down and up (2, tiles, rows, columns), have their new history."""
        count = pulses.sum(axis=0, dtype=np.int64)
        for tile in tiles.tolist():
            history: CellHistory = self._histories[tile]
            history.take(count[tile], self._written[tile], self._written_at[tile])
            if self._aging.wears and self._worn[tile].any():
                wear_out(self._units[tile], self._worn[tile], self._failed[tile])
