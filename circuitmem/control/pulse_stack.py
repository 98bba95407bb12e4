"""Two-pulse programming of a row of tiles at once: what :mod:`circuitmem.control.pulses` does, in few calls for all.

It is for tiles whose rows are driven alone, whose cells neither move nor wear, and of which nothing breaks by pulses:
then no pulse depends on when another was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Addresses
from circuitmem._kernels.stack_pulses import Amplitudes, Cells, Plan, plan_stack, two_pulse_stack
from circuitmem.control.context import Context
from circuitmem.control.ledger import PICOSECOND, attojoules_each
from circuitmem.control.operations import OPERATIONS
from circuitmem.control.pulses import PulseTrain
from circuitmem.control.state import ChipState
from circuitmem.device import TwoPulse

__all__ = ["PulseStack"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class PulseStack(NamedTuple):
    """The pulses of a row of tiles, planned."""

    context: Context
    trains: Sequence[PulseTrain]
    part: slice
    """Where the tiles lie in the stacks."""
    plan: Plan
    """What each cell gets."""
    beats: Counts
    """RESETs and SETs of rows, (2, tiles)."""

    @classmethod
    def planned(
        cls, context: Context, trains: Sequence[PulseTrain], wanted: Sequence[Floats] | Floats
    ) -> PulseStack | None:
        """Plan the pulses of trains that have not begun, for what they want; None if they cannot be given at once."""
        first, state, units = trains[0], context.electrics.state, [train.unit for train in trains]
        part = None if state is None else state.part(units)
        if part is None or state is None or first.unit.spec.programming.by_cell:
            return None
        plain = context.electrics.pulses_are_ladders and not (first.unit.cells.moves or first.unit.cells.wears)
        plain = plain and type(first.unit.devices) is TwoPulse  # a subclass may do otherwise
        if not plain or any(unit.fragile for unit in units):
            return None
        given = np.ascontiguousarray(wanted, dtype=np.float64)
        plan = plan_stack(given, state.asked[part], first.deadband, threads=context.electrics.behavioral.threads)
        return cls(context, trains, part, plan, np.count_nonzero(plan.counts, axis=2))

    def durations(self) -> list[int]:
        """Return how long the pulses of each tile take [ps]."""
        times = [OPERATIONS[kind].beat(self.trains[0].unit.spec) for kind in self.trains[0].kinds]
        resets, sets = (beats.tolist() for beats in self.beats)
        return [reset * times[0] + each * times[1] for reset, each in zip(resets, sets, strict=True)]

    def give(self, left_out: Sequence[int]) -> None:
        """Give the pulses and book them, but for those of some tiles, by their place in the row."""
        units, state, electrics = [train.unit for train in self.trains], self._state, self.context.electrics
        self.beats[:, left_out] = 0
        self.plan.counts[:, left_out] = 0
        some, device = np.flatnonzero(self.beats[1]), units[0].devices
        assert isinstance(device, TwoPulse)
        keys = np.zeros((len(units), 2), dtype=np.uint64)
        operations = np.zeros(len(units), dtype=np.uint64)
        for place in some.tolist():
            unit = units[place]
            keys[place], operations[place] = unit.next_update(self.context.noise_seed)
            unit.tile.change()
            unit.pulses += int(self.beats[:, place].sum())
        spec = units[0].spec
        cells = state.conductance[self.part], state.effective[self.part], state.asked[self.part]
        power = two_pulse_stack(
            self.plan,
            Cells(*cells, list(state.stuck(self.part))),
            [unit.devices.slope for unit in units],
            device.law,
            Addresses(keys, operations),
            wires=state.wires(self.part),
            amplitudes=Amplitudes(spec.device.reset_voltage, spec.device.set_voltage),
            tiles=some,
            threads=electrics.behavioral.threads,
        )
        for is_set, kind in enumerate(self.trains[0].kinds):
            time = OPERATIONS[kind].beat(spec) * PICOSECOND
            self._book(is_set, attojoules_each(power[is_set] * time))
        for train, pulses in zip(self.trains, self.plan.counts.sum(axis=(0, 2)).tolist(), strict=True):
            train.pulses_given += pulses

    @property
    def _state(self) -> ChipState:
        state = self.context.electrics.state
        assert state is not None
        return state

    def _book(self, is_set: int, array: list[int]) -> None:
        """Book the pulses of one polarity on the tiles that had any."""
        train, beats = self.trains[0], self.beats[is_set].tolist()
        kind, unit = train.kinds[is_set], train.unit
        some = [place for place, count in enumerate(beats) if count]
        if not some:
            return
        rows, pulses = [beats[place] for place in some], self.plan.counts[is_set].sum(axis=1).tolist()
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
