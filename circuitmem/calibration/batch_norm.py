"""``batch-norm``: a factor and a shift for every output of the layer, so that its mean and spread are those of digits.

Source: the recalibration of batch-normalisation statistics on the chip, the usual first aid of hardware-aware training;
our networks have no such layers, so the digital core gets two words an output instead [I]. Cost: 1 read a product, 2
stored words an output, as many reads as there are calibration vectors. Limit: it fits only mean and spread, never what
single inputs do; a network whose sums are dominated by stuck cells is scaled down with them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration.method import Calibration, Products
from circuitmem.control import Process
from circuitmem.network import HardwareLayer

__all__ = ["BatchNorm"]


class BatchNorm(Calibration):
    """Gives every output the mean and the standard deviation of the digital network."""

    name = "batch-norm"

    def learn(self, layer: HardwareLayer, activities: NDArray[np.float64], kept: Products | None = None) -> Process:
        """Multiply the calibration vectors on the chip, and compare the statistics."""
        found = yield from layer.forward(activities, kind="calibration_read")
        wanted = activities @ layer.weights if kept is None else kept.outputs
        spread = found.std(axis=0)
        scale = np.divide(wanted.std(axis=0), spread, out=np.zeros_like(spread), where=spread > 0.0)
        layer.correction = layer.correction.then_outputs(scale, wanted.mean(axis=0) - scale * found.mean(axis=0))
        yield from layer.chip.compute(6 * found.size)

    def stored_words(self, layer: HardwareLayer) -> int:
        """Return two words an output."""
        return 2 * layer.partition.outputs
