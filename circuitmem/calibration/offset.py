"""``offset``: subtract the code of the zero input.

Source: the usual auto-zero of a converter. Cost: 1 read a product, 1 stored word a column, a few reads of the zero
input to learn it, averaged to reduce noise. Limit: it removes only errors that do not depend on the input (offsets of
amplifiers, ADCs and DACs), not those of gains and defects, whose currents grow with the input. It cannot see an offset
that lies below the lowest code.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration.method import Calibration, Products, measure_products
from circuitmem.control import Process
from circuitmem.network import HardwareLayer, used_columns

__all__ = ["Offset"]

REPEATS = 16
"""Reads of the zero input; their mean has a quarter of the noise of a single read."""


class Offset(Calibration):
    """Subtracts the output of each column for an input of zeros."""

    name = "offset"

    def learn(self, layer: HardwareLayer, activities: NDArray[np.float64], kept: Products | None = None) -> Process:
        """Read the zero input, or the calibration vectors if ``kept`` products are to be restored."""
        if kept is None:
            zeros = [np.zeros((REPEATS, layer.partition.rows), dtype=np.int64) for _ in layer.units]
            lacking = -(yield from layer.measure_corrected(zeros, "calibration_read"))
        else:
            found: Products = yield from measure_products(layer, activities)
            lacking = kept.currents - found.currents
        layer.correction = layer.correction.then_columns(np.ones_like(layer.correction.scale), lacking.mean(axis=2))
        yield from layer.chip.compute(lacking.size)

    def stored_words(self, layer: HardwareLayer) -> int:
        """Return one word for each used column."""
        return used_columns([layer])
