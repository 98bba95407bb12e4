"""``affine``: ``(y - b)/a`` for every column, by least squares over calibration vectors: HPE's linear correction.

Source: the per-column linear correction of HPE's dot-product engine (references.md: 128x64, 100 patterns). Cost: 1
read a product, 2 stored words a column, as many reads as there are calibration vectors. Limit: an affine map per
column cannot know which rows are stuck, so what varies with the input in a stuck cell's contribution stays as an
error.

Where it follows a method that has learnt for single columns or cells (``defect-subtract``, ``out-of-range``, another
fit) it fits a line to each *output* of the layer instead: what is left then is less than the common part of a pair's
two columns, of which a fit column by column would take away unequal shares. Then it is 2 stored words an output.
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


class Affine(Calibration):
    """Corrects every column by a factor and a shift, or every output if columns are corrected already."""

    name = "affine"
    settles_columns = True

    @property
    def by_output(self) -> bool:
        """Whether the lines are those of the layer's outputs."""
        return self.columns_done

    def learn(self, layer: HardwareLayer, activities: Floats, kept: Products | None = None) -> Process:
        """Read the calibration vectors, group of word lines by group, and fit."""
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
        """Return two words an output, or a column and group."""
        if self.by_output:
            return 2 * layer.partition.outputs
        return 2 * layer.correction.groups * used_columns([layer])
