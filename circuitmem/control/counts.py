"""Programming by the number of pulses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.counts import count_pulses
from circuitmem.control.pulses import PulseTrain, Strokes
from circuitmem.device import PulseUpdateDevices

__all__ = ["CountTrain"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

_NUMBERS = 1 << 16
"""More than the pulses of one direction that a cell can get in one train."""


class CountTrain(PulseTrain):
    """As many pulses down or up as the declared curves need from what was asked last to what is asked now.

    What is less than a pulse is not asked for; the digital core remembers where the declared curves would be. A row
    gets its pulses one after another, first those down, then those up, each in the cells that need so many. Parameters
    are those of :class:`circuitmem.control.pulses.PulseTrain`; cells that are given are erased, and brought up again to
    what was asked of them.
    """

    @property
    def _most(self) -> int:
        devices = self.unit.devices
        assert isinstance(devices, PulseUpdateDevices)
        return max(devices.spec.states, devices.spec.pulses_down)

    def _plan(self) -> list[Strokes]:
        unit, devices = self.unit, self.unit.devices
        assert isinstance(devices, PulseUpdateDevices)
        down, up = devices.counts(self.wanted, unit.asked)
        if self.cells is None:
            small = np.abs(self.wanted - unit.asked) <= self.deadband
            down[small] = up[small] = 0
        else:
            # Erased from wherever it may have drifted to.
            erased = np.where(self.cells[1], devices.spec.pulses_down, 0)
            up = np.where(self.cells[1], devices.counts(unit.asked, np.full_like(unit.asked, devices.limits[0]))[1], 0)
            down = erased
        if down.any() or up.any():
            self.noise = unit.next_update(self.context.noise_seed)
        if unit.spec.programming.by_cell:
            return self._by_cell(down, up)
        return self._by_row(down, up)

    def _by_row(self, down: Counts, up: Counts) -> list[Strokes]:
        most = np.array([down.max(axis=1), up.max(axis=1)])
        begin = self._lay_out(most)
        found = []
        for is_set, pulses in enumerate((down, up)):
            for number in range(int(most[is_set].max(initial=0))):
                cells = pulses > number
                rows = np.flatnonzero(most[is_set] > number)
                found.append(Strokes(bool(is_set), number, cells, rows, None, begin[is_set, rows] + number))
        return found

    def _by_cell(self, down: Counts, up: Counts) -> list[Strokes]:
        rows, columns = np.nonzero(down + up)
        each = np.array([down[rows, columns], up[rows, columns]])
        begin = self._lay_out(each)
        found = []
        for is_set, pulses in enumerate((down, up)):
            for number in range(int(each[is_set].max(initial=0))):
                some = np.flatnonzero(each[is_set] > number)
                beats = begin[is_set, some] + number
                found.append(Strokes(bool(is_set), number, pulses > number, rows[some], columns[some], beats))
        return found

    def _lay_out(self, most: Counts) -> Counts:
        """Set the beats for things with (2, things) pulses down and up; return when each begins, (2, things)."""
        ends = np.cumsum(most.T.ravel())
        kinds = np.tile([False, True], most.shape[1])
        self._schedule(np.repeat(kinds, most.T.ravel()))
        return np.asarray((ends - most.T.ravel()).reshape(-1, 2).T)

    def _change(self, strokes: Strokes, conductance: Floats, effective: Floats) -> None:
        unit, devices = self.unit, self.unit.devices
        assert isinstance(devices, PulseUpdateDevices)
        assert self.noise is not None
        place = (2 * self.noise.operation + strokes.is_set) * _NUMBERS + strokes.number
        noise, pulses = self.noise._replace(operation=place), strokes.cells.astype(np.int64)
        real, nominal = (devices.up, devices.nominal_up) if strokes.is_set else (devices.down, devices.nominal_down)
        law = pulses, strokes.is_set
        sigma = devices.spec.cycle_noise
        count_pulses(conductance, effective, unit.tile.stuck, *law, real, devices.limits, sigma, noise)
        count_pulses(unit.asked, unit.asked, np.zeros_like(strokes.cells), *law, nominal, devices.limits, 0.0, noise)
