"""``defect-subtract``: find cells that are off by one-hot reads, and subtract their excess digitally.

``corrected = y - sum_i v_i (G_found - G_asked)`` over the defects of each column. Source: physics.md, section 6, a
common remedy. Cost: 1 read a product, 1 stored word a defect and one digital multiplication a defect and product,
which the core is booked for: with 20 % of the cells stuck a fifth of the product is computed digitally. Limits: it is
as right as single cells can be read through wires and converters, and defects that come later are not seen.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration.method import Calibration
from circuitmem.calibration.one_hot import read_conductances
from circuitmem.control import Process
from circuitmem.network import HardwareLayer

__all__ = ["DefectSubtraction"]


class DefectSubtraction(Calibration):
    """Subtracts the excess of single cells."""

    name = "defect-subtract"

    def learn(self, layer: HardwareLayer, activities: NDArray[np.float64]) -> Process:  # noqa: ARG002
        """Read every cell; one that is off by more than the tolerance of a verify read is a defect."""
        found = yield from read_conductances(layer)
        excess = found - np.array([layer.intended(index) for index in range(len(layer.units))])
        excess[np.abs(excess) <= layer.chip.spec.programming.verify_tolerance] = 0.0
        correction = self._uncorrected(layer)
        correction.excess = excess
        layer.correction = correction

    def stored_words(self, layer: HardwareLayer) -> int:
        """Return one word a defect."""
        excess = layer.correction.excess
        return 0 if excess is None else int(np.count_nonzero(excess))
