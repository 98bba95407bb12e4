"""``out-of-range``: subtract the cells that conduct more or less than any working one, then one line for each column.

Source: our own [I]: the few cells that a line a column cannot make good are those far outside the working range; what
they conduct too much is subtracted digitally, as by ``defect-subtract``, and all else is left to an affine fit, as by
``affine``. Cost: 1 read a product, 1 stored word and one digital multiplication a cell that is subtracted, 2 stored
words a column; one-hot reads and as many others as there are calibration vectors. Limits: those of both; stuck cells
within the working range stay, for training to live with.
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
        """Say which cells were read to conduct more or less than a working one could, by more than the threshold."""
        low, high = layer.mapping.minimum - self.spec.threshold, layer.mapping.maximum + self.spec.threshold
        return (found < low) | (found > high)


class OutOfRange(Calibration):
    """Subtracts what lies outside the working range, and corrects every column by a factor and a shift."""

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
        """Return one word a cell that is subtracted, and two a column."""
        return self._subtraction.stored_words(layer) + self._affine.stored_words(layer)
