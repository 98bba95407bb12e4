"""Devices without a law: measured steps of a pulse, as functions of the conductance."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import pydantic
from numpy.typing import NDArray

from circuitmem.config.device import DeviceSpec
from circuitmem.config.quantity import LARGEST_CONDUCTANCE, Conductance, Duration, Voltage
from circuitmem.errors import ValidationError

__all__ = ["StepTableSpec"]

StepRows = tuple[tuple[float, float, float], ...]


def _steps(value: Any) -> Any:
    """Check rows of conductance, mean step and its spread."""
    if not isinstance(value, tuple) or not 2 <= len(value) <= 1000:
        raise ValueError("must be 2 to 1000 rows [conductance, mean step, spread of the step]")
    last = -1.0
    for row in value:
        is_row = isinstance(row, tuple) and len(row) == 3
        if not (is_row and all(isinstance(each, int | float) and not isinstance(each, bool) for each in row)):
            raise ValueError("must have rows of three numbers: conductance, mean step, spread of the step")
        if not last < row[0] <= LARGEST_CONDUCTANCE:
            raise ValueError(f"must have conductances that rise, from 0 to {LARGEST_CONDUCTANCE:g} S")
        if not (0.0 < row[1] <= LARGEST_CONDUCTANCE and 0.0 <= row[2] <= LARGEST_CONDUCTANCE):
            raise ValueError("must have mean steps > 0, in the direction of the pulse, and spreads >= 0")
        last = max(float(row[0]), 0.0)
    return tuple(tuple(float(each) for each in row) for row in value)


class StepTableSpec(DeviceSpec):
    """A device that a pulse moves by a step whose mean and spread were measured as functions of the conductance.

    Tables are interpolated linearly between their rows. The conductance stays within the range, which must lie within
    both tables. The defaults describe a linear device with 50 pulses from end to end.

    Parameters
    ----------
    minimum_conductance, maximum_conductance : float
        Working range [S]; 0 < minimum < maximum.
    steps_up, steps_down : table
        Rows of a conductance [S], rising, the mean step of a pulse there, in its direction [S], > 0, and the standard
        deviation from pulse to pulse [S], >= 0.
    device_spread : float
        Device-to-device standard deviation of all mean steps of one direction, relative, in [0, 0.5].
    set_voltage, reset_voltage : float
        Amplitude of pulses up and down on the line [V], > 0.
    set_time, reset_time : float
        Width of the pulses, including what the drivers need to settle [s], > 0.
    """

    kind: Literal["step-table"] = "step-table"
    minimum_conductance: Conductance = 1e-6
    maximum_conductance: Conductance = 11e-6
    steps_up: Annotated[StepRows, pydantic.PlainValidator(_steps)] = ((1e-6, 0.2e-6, 0.02e-6), (11e-6, 0.2e-6, 0.02e-6))
    steps_down: Annotated[StepRows, pydantic.PlainValidator(_steps)] = (
        (1e-6, 0.2e-6, 0.02e-6),
        (11e-6, 0.2e-6, 0.02e-6),
    )
    device_spread: float = pydantic.Field(default=0.0, ge=0.0, le=0.5)
    set_voltage: Voltage = 2.0
    reset_voltage: Voltage = 2.0
    set_time: Duration = 1e-6
    reset_time: Duration = 1e-6

    @pydantic.model_validator(mode="after")
    def _check_tables(self) -> StepTableSpec:
        for name in ("steps_up", "steps_down"):
            table = getattr(self, name)
            # Tables are written with few digits: their ends may miss those of the range by a rounding error.
            first, last = table[0][0] * (1.0 - 1e-9), table[-1][0] * (1.0 + 1e-9)
            if not (first <= self.minimum_conductance and self.maximum_conductance <= last):
                rule = f"must reach from minimum_conductance to maximum_conductance (={self.maximum_conductance:g})"
                raise ValidationError(name, rule, [table[0][0], table[-1][0]])
            if pulses_across(np.array(table), self.minimum_conductance, self.maximum_conductance) > 10_000:
                raise ValidationError(name, "must cross the range within 10,000 mean steps", table[0][1])
        return self


def pulses_across(table: NDArray[np.float64], low: float, high: float) -> float:
    """Return roughly how many mean steps cross a range [S]: the integral of 1/step over the conductance."""
    g = np.linspace(low, high, 2049)
    inverse = 1.0 / np.interp(g, table[:, 0], table[:, 1])
    return float(np.sum(0.5 * (inverse[1:] + inverse[:-1]) * np.diff(g)))
