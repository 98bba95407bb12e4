"""The gate-controlled two-pulse cell of Li et al. 2018: how a pulse changes a tile's devices."""

from __future__ import annotations

import numpy as np

from circuitmem._kernels.pulses import TwoPulseLaw
from circuitmem.config.device import TwoPulseSpec
from circuitmem.rng import Purpose, stream

__all__ = ["TwoPulseDevices"]


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
    law : TwoPulseLaw
        The nominal law, as the kernels want it (:mod:`circuitmem._kernels.pulses`).
    """

    def __init__(self, spec: TwoPulseSpec, shape: tuple[int, int], seed: int = 0, key: tuple[int, ...] = ()) -> None:
        spread = stream(seed, Purpose.DEVICE, *key).standard_normal(shape)
        self.spec = spec
        self.shape = shape
        self.slope = spec.slope * np.maximum(1.0 + spec.slope_spread * spread, 0.1)
        self.law = TwoPulseLaw(
            spec.minimum_conductance, spec.slope, spec.minimum_gate, spec.maximum_gate, spec.set_noise
        )
