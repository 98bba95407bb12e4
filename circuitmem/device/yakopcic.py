"""Yakopcic's device: the numbers that the kernel takes, and the conductance of a state."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.devices import CLOSED, YAKOPCIC, DeviceLaw
from circuitmem.config import YakopcicSpec

__all__ = ["conductance", "law", "state_of"]

Floats = NDArray[np.float64]


def law(spec: YakopcicSpec) -> DeviceLaw:
    """Return the model for the kernel: I = a1 b x · sinh(b V)/b, times a2/a1 for V < 0."""
    parameters = (
        spec.a1 * spec.b,
        spec.positive_threshold,
        spec.negative_threshold,
        spec.positive_rate,
        spec.negative_rate,
        spec.positive_limit,
        spec.negative_limit,
        spec.positive_decay,
        spec.negative_decay,
        float(spec.direction),
    )
    return DeviceLaw(YAKOPCIC, spec.b, spec.a2 / spec.a1, parameters)


def conductance(spec: YakopcicSpec, state: Floats) -> Floats:
    """Return the conductance [S] of a state, at small positive voltages."""
    return np.asarray(spec.a1 * spec.b * np.maximum(state, CLOSED))


def state_of(spec: YakopcicSpec, value: Floats) -> Floats:
    """Return the state for a conductance [S]; it is outside [0, 1] if the device cannot have that conductance."""
    return np.asarray(value / (spec.a1 * spec.b))
