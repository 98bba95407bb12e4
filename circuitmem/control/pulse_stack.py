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
from circuitmem._kernels.stack_pulses import Amplitudes, Cells, Plan, Targets, plan_stack, two_pulse_stack
from circuitmem.config import ChipSpec
from circuitmem.control.context import Context
from circuitmem.control.ledger import PICOSECOND, attojoules_each
from circuitmem.control.operations import OPERATIONS, polarities
from circuitmem.control.unit import Unit
from circuitmem.device import TwoPulse

__all__ = ["PulseStack", "Targets", "Wanted", "targets_of"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Wanted = Sequence[Targets] | Sequence[Floats] | Floats
"""What tiles are to conduct: weights of layers, or conductances [S] of each tile."""


def targets_of(wanted: Wanted) -> list[Targets] | None:
    """Return the weights of layers; None for conductances."""
    found = [] if isinstance(wanted, np.ndarray) else [each for each in wanted if isinstance(each, Targets)]
    return found or None


class PulseStack(NamedTuple):
    """The pulses of a row of tiles, planned."""

    context: Context
    units: Sequence[Unit]
    part: slice
    """Where the tiles lie in the stacks."""
    plan: Plan
    """What each cell gets."""
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
        state = context.electrics.state
        assert state is not None
        part, given = state.part(units), targets_of(wanted)
        assert part is not None
        goal = np.ascontiguousarray(wanted, dtype=np.float64) if given is None else given
        plan = plan_stack(goal, state.asked[part], deadband, threads=context.electrics.behavioral.threads)
        return cls(context, units, part, plan, np.count_nonzero(plan.counts, axis=2), polarities(kind))

    def durations(self) -> list[int]:
        """Return how long the pulses of each tile take [ps]."""
        reset, each = (OPERATIONS[kind].beat(self.units[0].spec) for kind in self.kinds)
        return [resets * reset + sets * each for resets, sets in zip(*self.beats.tolist(), strict=True)]

    def give(self, left_out: Sequence[int]) -> list[int]:
        """Give the pulses and book them, but for those of some tiles, by their place in the row; returns how many."""
        units, state, electrics = self.units, self.context.electrics.state, self.context.electrics
        assert state is not None
        self.beats[:, left_out] = 0
        self.plan.counts[:, left_out] = 0
        some, device = np.flatnonzero(self.beats[1]), units[0].devices
        assert isinstance(device, TwoPulse)
        keys = np.zeros((len(units), 2), dtype=np.uint64)
        operations = np.zeros(len(units), dtype=np.uint64)
        rows = self.beats.sum(axis=0).tolist()
        for place in some.tolist():
            unit = units[place]
            keys[place], operations[place] = unit.next_update(self.context.noise_seed)
            unit.tile.change()
            unit.pulses += rows[place]
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
        pulses = self.plan.counts.sum(axis=2)
        for is_set, kind in enumerate(self.kinds):
            time = OPERATIONS[kind].beat(spec)
            self._book(is_set, kind, time, attojoules_each(power[is_set] * (time * PICOSECOND)), pulses[is_set])
        return [int(each) for each in pulses.sum(axis=0)]

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
