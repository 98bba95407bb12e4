"""Devices without a law: a pulse makes the step that was measured at the cell's conductance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.config.step_table import StepTableSpec
from circuitmem.device.device import Device, PulseGroup
from circuitmem.rng import Purpose, stream

__all__ = ["StepTable"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]

WHOLE = 1e-6
"""A number of pulses this close to a whole number counts as that number."""


class StepTable(Device):
    """Devices of which the mean step of a pulse, and its spread, are known at each conductance.

    The digital core counts pulses by the declared mean steps. Parameters are those of
    :class:`circuitmem.device.Device`.

    Attributes
    ----------
    paths : (down, up) of ndarray
        Conductances after 0, 1, 2, ... mean steps from one end of the range to the other [S].
    sizes : (2, rows, columns) ndarray, optional
        Step of each device relative to the mean step, down and up; None: 1 for all. Only the circuit may use it.
    """

    Spec = StepTableSpec
    spec: StepTableSpec

    def __init__(self, spec: StepTableSpec, shape: tuple[int, int], seed: int = 0, key: tuple[int, ...] = ()) -> None:
        super().__init__(spec, shape, seed, key)
        self._tables = np.array(spec.steps_down).T, np.array(spec.steps_up).T
        self.paths = self._path(is_set=False), self._path(is_set=True)
        self.sizes: Floats | None = None
        if spec.device_spread > 0.0:
            drawn = stream(seed, Purpose.DEVICE, *key).standard_normal((2, *shape))
            self.sizes = np.maximum(1.0 + spec.device_spread * drawn, 0.1)

    def _path(self, *, is_set: bool) -> Floats:
        """Return the conductances of a device without noise, from one end of the range to the other [S]."""
        low, high = self.spec.minimum_conductance, self.spec.maximum_conductance
        places, means, _ = self._tables[is_set]
        path = [low if is_set else high]
        while low < path[-1] < high or len(path) == 1:
            step = float(np.interp(path[-1], places, means))
            path.append(path[-1] + (step if is_set else -step))
        path[-1] = high if is_set else low
        return np.array(path)

    @property
    def most(self) -> int:
        """Pulses of the longer of the two paths."""
        return max(map(len, self.paths)) - 1

    def counts(self, wanted: Floats, present: Floats) -> tuple[Counts, Counts]:
        """Return how many mean steps down and how many up come closest without overshooting."""
        down, up = self.paths
        goal, now = (np.clip(g, up[0], up[-1]) for g in (wanted, present))
        number = np.arange(len(up)), np.arange(len(down))
        rise = np.interp(goal, up, number[0]) - np.interp(now, up, number[0])
        fall = np.interp(-goal, -down, number[1]) - np.interp(-now, -down, number[1])
        return _whole(fall), _whole(rise)

    def after(self, pulse: PulseGroup, conductance: Floats, noise: Floats | None) -> Floats:
        """Return the conductances after one pulse [S]: a step further, with its spread, within the range."""
        return self.moved(
            pulse.is_set, conductance, noise, None if self.sizes is None else self.sizes[int(pulse.is_set)]
        )

    def moved(self, is_set: bool, conductance: Floats, noise: Floats | None, sizes: Floats | None) -> Floats:
        """Return what cells of any shape conduct after a pulse [S]; without ``noise``, those of the declared device.

        Parameters
        ----------
        is_set : bool
            Whether it raises the conductance.
        conductance : ndarray
            What they conduct before [S].
        noise : ndarray, optional
            A standard normal number for each, of the same shape.
        sizes : ndarray, optional
            Step of each cell relative to the mean step, of the same shape; 1 if left out.
        """
        places, means, spreads = self._tables[is_set]
        step = np.interp(conductance, places, means)
        if noise is not None:
            step = step if sizes is None else step * sizes
            step = step + np.interp(conductance, places, spreads) * noise
        moved = conductance + (step if is_set else -step)
        return np.asarray(np.clip(moved, self.spec.minimum_conductance, self.spec.maximum_conductance))


def _whole(pulses: Floats) -> Counts:
    return np.asarray(np.maximum(np.floor(pulses + WHOLE), 0.0), dtype=np.int64)
