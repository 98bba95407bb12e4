"""Pulses on consecutive tiles whose cells drift, warm or wear: what each pulse finds, and what it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuitmem._kernels.noise import Addresses
from circuitmem.control.cells import CellHistory
from circuitmem.control.faults import failed_at, wear_out
from circuitmem.control.unit import Unit
from circuitmem.device import CellState, Device, PulseGroup
from circuitmem.device.rows import give_row

__all__ = ["AgedRow"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]


class AgedRow:
    """The histories of the cells of consecutive tiles while these are programmed.

    Parameters
    ----------
    units : sequence of Unit
        The tiles.
    cells : CellState
        Their part of the chip's state, (tiles, rows, columns) each; it is changed in place.
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
        # A look-up in a table takes long, and the last read has done it: only cells with new pulses need another.
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
        # Cells that change in time are computed only where a pulse meets them; what they were last read at stays.
        self._now = np.zeros(cells.stuck.shape) if first.moves else cells.conductance
        self._seen = np.zeros(cells.stuck.shape)

    def _stack(self, name: str) -> NDArray[Any]:
        return np.stack([getattr(each, name) for each in self._histories])

    def give(self, devices: Sequence[Device], pulse: PulseGroup, noise: Addresses, ends: Floats) -> Floats:
        """Give a pulse to cells, and return what they conduct while it lasts, (tiles, rows, columns) S.

        The values returned for other cells are meaningless.

        Parameters
        ----------
        devices : sequence of Device
            The devices of each tile.
        pulse : PulseGroup
            Which cells get it; its arrays are (tiles, rows, columns).
        noise : Addresses
            Address of each tile's noise.
        ends : (tiles, rows) ndarray
            When each row's pulse ends [ps].
        """
        aging, chosen = self._aging, _Chosen(pulse.cells)
        when = chosen.of_rows(ends)
        if aging.moves:
            chosen.put(self._now, self._found(chosen, when))
        driven = None if pulse.is_set else self._driven(chosen)
        give_row(devices, pulse, CellState(self._now, self._now, self._cells.stuck, self._cells.asked), noise)
        left = chosen.of(self._now)
        chosen.put(self._written, left)
        chosen.put(self._written_at, when)
        chosen.put(self._new, True)
        if self._since is not None:
            chosen.put(self._reads, 0)
            chosen.put(self._read_time, 0)
        if aging.wears:
            self._wear(chosen, pulse.cells)
        if not aging.moves:
            np.copyto(self._cells.effective, self._now, where=pulse.cells & ~self._stuck)
        driven = self._driven(chosen) if driven is None else driven
        if aging.warms:
            driven = driven * aging.factor(when)
        chosen.put(self._seen, driven)
        return self._seen

    def _found(self, chosen: _Chosen, when: Floats) -> Floats:
        """Return the conductances of some cells [S] that pulses find at ``when`` [ps], as :meth:`CellHistory.found`."""
        aging, found = self._aging, chosen.of(self._written)
        if aging.drifts:
            # A tile that is left out has had its pulses already, maybe at later times: its values are not used.
            age = np.maximum(when - chosen.of(self._written_at), 0.0)
            found = aging.drifted(found, age, self._exponents(chosen, found))
        if self._since is not None:
            found = aging.read_out(found, chosen.of(self._reads), chosen.of(self._read_time))
        return found

    def _exponents(self, chosen: _Chosen, left: Floats) -> float | Floats:
        """Return the drift exponents of some cells, in which the last pulses left ``left`` [S]."""
        spread = None if self._spread is None else chosen.of(self._spread)
        if self._exponent is None:
            return self._aging.exponent(left, spread)
        exponent, new = chosen.of(self._exponent), chosen.of(self._new)
        if new.any():
            exponent = exponent.copy()
            exponent[new] = self._aging.exponent(left[new], None if spread is None else spread[new])
        return exponent

    def _driven(self, chosen: _Chosen) -> Floats:
        """Return the conductances of some cells in the circuit [S]; stuck cells have their own."""
        return np.where(chosen.of(self._stuck), chosen.of(self._cells.effective), chosen.of(self._now))

    def _wear(self, chosen: _Chosen, pulsed: Mask) -> None:
        """Count a pulse of some cells; those that reach their endurance get stuck."""
        before, endurance = chosen.of(self._pulses), chosen.of(self._endurance)
        worn = (before + 1 >= endurance) & (before < endurance)
        self._pulses += pulsed
        if not worn.any():
            return
        cells, value = np.zeros(pulsed.shape, dtype=bool), failed_at(self._units[0].spec)
        chosen.put(cells, worn)
        self._worn |= cells
        np.copyto(self._failed, self._now, where=cells)
        new = cells & ~self._stuck
        np.copyto(self._cells.effective, self._now if value is None else value, where=new)
        self._stuck |= cells

    def keep(self, pulses: Counts, tiles: Counts) -> None:
        """Store the new histories of ``tiles``, which had so many pulses down and up, (2, tiles, rows, columns)."""
        count = pulses.sum(axis=0, dtype=np.int64)
        for tile in tiles.tolist():
            history: CellHistory = self._histories[tile]
            history.take(count[tile], self._written[tile], self._written_at[tile])
            if self._aging.wears and self._worn[tile].any():
                wear_out(self._units[tile], self._worn[tile], self._failed[tile])


class _Chosen:
    """Cells that get a pulse: only their places are worked on or, if they are more than half of all, all places."""

    def __init__(self, cells: Mask) -> None:
        self._cells = cells
        self._places = None if 2 * np.count_nonzero(cells) > cells.size else np.flatnonzero(cells)

    def of(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return an array's values at the places; copy them before writing to them."""
        return array if self._places is None else array.reshape(-1)[self._places]

    def of_rows(self, numbers: Floats) -> Floats:
        """Return for each place the value of its row, from one value per row, (tiles, rows)."""
        if self._places is None:
            return np.broadcast_to(numbers[:, :, None], self._cells.shape)
        return np.asarray(numbers.reshape(-1)[self._places // self._cells.shape[2]])

    def put(self, array: NDArray[Any], numbers: ArrayLike) -> None:
        """Write values at the places into an array, only for the cells that get the pulse."""
        if self._places is None:
            np.copyto(array, numbers, where=self._cells)
        else:
            array.reshape(-1)[self._places] = numbers
