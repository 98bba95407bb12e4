"""Pulses of :class:`circuitmem.device.PulseUpdate` devices, for consecutive tiles at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Addresses
from circuitmem._kernels.stack_counts import CountedCells, Curves, count_stack, first_pulses
from circuitmem.control.ledger import PICOSECOND, attojoules_of_groups
from circuitmem.control.pulse_stack import CountedStack
from circuitmem.control.unit import Unit
from circuitmem.device import PulseUpdate

__all__ = ["CountStack"]

Counts = NDArray[np.int64]


class CountStack(CountedStack):
    """Pulses of :class:`circuitmem.device.PulseUpdate` devices, along curves that the kernel knows."""

    devices = PulseUpdate

    def _pulse(self, piece: slice, tiles: Counts, noise: Addresses) -> tuple[list[int], list[int]]:
        state, part, pulses = self.state, self._own(piece), self._given(piece, tiles)
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
