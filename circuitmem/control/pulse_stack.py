"""Two-pulse programming of a row of tiles at once: what :mod:`circuitmem.control.pulses` does, in few calls for all.

It is for tiles whose rows are driven alone, whose cells neither move nor wear, and of which nothing breaks by pulses:
then no pulse depends on when another was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Addresses
from circuitmem._kernels.stack_pulses import Amplitudes, Cells, Conductances, Plan, Targets, plan_stack, two_pulse_stack
from circuitmem.config import ChipSpec
from circuitmem.control.context import Context
from circuitmem.control.ledger import PICOSECOND, attojoules_each
from circuitmem.control.operations import OPERATIONS, polarities
from circuitmem.control.state import ChipState
from circuitmem.control.unit import Unit
from circuitmem.device import TwoPulse

__all__ = ["Conductances", "PulseStack", "Targets", "Wanted", "targets_of"]

PIECE = 1 << 20
"""Cells that are planned at once. What is wanted of the cells of a large chip is as large as their state: it is worked
out twice instead, piece by piece."""

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Layers = Sequence[Targets | Conductances]
Wanted = Layers | Sequence[Floats] | Floats
"""What tiles are to conduct: weights or conductances of layers, or conductances [S] of each tile."""


def targets_of(wanted: Wanted) -> list[Targets | Conductances] | None:
    """Return what is wanted of layers; None for what is wanted of single tiles."""
    if isinstance(wanted, np.ndarray):
        return None
    return [each for each in wanted if isinstance(each, Targets | Conductances)] or None


class PulseStack(NamedTuple):
    """The pulses of a row of tiles, planned."""

    context: Context
    units: Sequence[Unit]
    part: slice
    """Where the tiles lie in the stacks."""
    plan: Callable[[slice], Plan]
    """Says what each cell of some of the tiles gets."""
    counts: Counts
    """Pulses of each row: RESETs and SETs, (2, tiles, rows)."""
    beats: Counts
    """RESETs and SETs of rows, (2, tiles)."""
    kinds: tuple[str, str]
    """Accounts of RESETs and SETs."""

    @staticmethod
    def can_take(context: Context, units: Sequence[Unit]) -> bool:
        """Say whether the pulses of tiles can be given at once."""
        state, first = context.electrics.state, units[0] if units else None
        if first is None or state is None or state.part(units) is None or first.spec.programming.by_cell:
            return False
        plain = context.electrics.pulses_are_ladders and not (first.cells.moves or first.cells.wears)
        # A device or law of one's own may do otherwise.
        plain = plain and type(first.devices) is TwoPulse and first.spec.tile.cell.is_plain
        return plain and not any(unit.fragile for unit in units)

    @staticmethod
    def longest(spec: ChipSpec, kind: str) -> int:
        """No tile takes longer [ps]."""
        return spec.tile.rows * sum(OPERATIONS[each].beat(spec) for each in polarities(kind))

    @classmethod
    def planned(cls, context: Context, units: Sequence[Unit], wanted: Wanted, deadband: float, kind: str) -> PulseStack:
        """Plan the pulses of tiles that :meth:`can_take` allows, for what is wanted of them."""
        state, threads = context.electrics.state, context.electrics.behavioral.threads
        assert state is not None
        part, given = state.part(units), targets_of(wanted)
        assert part is not None
        asked = state.asked[part]

        @lru_cache(maxsize=1)
        def plan(first: int, end: int) -> Plan:
            goal = (
                np.ascontiguousarray(wanted[first:end], dtype=np.float64) if given is None else _cut(given, first, end)
            )
            return plan_stack(goal, asked[first:end], deadband, threads=threads)

        counts = np.empty((2, *asked.shape[:2]), dtype=np.int64)
        for piece in _pieces(asked.shape):
            counts[:, piece] = plan(piece.start, piece.stop).counts
        beats = np.count_nonzero(counts, axis=2)
        return cls(context, units, part, lambda piece: plan(piece.start, piece.stop), counts, beats, polarities(kind))

    def wanted(self, place: int) -> Floats:
        """Return what a tile of the row is asked for, (rows, columns) S."""
        (piece,) = (each for each in _pieces(self._shape) if each.start <= place < each.stop)
        return np.asarray(self.plan(piece).wanted[place - piece.start])

    @property
    def _shape(self) -> tuple[int, int, int]:
        spec = self.units[0].spec.tile
        return len(self.units), spec.rows, spec.columns

    def durations(self) -> list[int]:
        """Return how long the pulses of each tile take [ps]."""
        reset, each = (OPERATIONS[kind].beat(self.units[0].spec) for kind in self.kinds)
        return [resets * reset + sets * each for resets, sets in zip(*self.beats.tolist(), strict=True)]

    def give(self, left_out: Sequence[int]) -> list[int]:
        """Give the pulses and book them, but for those of some tiles, by their place in the row; returns how many."""
        units, state = self.units, self.context.electrics.state
        assert state is not None
        self.beats[:, left_out] = 0
        self.counts[:, left_out] = 0
        some = np.flatnonzero(self.beats[1])
        keys = np.zeros((len(units), 2), dtype=np.uint64)
        operations = np.zeros(len(units), dtype=np.uint64)
        rows = self.beats.sum(axis=0).tolist()
        for place in some.tolist():
            unit = units[place]
            keys[place], operations[place] = unit.next_update(self.context.noise_seed)
            unit.tile.change()
            unit.pulses += rows[place]
        spec, power = units[0].spec, np.zeros(self.counts.shape)
        for piece in _pieces(self._shape):
            own = some[(some >= piece.start) & (some < piece.stop)]
            if own.size:
                noise = Addresses(keys[piece], operations[piece])
                power[:, piece] = self._pulse(state, self.plan(piece), piece, own - piece.start, noise)
        pulses = self.counts.sum(axis=2)
        for is_set, kind in enumerate(self.kinds):
            time = OPERATIONS[kind].beat(spec)
            self._book(is_set, kind, time, attojoules_each(power[is_set] * (time * PICOSECOND)), pulses[is_set])
        return [int(each) for each in pulses.sum(axis=0)]

    def _pulse(self, state: ChipState, plan: Plan, piece: slice, tiles: NDArray[np.int64], noise: Addresses) -> Floats:
        """Give the pulses of some tiles of a piece of the row; returns their power, (2, tiles of the piece, rows) W."""
        part = slice(self.part.start + piece.start, self.part.start + piece.stop)
        units, device = self.units[piece], self.units[0].devices
        assert isinstance(device, TwoPulse)
        cells = state.conductance[part], state.effective[part], state.asked[part]
        voltages = self.units[0].spec.device
        return two_pulse_stack(
            plan,
            Cells(*cells, list(state.stuck(part))),
            [unit.devices.slope for unit in units],
            device.law,
            noise,
            wires=state.wires(part),
            amplitudes=Amplitudes(voltages.reset_voltage, voltages.set_voltage),
            tiles=tiles,
            threads=self.context.electrics.behavioral.threads,
        )

    def _book(self, is_set: int, kind: str, time: int, array: list[int], pulses: Counts) -> None:
        """Book the pulses of one polarity, each of ``time`` ps, on the tiles that had any."""
        some = np.flatnonzero(self.beats[is_set])
        if not some.size:
            return
        rows, units, energy = self.beats[is_set, some].tolist(), self.units, self.units[0].stroke_energy
        self.context.ledger.add_all(
            kind,
            [units[place].index for place in some.tolist()],
            operations=rows,
            busy=[count * time for count in rows],
            energy={"array": [array[place] for place in some.tolist()], "driver": [count * energy for count in rows]},
            pulses=pulses[some].tolist(),
            phase=self.context.clock.phase,
        )


def _pieces(shape: tuple[int, ...]) -> list[slice]:
    """Return the pieces of a row of tiles that are planned at once, for stacks of (tiles, rows, columns)."""
    tiles, rows, columns = shape
    step = max(1, PIECE // (rows * columns))
    return [slice(first, min(first + step, tiles)) for first in range(0, tiles, step)]


def _cut(layers: Layers, first: int, end: int) -> list[Targets | Conductances]:
    """Return the weights of those tiles of layers that follow each other which are ``first`` to ``end`` - 1."""
    found: list[Targets | Conductances] = []
    begin = 0
    for layer in layers:
        own = slice(max(first - begin, 0), min(end - begin, layer.tiles))
        begin += layer.tiles
        if own.start < own.stop:
            found.append(layer.part(own))
    return found
