"""The Stanford-PKU RRAM model: the numbers that the kernel takes, and the conductance of a state."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.devices import STANFORD, DeviceLaw
from circuitmem.config import StanfordSpec

__all__ = ["BOLTZMANN", "conductance", "law", "state_of"]

Floats = NDArray[np.float64]
BOLTZMANN = 8.617333262e-5
"""eV/K."""


def law(spec: StanfordSpec) -> DeviceLaw:
    """Return the model for the kernel: energies in eV, voltages in V."""
    parameters = (
        spec.current / spec.current_voltage,
        spec.minimum_gap,
        spec.maximum_gap - spec.minimum_gap,
        spec.current_gap,
        spec.temperature,
        spec.thermal_resistance,
        BOLTZMANN,
        spec.gamma0,
        spec.beta,
        3.0,
        spec.velocity,
        spec.activation,
        spec.hop / spec.thickness,
        spec.edge,
    )
    return DeviceLaw(STANFORD, 1.0 / spec.current_voltage, 1.0, parameters)


def conductance(spec: StanfordSpec, state: Floats) -> Floats:
    """Return the conductance [S] of a state, at small voltages."""
    gap = spec.minimum_gap + (spec.maximum_gap - spec.minimum_gap) * np.asarray(state)
    return np.asarray(spec.current / spec.current_voltage * np.exp(-gap / spec.current_gap))


def state_of(spec: StanfordSpec, value: Floats) -> Floats:
    """Return the state for a conductance [S]; it is outside [0, 1] if the device cannot have that conductance."""
    gap = -spec.current_gap * np.log(value * spec.current_voltage / spec.current)
    return np.asarray((gap - spec.minimum_gap) / (spec.maximum_gap - spec.minimum_gap))
