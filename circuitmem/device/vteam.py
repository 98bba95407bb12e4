"""VTEAM: the numbers that the kernel takes, and the conductance of a state."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.devices import VTEAM, DeviceLaw
from circuitmem.config import VteamSpec

__all__ = ["conductance", "law", "state_of"]

Floats = NDArray[np.float64]


def law(spec: VteamSpec) -> DeviceLaw:
    """Return the model for the kernel; speeds become rates of the normalised state [1/s]."""
    parameters = (
        spec.on_resistance,
        spec.off_resistance,
        float(spec.resistance == "exponential"),
        spec.on_speed / spec.length,
        spec.off_speed / spec.length,
        spec.on_voltage,
        spec.off_voltage,
        spec.on_power,
        spec.off_power,
        spec.window_power,
    )
    return DeviceLaw(VTEAM, 0.0, 1.0, parameters)


def conductance(spec: VteamSpec, state: Floats) -> Floats:
    """Return the conductance [S] of a state."""
    on, off = spec.on_resistance, spec.off_resistance
    if spec.resistance == "exponential":
        return np.asarray((on / off) ** state / on)
    return np.asarray(1.0 / (on + (off - on) * state))


def state_of(spec: VteamSpec, value: Floats) -> Floats:
    """Return the state for a conductance [S]; it is outside [0, 1] if the device cannot have that conductance."""
    on, off = spec.on_resistance, spec.off_resistance
    if spec.resistance == "exponential":
        return np.asarray(np.log(value * on) / np.log(on / off))
    return np.asarray((1.0 / value - on) / (off - on))
