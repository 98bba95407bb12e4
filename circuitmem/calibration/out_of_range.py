"""``out-of-range``: subtract cells outside the working range, then fit one line to each column.

Source: our own [I]: the few cells that a line per column cannot compensate are those far outside the working range.
Their excess is subtracted digitally, as in ``defect-subtract``, and everything else is left to an affine fit, as in
``affine``. Cost: 1 read a product, 1 stored word and one digital multiplication for each subtracted cell, 2 stored
words a column; one-hot reads, and one more read for each calibration vector. Limits: those of both methods; stuck cells
within the working range are not subtracted, and training has to live with them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration.affine import Affine
from circuitmem.calibration.defect_subtract import DefectSubtraction
from circuitmem.calibration.method import Calibration, Products
from circuitmem.config import CalibrationSpec
from circuitmem.control import Process
from circuitmem.network import HardwareLayer

__all__ = ["OutOfRange"]

Floats = NDArray[np.float64]


class _OutsideOnly(DefectSubtraction):
    """Subtracts cells outside the working range."""

    def _is_off(self, layer: HardwareLayer, found: Floats, excess: Floats) -> NDArray[np.bool_]:  # noqa: ARG002
        """Say which cells were read outside the working range by more than the threshold."""
        low, high = layer.mapping.minimum - self.spec.threshold, layer.mapping.maximum + self.spec.threshold
        return (found < low) | (found > high)


class OutOfRange(Calibration):
    """Subtracts cells outside the working range, and corrects every column by a factor and a shift."""

    name = "out-of-range"
    settles_columns = True

    def __init__(self, spec: CalibrationSpec, columns_done: bool = False) -> None:
        super().__init__(spec, columns_done)
        self._subtraction, self._affine = _OutsideOnly(spec), Affine(spec)

    def learn(self, layer: HardwareLayer, activities: Floats, kept: Products | None = None) -> Process:
        """Read every cell and subtract; then read the calibration vectors and fit."""
        yield from self._subtraction.learn(layer, activities, kept)
        yield from self._affine.learn(layer, activities, kept)

    def stored_words(self, layer: HardwareLayer) -> int:
        """Return one word for each subtracted cell, and two for each column."""
        return self._subtraction.stored_words(layer) + self._affine.stored_words(layer)
