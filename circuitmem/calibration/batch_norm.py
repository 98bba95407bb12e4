"""``batch-norm``: a factor and a shift for every output, to match the mean and spread of the digital network.

Source: the recalibration of batch-normalisation statistics on the chip, the usual first aid of hardware-aware training;
our networks have no such layers, so the digital core gets two words an output instead [I]. Cost: 1 read a product, 2
stored words an output, as many reads as there are calibration vectors. Limit: it fits only the mean and the spread, not
the effect of single inputs; if stuck cells dominate the sums of a network, the sums are scaled down as a whole.
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
        """Multiply the calibration vectors on the chip and match the statistics of the outputs."""
        found = yield from layer.forward(activities, kind="calibration_read")
        wanted = activities @ layer.weights if kept is None else kept.outputs
        spread = found.std(axis=0)
        scale = np.divide(wanted.std(axis=0), spread, out=np.zeros_like(spread), where=spread > 0.0)
        layer.correction = layer.correction.then_outputs(scale, wanted.mean(axis=0) - scale * found.mean(axis=0))
        yield from layer.chip.compute(6 * found.size)

    def stored_words(self, layer: HardwareLayer) -> int:
        """Return two words an output."""
        return 2 * layer.partition.outputs
