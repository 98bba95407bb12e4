"""``offset``: subtract the code of the zero input.

Source: the usual auto-zero of a converter. Cost: 1 read a product, 1 stored word a column, a few reads of the zero
input to learn it, over which noise is averaged. Limit: it finds what does not depend on the input (offsets of
amplifiers, ADCs and DACs), and neither gains nor defects, whose currents grow with the input; and what an offset
hides below the lowest code it cannot see.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration.method import Calibration, used_columns
from circuitmem.control import Process
from circuitmem.network import HardwareLayer

__all__ = ["OffsetCalibration"]

REPEATS = 16
"""Reads of the zero input; their mean has a quarter of the noise of one."""


class OffsetCalibration(Calibration):
    """Subtracts what columns answer to an input of zeros."""

    name = "offset"

    def learn(self, layer: HardwareLayer, activities: NDArray[np.float64]) -> Process:  # noqa: ARG002
        """Read the zero input."""
        zeros = [np.zeros((REPEATS, layer.partition.rows), dtype=np.int64) for _ in layer.units]
        measured = yield from layer.measure(zeros, 1, "calibration_read")
        correction = self._uncorrected(layer)
        correction.shift = -measured.mean(axis=2)
        layer.correction = correction
        yield from layer.chip.compute(measured.size)

    def stored_words(self, layer: HardwareLayer) -> int:
        """Return one word a column."""
        return used_columns(layer)
