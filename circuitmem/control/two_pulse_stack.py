"""Two-pulse programming of consecutive tiles at once."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Addresses
from circuitmem._kernels.stack_pulses import CellArrays, PulsePlan, plan_stack, two_pulse_stack
from circuitmem._kernels.stacks import Stack
from circuitmem.control.context import Context
from circuitmem.control.ledger import PICOSECOND, attojoules_each
from circuitmem.control.programming import Programming
from circuitmem.control.pulse_stack import PulseStack
from circuitmem.device import TwoPulse

__all__ = ["TwoPulseStack"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class TwoPulseStack(PulseStack):
    """At most one RESET and one SET for each row of gate-controlled cells."""

    devices = TwoPulse

    def __init__(self, context: Context, job: Programming) -> None:
        self._plan = lru_cache(maxsize=1)(self._plan_piece)
        super().__init__(context, job)

    @classmethod
    def can_take(cls, context: Context, job: Programming) -> bool:
        """Return whether the pulses of a job can be given at once: not if it gives numbers of pulses."""
        return job.counts is None and super().can_take(context, job)

    def _plan_piece(self, first: int, end: int) -> PulsePlan:
        piece = slice(first, end)
        asked = self.state.asked[self._own(piece)]
        return plan_stack(self._goal(piece), asked, self.job.deadband, threads=self._threads)

    def wanted(self, place: int) -> Floats:
        """Return the target of one of the tiles, (rows, columns) S."""
        piece = self._piece_of(place)
        return np.asarray(self._plan(piece.start, piece.stop).wanted[place - piece.start])

    def _count(self, piece: slice) -> tuple[Counts, Counts]:
        counts = self._plan(piece.start, piece.stop).counts
        return np.count_nonzero(counts, axis=2), counts.sum(axis=2)

    def _pulse(self, piece: slice, tiles: Counts, noise: Addresses) -> tuple[list[int], list[int]]:
        state, part = self.state, self._own(piece)
        device = self.job.units[0].devices
        assert isinstance(device, TwoPulse)
        power = two_pulse_stack(
            self._plan(piece.start, piece.stop),
            CellArrays(state.conductance[part], state.effective[part], state.asked[part], state.stuck(part)),
            self._slopes(part),
            device.law,
            noise,
            wires=state.wires(part),
            amplitudes=self._amplitudes,
            tiles=tiles,
            threads=self._threads,
        )
        down, up = (attojoules_each(own * (time * PICOSECOND)) for own, time in zip(power, self._times, strict=True))
        return down, up

    def _slopes(self, part: slice) -> Stack:
        """Return the slopes of the devices of consecutive tiles [S/V]: one array, where the chip keeps them."""
        state = self.state
        if state.slope is None:
            each = [unit.devices for unit in state.units]
            if not each[0].keeps_slope:
                return [device.slope for device in each[part] if isinstance(device, TwoPulse)]
            state.slope = np.empty_like(state.asked)
            for device, place in zip(each, state.slope, strict=True):
                if isinstance(device, TwoPulse):
                    device.keep_slope_in(place)
        return state.slope[part]
