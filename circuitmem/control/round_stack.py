"""Pulses of consecutive tiles round by round: the first of every cell that gets one, then the second, and so on.

This works for any device, also if cells drift, warm or wear: what a pulse finds depends on when it comes, which is
known beforehand. In each round only the cells that get its pulse, and their rows, are computed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Addresses
from circuitmem._kernels.pulses import row_power
from circuitmem.control.aged_row import AgedRow
from circuitmem.control.ledger import PICOSECOND, attojoules_of_groups
from circuitmem.control.pulse_stack import BLOCK, CountedStack
from circuitmem.control.unit import Unit
from circuitmem.device import CellState, Device, PulseGroup
from circuitmem.device.rows import give_row, has_row_law

__all__ = ["RoundStack"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]
Places = NDArray[np.intp]


class RoundStack(CountedStack):
    """Pulses of any device whose pulse changes only its own cell, depending on what it finds there."""

    devices = Device
    numbers = np.uint16  # :attr:`Device.most` does not exceed it

    @classmethod
    def _knows(cls, unit: Unit) -> bool:
        """Return whether it knows what pulses do; users' devices see the whole tile, so their cells must not move."""
        devices = unit.devices
        once = type(devices).rounds is Device.rounds and not unit.spec.device.stateful
        return once and (has_row_law(devices) or not unit.cells.moves)

    def _pulse(self, piece: slice, tiles: Counts, noise: Addresses) -> tuple[list[int], list[int]]:
        pulses, wanted = self._given(piece, tiles), self._plan(piece.start, piece.stop).wanted
        down: list[int] = []
        up: list[int] = []
        for block in self._split(piece.stop - piece.start, BLOCK):
            own = slice(piece.start + block.start, piece.start + block.stop)
            within = tiles[(tiles >= block.start) & (tiles < block.stop)] - block.start
            addresses = Addresses(noise.keys[block], noise.operations[block])
            goal = self.state.asked[self._own(own)] if wanted is None else wanted[block]
            found = self._pulse_block(own, pulses[:, block], goal, within, addresses)
            down += found[0]
            up += found[1]
        return down, up

    def _pulse_block(
        self, block: slice, pulses: Counts, wanted: Floats, tiles: Counts, noise: Addresses
    ) -> tuple[list[int], list[int]]:
        state, part, units = self.state, self._own(block), self.job.units[block]
        cells = CellState(state.conductance[part], state.effective[part], state.stuck(part), state.asked[part])
        aged = AgedRow(units, cells) if units[0].cells.moves or units[0].cells.wears else None
        devices, power = [unit.devices for unit in units], _RowPower(self, block)
        most = pulses.max(axis=3).astype(np.int64)
        begins = self._row_begins(most)
        for is_set in (0, 1):
            left, before = pulses[is_set], begins + (most[0] * self._times[0] if is_set else 0)
            for number in range(int(most[is_set].max(initial=0))):
                chosen = left > number
                pulse = PulseGroup(bool(is_set), number, chosen, wanted)
                if aged is not None:
                    ends = self._on_clock(before + (number + 1) * self._times[is_set], block)
                    power.add(is_set, chosen, aged.give(devices, pulse, noise, ends))
                elif is_set:
                    give_row(devices, pulse, cells, noise)
                    power.add(is_set, chosen, cells.effective)
                else:
                    power.add(is_set, chosen, cells.effective)
                    give_row(devices, pulse, cells, noise)
        if aged is not None:
            aged.keep(pulses, tiles)
        return power.energies(0), power.energies(1)

    def _row_begins(self, most: Counts) -> Counts:
        """Return when the pulses of each row begin, (tiles, rows) ps, relative to the first pulse of its tile."""
        reset, each = self._times
        taken = most[0] * reset + most[1] * each
        return np.asarray(np.cumsum(taken, axis=1) - taken)

    def _on_clock(self, ends: Counts, piece: slice) -> Floats:
        """Convert times, (tiles, rows) ps from each tile's begin, to the clock [ps], which can exceed 64 bits."""
        begins = self.begins[piece]
        if max(begins, default=0) + int(ends.max(initial=0)) < 1 << 63:
            return np.asarray((np.array(begins, dtype=np.int64)[:, None] + ends).astype(np.float64))
        rows = zip(begins, ends.tolist(), strict=True)
        return np.array([[float(begin + end) for end in row] for begin, row in rows])


class _RowPower:
    """Power of row pulses, collected as they come, and the energies that they add up to."""

    def __init__(self, stack: RoundStack, piece: slice) -> None:
        part = stack._own(piece)
        word, ground, self._dead, _ = stack.state.wires(part)
        self._cell = stack.job.units[0].spec.tile.cell
        self._voltages, self._times, self._tiles = stack._amplitudes, stack._times, piece.stop - piece.start
        self._wires = np.concatenate([*word]), np.concatenate([*ground])
        self._rows = stack.job.units[0].spec.tile.rows
        self._found: tuple[list[tuple[Places, Floats]], ...] = [], []

    def add(self, is_set: int, chosen: Mask, conductance: Floats) -> None:
        """Work out the power of one pulse of the rows with ``chosen`` cells; both (tiles, rows, columns), S."""
        columns = chosen.shape[2]
        mask = chosen.reshape(-1, columns)
        lines = np.flatnonzero(mask.any(axis=1))
        word, ground = (each[lines % self._rows if len(each) == self._rows else lines] for each in self._wires)
        cells = self._cell.mesh_conductance(conductance.reshape(-1, columns)[lines])
        power = row_power(cells, mask[lines], word, ground, self._voltages[is_set])
        if self._dead is not None:
            power = np.where(self._dead.reshape(-1)[lines], 0.0, power)
        self._found[is_set].append((lines // self._rows, power))

    def energies(self, is_set: int) -> list[int]:
        """Return the energy of the pulses of one polarity on each tile [aJ]."""
        found = self._found[is_set]
        if not found:
            return [0] * self._tiles
        tiles, power = (np.concatenate(each) for each in zip(*found, strict=True))
        order, sizes = np.argsort(tiles, kind="stable"), np.bincount(tiles, minlength=self._tiles)
        return attojoules_of_groups(power[order] * (self._times[is_set] * PICOSECOND), sizes)
