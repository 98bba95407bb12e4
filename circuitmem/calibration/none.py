"""``none``: raw codes, taken for what perfect converters would mean by them. 1 read a product, nothing stored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration.method import Calibration, Products
from circuitmem.control import Process
from circuitmem.network import HardwareLayer

__all__ = ["NoCalibration"]


class NoCalibration(Calibration):
    """Corrects nothing."""

    name = "none"

    def learn(
        self,
        layer: HardwareLayer,  # noqa: ARG002
        activities: NDArray[np.float64],  # noqa: ARG002
        kept: Products | None = None,  # noqa: ARG002
    ) -> Process:
        """Measure nothing."""
        yield from ()

    def stored_words(self, layer: HardwareLayer) -> int:  # noqa: ARG002
        """Return 0."""
        return 0
