"""Integral and differential non-linearity of converters, in LSB."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Linearity", "linearity"]

Floats = NDArray[np.float64]


class Linearity(NamedTuple):
    """Deviation of converters from the line through their end points; gain and offset errors do not count.

    ``inl`` : (converters, points) LSB. Deviation of the output of each code (DAC), or of the threshold at which each
    code except the lowest begins (ADC); 0 at both ends.

    ``dnl`` : (converters, points - 1) LSB. Deviation of each step from one LSB; the running sum of the DNL is the INL.
    """

    inl: Floats
    dnl: Floats


def linearity(levels: Floats) -> Linearity:
    """Return the non-linearity of ``levels``, (converters, points) in any unit; one LSB is their mean step.

    The result is all zeros for fewer than three points: there is none between the ends.
    """
    count = levels.shape[1]
    if count < 2:
        return Linearity(np.zeros(levels.shape), np.zeros((len(levels), 0)))
    steps = np.diff(levels, axis=1)
    lsb = (levels[:, -1:] - levels[:, :1]) / (count - 1)
    return Linearity((levels - levels[:, :1]) / lsb - np.arange(count), steps / lsb - 1.0)
