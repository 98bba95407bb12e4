"""``affine``: ``(y - b)/a`` for every column, by least squares over calibration vectors: HPE's linear correction.

Source: the per-column linear correction of HPE's dot-product engine (references.md: 128x64, 100 patterns). Cost: 1
read a product, 2 stored words a column, as many reads as there are calibration vectors. Limit: an affine map per
column cannot know which rows are stuck, so what varies with the input in a stuck cell's contribution stays as an
error.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration.method import Calibration, used_columns
from circuitmem.control import Process
from circuitmem.network import Correction, HardwareLayer

__all__ = ["AffineCalibration", "fit_affine"]

Floats = NDArray[np.float64]


def fit_affine(measured: Floats, wanted: Floats) -> Correction:
    """Fit ``wanted = scale·measured + shift`` by least squares over the batch.

    The fit is that of the wanted current on the measured one: it minimises the error of the *corrected* value, and a
    column that does not answer to its input (a dead channel) gets its mean instead of a division by nearly nothing.

    Parameters
    ----------
    measured, wanted : (groups, tiles, batch, columns) ndarray
        Currents [A].
    """
    mean, target = measured.mean(axis=2, keepdims=True), wanted.mean(axis=2, keepdims=True)
    variance = ((measured - mean) ** 2).sum(axis=2)
    covariance = ((measured - mean) * (wanted - target)).sum(axis=2)
    scale = np.divide(covariance, variance, out=np.zeros_like(variance), where=variance > 0.0)
    return Correction(scale, target[:, :, 0] - scale * mean[:, :, 0])


class AffineCalibration(Calibration):
    """Corrects every column by a factor and a shift."""

    name = "affine"

    def learn(self, layer: HardwareLayer, activities: Floats) -> Process:
        """Read the calibration vectors, group of word lines by group, and fit."""
        codes = layer.input_codes(activities)
        measured = yield from layer.measure(codes, self.groups, "calibration_read")
        layer.correction = fit_affine(measured, layer.ideal_currents(codes, self.groups))
        yield from layer.chip.compute(8 * measured.size)

    def stored_words(self, layer: HardwareLayer) -> int:
        """Return two words a column and group."""
        return 2 * self.groups * used_columns(layer)
