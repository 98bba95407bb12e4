"""Two-pulse programming of a row of tiles at once: what :mod:`circuitmem.control.two_pulse` does, in few calls for all.

It is for tiles whose rows are driven alone, whose cells neither move nor wear, and of which nothing breaks by pulses:
then no pulse depends on when another was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.pulses import changes, reset_pulse, row_power, set_pulse
from circuitmem.control.context import Context
from circuitmem.control.ledger import PICOSECOND, attojoules_each
from circuitmem.control.operations import OPERATIONS
from circuitmem.control.pulses import PulseTrain
from circuitmem.control.two_pulse import TwoPulseTrain
from circuitmem.device import TwoPulseDevices

__all__ = ["PulseStack"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]


class PulseStack(NamedTuple):
    """The pulses of a row of tiles, planned."""

    context: Context
    trains: Sequence[PulseTrain]
    part: slice
    """Where the tiles lie in the stacks."""
    wanted: Floats
    """(tiles, rows, columns) S."""
    cells: tuple[Mask, Mask]
    """Cells that get a RESET, and a SET, (tiles, rows, columns) each."""
    counts: Counts
    """How many these are, (2, tiles, rows)."""
    beats: Counts
    """RESETs and SETs of rows, (2, tiles)."""

    @classmethod
    def plan(
        cls, context: Context, trains: Sequence[PulseTrain], wanted: Sequence[Floats] | Floats
    ) -> PulseStack | None:
        """Plan the pulses of trains that have not begun, for what they want; None if they cannot be given at once."""
        first, state, units = trains[0], context.electrics.state, [train.unit for train in trains]
        part = None if state is None else state.part(units)
        if part is None or state is None or first.unit.spec.programming.by_cell:
            return None
        plain = context.electrics.pulses_are_ladders and not (first.unit.cells.moves or first.unit.cells.wears)
        plain = plain and all(isinstance(train, TwoPulseTrain) for train in trains)
        if not plain or any(unit.fragile for unit in units):
            return None
        wanted = np.ascontiguousarray(wanted, dtype=np.float64)
        flat = (-1, wanted.shape[2])
        falling, changing, counts = changes(wanted.reshape(flat), state.asked[part].reshape(flat), first.deadband)
        counts = counts.reshape(2, *wanted.shape[:2])
        cells = falling.reshape(wanted.shape), changing.reshape(wanted.shape)
        return cls(context, trains, part, wanted, cells, counts, np.count_nonzero(counts, axis=2))

    def durations(self) -> list[int]:
        """Return how long the pulses of each tile take [ps]."""
        times = [OPERATIONS[kind].beat(self.trains[0].unit.spec) for kind in self.trains[0].kinds]
        resets, sets = (beats.tolist() for beats in self.beats)
        return [reset * times[0] + each * times[1] for reset, each in zip(resets, sets, strict=True)]

    def give(self, left_out: Sequence[int]) -> None:
        """Give the pulses and book them, but for those of some tiles, by their place in the row."""
        units, counts = [train.unit for train in self.trains], self.counts
        for place in left_out:
            counts[:, place] = 0
            self.beats[:, place] = 0
            for cells in self.cells:
                cells[place] = False
        state = self.context.electrics.state
        assert state is not None
        devices = units[0].devices
        assert isinstance(devices, TwoPulseDevices)
        conductance, effective = state.conductance[self.part], state.effective[self.part]
        stuck, flat = state.stuck(self.part), (-1, conductance.shape[2])
        voltages = units[0].spec.device.reset_voltage, units[0].spec.device.set_voltage
        # A SET's current is limited to what it leaves; a RESET's flows through what it finds.
        found = self._energy(0, effective.reshape(flat), voltages[0])
        reset_pulse(
            conductance.reshape(flat),
            effective.reshape(flat),
            stuck.reshape(flat),
            self.cells[0].reshape(flat),
            devices.law,
        )
        for place in np.flatnonzero(self.beats[1]).tolist():
            unit, noise = units[place], units[place].next_update(self.context.noise_seed)
            assert isinstance(unit.devices, TwoPulseDevices)
            tile = *unit.tile.change(), stuck[place], self.cells[1][place]
            set_pulse(*tile, self.wanted[place], unit.asked, unit.devices.slope, devices.law, noise)
            unit.pulses += int(self.beats[:, place].sum())
        self._book(0, found)
        self._book(1, self._energy(1, effective.reshape(flat), voltages[1]))
        for train, pulses in zip(self.trains, counts.sum(axis=(0, 2)).tolist(), strict=True):
            train.pulses_given += pulses

    def _energy(self, is_set: int, effective: Floats, voltage: float) -> list[int]:
        """Return what the pulses of one polarity take from the drivers of each tile's array [aJ]."""
        train = self.trains[0]
        counts, spec = self.counts[is_set], train.unit.spec
        rows = np.flatnonzero(counts)
        joules = np.zeros(counts.size)
        if len(rows):
            state = self.context.electrics.state
            assert state is not None
            cells = np.asarray(spec.tile.cell.mesh_conductance(effective[rows]))
            selected = self.cells[is_set].reshape(effective.shape)[rows]
            power = row_power(cells, selected, *state.wires(self.part, rows), voltage)
            time = OPERATIONS[train.kinds[is_set]].beat(spec) * PICOSECOND
            joules[rows] = np.where(state.dead_drivers(self.part).ravel()[rows], 0.0, power) * time
        return attojoules_each(joules.reshape(counts.shape))

    def _book(self, is_set: int, array: list[int]) -> None:
        """Book the pulses of one polarity on the tiles that had any."""
        train, beats = self.trains[0], self.beats[is_set].tolist()
        kind, unit = train.kinds[is_set], train.unit
        some = [place for place, count in enumerate(beats) if count]
        if not some:
            return
        rows, pulses = [beats[place] for place in some], self.counts[is_set].sum(axis=1).tolist()
        self.context.ledger.add_all(
            kind,
            [self.trains[place].unit.index for place in some],
            operations=rows,
            busy=[count * OPERATIONS[kind].beat(unit.spec) for count in rows],
            energy={
                "array": [array[place] for place in some],
                "driver": [count * unit.stroke_energy for count in rows],
            },
            pulses=[pulses[place] for place in some],
            phase=train.phase,
        )
