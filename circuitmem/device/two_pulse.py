"""The gate-controlled two-pulse cell of Li et al. 2018: how a pulse changes a tile's devices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.config.device import TwoPulseSpec
from circuitmem.rng import Purpose, stream

__all__ = ["TwoPulseDevices"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class TwoPulseDevices:
    """The devices of one tile, as fabricated; the conductances themselves live in the tile.

    Parameters
    ----------
    spec : TwoPulseSpec
        The law.
    shape : (int, int)
        Rows and columns of the tile.
    seed : int
        Seed of the fabrication.
    key : tuple of int
        Which tile on the chip.

    Attributes
    ----------
    slope : (rows, columns) ndarray
        Conductance per gate voltage of each device [S/V]. Only the circuit may use it.
    """

    def __init__(self, spec: TwoPulseSpec, shape: tuple[int, int], seed: int = 0, key: tuple[int, ...] = ()) -> None:
        spread = stream(seed, Purpose.DEVICE, *key).standard_normal(shape)
        self.spec = spec
        self.shape = shape
        self.slope = spec.slope * np.maximum(1.0 + spec.slope_spread * spread, 0.1)

    def gate_for(self, conductance: Floats) -> Floats:
        """Return the gate voltage [V], clipped, for which the *nominal* law gives ``conductance`` [S]."""
        spec = self.spec
        gate = spec.minimum_gate + (conductance - spec.minimum_conductance) / spec.slope
        return np.clip(gate, spec.minimum_gate, spec.maximum_gate)

    def set(self, conductance: Floats, gate: Floats, noise: Floats, selected: Mask) -> Floats:
        """Return the conductance [S] after one SET pulse.

        Parameters
        ----------
        conductance : (..., rows, columns) ndarray
            Before the pulse [S].
        gate : ndarray of that shape
            Gate voltages [V].
        noise : ndarray of that shape
            Standard normal numbers.
        selected : ndarray of bool of that shape
            Which devices get the pulse.
        """
        compliance = self.spec.minimum_conductance + self.slope * (gate - self.spec.minimum_gate)
        after = np.maximum(compliance, conductance) + self.spec.set_noise * noise
        return np.where(selected, np.maximum(after, 0.0), conductance)

    def reset(self, conductance: Floats, selected: Mask) -> Floats:
        """Return the conductance [S] after one RESET pulse: the high-resistance state where ``selected``."""
        return np.where(selected, np.minimum(self.spec.minimum_conductance, conductance), conductance)
