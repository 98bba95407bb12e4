"""Affine corrections of column outputs, learnt from measured codes only.

``affine`` is the per-column linear correction of HPE; ``split-affine`` our reconstruction [I] of the inputs-split
method (Sun et al., IEEE Access 7:141792, 2019, whose text is not public to us): word lines are driven in K groups, one
after another, and each group's partial sum is corrected by its own two numbers.

The fit is that of the wanted current on the measured one: it minimises the error of the *corrected* value, and a column
that does not answer to its input (a dead channel) gets its mean instead of a division by nearly nothing.

Cost: K reads a product, 2K stored words a column. Limit: an affine map per column cannot know which rows are stuck, so
what varies with the input in a stuck cell's contribution stays as an error.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.control import Process
from circuitmem.network import Correction, HardwareLayer

__all__ = ["fit_affine", "learn_affine"]

Floats = NDArray[np.float64]


def fit_affine(measured: Floats, wanted: Floats) -> Correction:
    """Fit ``wanted = scale·measured + shift`` by least squares over the batch.

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


def learn_affine(layer: HardwareLayer, activities: Floats, groups: int) -> Process:
    """Measure a layer with calibration activities (vectors, inputs) and set its correction.

    Parameters
    ----------
    layer : HardwareLayer
        The layer; its tiles are read ``groups`` times a vector.
    activities : (vectors, inputs) ndarray
        Calibration inputs.
    groups : int
        Groups of word lines, >= 1; 1 is ``affine``.
    """
    codes = layer.input_codes(activities)
    measured = yield from layer.measure(codes, groups, "calibration_read")
    layer.correction = fit_affine(measured, layer.ideal_currents(codes, groups))
    yield from layer.chip.compute(8 * measured.size)
