"""Two-pulse programming."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.pulses import changes, reset_pulse, set_pulse
from circuitmem.control.pulses import PulseTrain, Strokes
from circuitmem.device import TwoPulseDevices

__all__ = ["TwoPulseTrain"]

Floats = NDArray[np.float64]


class TwoPulseTrain(PulseTrain):
    """One RESET pulse for the cells that shall fall, one SET pulse for those and for the cells that shall rise.

    Each cell's gate is at the voltage for its wanted conductance. Parameters are those of
    :class:`circuitmem.control.pulses.PulseTrain`.
    """

    @property
    def _most(self) -> int:
        return 1

    def _plan(self) -> list[Strokes]:
        unit, programming = self.unit, self.unit.spec.programming
        if self.cells is None:
            lowered, selected, counts = changes(self.wanted, unit.asked, self.deadband)
        else:
            lowered, selected = self.cells
            counts = np.array([lowered.sum(axis=1), selected.sum(axis=1)])
        if counts[1].any():
            self.noise = unit.next_update(self.context.noise_seed)
        columns: NDArray[np.intp] | None = None
        if programming.by_cell:
            rows, columns = np.nonzero(selected)
            falls = lowered[rows, columns]
        else:
            rows = np.flatnonzero(counts[1])
            falls = counts[0, rows] > 0
        groups, falling = np.arange(len(rows)), falls
        if programming.rows_at_once > 1:
            groups //= programming.rows_at_once
            falling = np.zeros(groups[-1] + 1 if len(rows) else 0, dtype=bool)
            np.logical_or.at(falling, groups, falls)
        # Group g begins with a RESET beat if it has falling cells; its SET beat follows.
        set_beat = np.arange(len(falling)) + np.cumsum(falling)
        is_set = np.zeros(len(falling) + np.count_nonzero(falling), dtype=bool)
        is_set[set_beat] = True
        self._schedule(is_set)
        beats = set_beat[groups]
        falling_columns = None if columns is None else columns[falls]
        return [
            Strokes(False, 0, lowered, rows[falls], falling_columns, beats[falls] - 1),
            Strokes(True, 0, selected, rows, columns, beats),
        ]

    def _change(self, strokes: Strokes, conductance: Floats, effective: Floats) -> None:
        unit, devices, cells = self.unit, self.unit.devices, strokes.cells
        assert isinstance(devices, TwoPulseDevices)
        if not strokes.is_set:
            reset_pulse(conductance, effective, unit.tile.stuck, cells, devices.law)
            return
        assert self.noise is not None
        state = conductance, effective, unit.tile.stuck, cells
        set_pulse(*state, self.wanted, unit.asked, devices.slope, devices.law, self.noise)
