"""``offset``: subtract the code of the zero input.

Source: the usual auto-zero of a converter. Cost: 1 read a product, 1 stored word a column, a few reads of the zero
input to learn it, over which noise is averaged. Limit: it finds what does not depend on the input (offsets of
amplifiers, ADCs and DACs), and neither gains nor defects, whose currents grow with the input; and what an offset
hides below the lowest code it cannot see.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration.method import Calibration, Products, measure_products
from circuitmem.control import Process
from circuitmem.network import HardwareLayer, used_columns

__all__ = ["Offset"]

REPEATS = 16
"""Reads of the zero input; their mean has a quarter of the noise of one."""


class Offset(Calibration):
    """Subtracts the output of each column for an input of zeros."""

    name = "offset"

    def learn(self, layer: HardwareLayer, activities: NDArray[np.float64], kept: Products | None = None) -> Process:
        """Read the zero input, or, to keep what products were, the calibration vectors."""
        if kept is None:
            zeros = [np.zeros((REPEATS, layer.partition.rows), dtype=np.int64) for _ in layer.units]
            lacking = -(yield from layer.measure_corrected(zeros, "calibration_read"))
        else:
            found: Products = yield from measure_products(layer, activities)
            lacking = kept.currents - found.currents
        layer.correction = layer.correction.then_columns(np.ones_like(layer.correction.scale), lacking.mean(axis=2))
        yield from layer.chip.compute(lacking.size)

    def stored_words(self, layer: HardwareLayer) -> int:
        """Return one word a column."""
        return used_columns([layer])
