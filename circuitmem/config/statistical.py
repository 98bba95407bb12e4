"""Devices described by statistics: the error of a conductance after programming."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from circuitmem.config.device import DeviceSpec
from circuitmem.config.law import NonNegative, law_values
from circuitmem.config.quantity import Conductance, Duration, Voltage

__all__ = ["StatisticalSpec"]

POINTS = 257
"""Number of conductances in the range over which the error is averaged."""


class StatisticalSpec(DeviceSpec):
    """A device for which only the result of programming is known: its target, and a normal error that depends on it.

    One pulse stands for a whole sequence of programming and verifying: ``set_time`` is how long that takes. The
    defaults are those of phase-change cells (see the preset ``Joshi2020``), but with a constant error.

    Parameters
    ----------
    minimum_conductance, maximum_conductance : float
        Working range [S]; 0 < minimum < maximum.
    programming_error : float, table or function
        Standard deviation of a programmed conductance about its target [S], >= 0: a number, pairs of a target [S] and a
        number, or ``"package.module:function"``. No conductance falls below 0 S.
    set_voltage, reset_voltage : float
        Amplitude on the line [V], > 0; there is no RESET.
    set_time, reset_time : float
        Duration of the sequence [s], > 0.
    """

    rule: ClassVar[str] = "two-pulse"

    kind: Literal["statistical"] = "statistical"
    minimum_conductance: Conductance = 0.1e-6
    maximum_conductance: Conductance = 25e-6
    programming_error: NonNegative = 0.8e-6
    set_voltage: Voltage = 1.5
    reset_voltage: Voltage = 1.5
    set_time: Duration = 10e-6
    reset_time: Duration = 10e-6

    @property
    def programming_noise(self) -> float:
        """Root mean square of the programming error over the whole range [S]."""
        targets = np.linspace(self.minimum_conductance, self.maximum_conductance, POINTS)
        error = law_values(self.programming_error, targets, "chip.device.programming_error")
        return float(np.sqrt(np.mean(np.square(error))))
