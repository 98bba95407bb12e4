"""Linear ion drift: the numbers that the kernel takes, and the conductance of a state."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.devices import ION_DRIFT, DeviceLaw
from circuitmem.config import IonDriftSpec

__all__ = ["conductance", "law", "state_of"]

Floats = NDArray[np.float64]


def law(spec: IonDriftSpec) -> DeviceLaw:
    """Return the model for the kernel; mobility and length become a rate per unit of current [1/(A s)]."""
    parameters = (
        spec.off_resistance,
        spec.on_resistance,
        spec.mobility * spec.on_resistance / spec.length**2,
        2.0 * spec.window_power,
        float(spec.window == "biolek"),
    )
    return DeviceLaw(ION_DRIFT, 0.0, 1.0, parameters)


def conductance(spec: IonDriftSpec, state: Floats) -> Floats:
    """Return the conductance [S] of a state."""
    return np.asarray(1.0 / (spec.off_resistance + (spec.on_resistance - spec.off_resistance) * state))


def state_of(spec: IonDriftSpec, value: Floats) -> Floats:
    """Return the state for a conductance [S]; it is outside [0, 1] if the device cannot have that conductance."""
    return np.asarray((spec.off_resistance - 1.0 / value) / (spec.off_resistance - spec.on_resistance))
