"""Integral and differential non-linearity of converters, in LSB."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Linearity", "linearity"]

Floats = NDArray[np.float64]


class Linearity(NamedTuple):
    """Deviation of converters from the line through their end points; gain and offset do not count.

    ``inl`` : (converters, points) LSB, of each code's output (DAC), or of the threshold at which each code but the
    lowest begins (ADC); 0 at both ends.

    ``dnl`` : (converters, points - 1) LSB, of each step between them; their running sum is the INL.
    """

    inl: Floats
    dnl: Floats


def linearity(levels: Floats) -> Linearity:
    """Return the non-linearity of ``levels``, (converters, points) of any unit; one LSB is their mean step.

    With less than two points, or none between the ends, there is nothing to be off: zeros.
    """
    count = levels.shape[1]
    if count < 2:
        return Linearity(np.zeros(levels.shape), np.zeros((len(levels), 0)))
    steps = np.diff(levels, axis=1)
    lsb = (levels[:, -1:] - levels[:, :1]) / (count - 1)
    return Linearity((levels - levels[:, :1]) / lsb - np.arange(count), steps / lsb - 1.0)
