"""``affine``: ``(y - b)/a`` for every column, by least squares over calibration vectors: HPE's linear correction.

Source: the per-column linear correction of HPE's dot-product engine (references.md: 128x64, 100 patterns). Cost: 1
read a product, 2 stored words a column, as many reads as there are calibration vectors. Limit: an affine map per
column cannot know which rows are stuck, so the part of a stuck cell's contribution that varies with the input remains
as an error.

After a method that has already corrected single columns or cells (``defect-subtract``, ``out-of-range``, another fit)
it fits a line to each *output* of the layer instead. The error that is left by then is smaller than the common part of
a pair's two columns, and a fit column by column would remove unequal shares of that common part. The cost is then 2
stored words an output.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration.method import Calibration, Products, measure_products
from circuitmem.control import Process
from circuitmem.network import Correction, HardwareLayer, used_columns

__all__ = ["Affine", "fit_affine"]

Floats = NDArray[np.float64]


def fit_affine(measured: Floats, wanted: Floats) -> Correction:
    """Fit ``wanted = scale·measured + shift`` by least squares over the batch.

    The wanted current is regressed on the measured one. This minimises the error of the *corrected* value, and a column
    that does not respond to its input (a dead channel) gets the mean instead of a division by nearly zero.

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


class Affine(Calibration):
    """Corrects every column by a factor and a shift, or every output if the columns have already been corrected."""

    name = "affine"
    settles_columns = True

    @property
    def by_output(self) -> bool:
        """Whether a line is fitted to each output of the layer, not to each column."""
        return self.columns_done

    def learn(self, layer: HardwareLayer, activities: Floats, kept: Products | None = None) -> Process:
        """Read the calibration vectors, one group of word lines after another, and fit the lines."""
        if self.groups > 1:
            layer.correction = layer.correction.split(self.groups)
        found: Products = yield from measure_products(layer, activities)
        if self.by_output:
            wanted = activities @ layer.weights if kept is None else kept.outputs
            fitted = fit_affine(found.outputs[None, None], wanted[None, None])
            layer.correction = layer.correction.then_outputs(fitted.scale[0, 0], fitted.shift[0, 0])
            yield from layer.chip.compute(8 * wanted.size)
            return
        groups = layer.correction.groups
        currents = layer.ideal_currents(layer.input_codes(activities), groups) if kept is None else kept.currents
        fitted = fit_affine(found.currents, currents)
        layer.correction = layer.correction.then_columns(fitted.scale, fitted.shift)
        yield from layer.chip.compute(8 * currents.size)

    def stored_words(self, layer: HardwareLayer) -> int:
        """Return two words for each output, or for each column and group."""
        if self.by_output:
            return 2 * layer.partition.outputs
        return 2 * layer.correction.groups * used_columns([layer])
