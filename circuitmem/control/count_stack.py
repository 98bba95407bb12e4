"""Pulses of devices that count them, for a row of tiles at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Addresses
from circuitmem._kernels.stack_counts import CountedCells, Curves, count_stack, first_pulses
from circuitmem._kernels.stack_pulses import wanted_conductances
from circuitmem.control.context import Context
from circuitmem.control.ledger import PICOSECOND, attojoules_of_groups
from circuitmem.control.programming import Programming
from circuitmem.control.pulse_stack import PulseStack
from circuitmem.control.unit import Unit
from circuitmem.device import PulseUpdate

__all__ = ["CountStack"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class _Plan(NamedTuple):
    wanted: Floats | None
    """What is asked of each cell, (tiles, rows, columns) S; None where pulses are counted out."""
    pulses: Counts
    """How many each cell gets, (2, tiles, rows, columns): down, up."""


class CountStack(PulseStack):
    """As many pulses down and up as each cell needs by the declared curves, or as are counted out for it."""

    devices = PulseUpdate

    def __init__(self, context: Context, job: Programming) -> None:
        self._plan = lru_cache(maxsize=1)(self._plan_piece)
        super().__init__(context, job)

    def _plan_piece(self, first: int, end: int) -> _Plan:
        piece, job = slice(first, end), self.job
        if job.counts is not None:
            counts = np.array([np.asarray(own, dtype=np.int64) for own in job.counts[piece]])
            return _Plan(None, np.ascontiguousarray(np.swapaxes(counts, 0, 1)))
        goal, asked = self._goal(piece), self.state.asked[self._own(piece)]
        wanted = goal if isinstance(goal, np.ndarray) else wanted_conductances(goal, asked, threads=self._threads)
        # Of all tiles alike: the digital core knows the declared curves alone.
        return _Plan(wanted, np.stack(job.units[0].devices.plan(wanted, asked, job.deadband)))

    def wanted(self, place: int) -> Floats | None:
        """Return what a tile of the row is asked for, (rows, columns) S; None where pulses are counted out."""
        piece = self._piece_of(place)
        wanted = self._plan(piece.start, piece.stop).wanted
        return None if wanted is None else np.asarray(wanted[place - piece.start])

    def _count(self, piece: slice) -> tuple[Counts, Counts]:
        pulses = self._plan(piece.start, piece.stop).pulses
        return pulses.max(axis=3).sum(axis=2), pulses.sum(axis=(2, 3))

    def _pulse(self, piece: slice, tiles: Counts, noise: Addresses) -> tuple[list[int], list[int]]:
        state, part, pulses = self.state, self._own(piece), self._plan(piece.start, piece.stop).pulses
        if len(tiles) < pulses.shape[1]:
            given = np.zeros_like(pulses)
            given[:, tiles] = pulses[:, tiles]
            pulses = given
        units = [unit.devices for unit in self.job.units[piece]]
        first = units[0]
        assert isinstance(first, PulseUpdate)
        declared = Curves(
            ([first.nominal_down.fade], [first.nominal_up.fade]),
            ([first.nominal_down.ceiling], [first.nominal_up.ceiling]),
        )
        power = count_stack(
            CountedCells(state.conductance[part], state.effective[part], state.asked[part], state.stuck(part)),
            pulses,
            declared if first.spec.nonlinearity_spread == 0.0 else _curves(self.job.units[piece]),
            declared,
            first.limits,
            first.spec.cycle_noise,
            noise,
            state.wires(part),
            self._amplitudes,
            threads=self._threads,
        )
        most = first_pulses(pulses)[0]
        polarity = np.repeat(np.tile([False, True], most[0].size), np.stack([*most], axis=-1).ravel())
        down, up = (
            attojoules_of_groups(power[polarity == is_set] * (time * PICOSECOND), most[is_set].sum(axis=1))
            for is_set, time in enumerate(self._times)
        )
        return down, up


def _curves(units: Sequence[Unit]) -> Curves:
    """Return the curves of the devices of tiles."""
    devices = [unit.devices for unit in units if isinstance(unit.devices, PulseUpdate)]
    down, up = [each.down for each in devices], [each.up for each in devices]
    return Curves(
        ([each.fade for each in down], [each.fade for each in up]),
        ([each.ceiling for each in down], [each.ceiling for each in up]),
    )
