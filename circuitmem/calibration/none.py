"""``none``: raw codes, taken for what perfect converters would mean by them. 1 read a product, nothing stored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration.method import Calibration
from circuitmem.control import Process
from circuitmem.network import HardwareLayer

__all__ = ["NoCalibration"]


class NoCalibration(Calibration):
    """Corrects nothing."""

    name = "none"

    def learn(self, layer: HardwareLayer, activities: NDArray[np.float64]) -> Process:  # noqa: ARG002
        """Forget what was learnt before."""
        layer.correction = self._uncorrected(layer)
        yield from ()

    def stored_words(self, layer: HardwareLayer) -> int:  # noqa: ARG002
        """Return 0."""
        return 0
