"""``global-scale``: one factor for a whole tile.

Source: PAAC (Micromachines 17:481, 2026: one global factor that compensates the loss in the wires; 89 to 95 % in HSPICE
[P abstract]). Cost: 1 read a product, 1 stored word a tile, as many reads as there are calibration vectors. Limit: it
corrects only what all columns have in common, the mean voltage drop; errors from offsets, gains and defects remain.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration.method import Calibration, Products, measure_products
from circuitmem.control import Process
from circuitmem.network import HardwareLayer

__all__ = ["GlobalScale"]


class GlobalScale(Calibration):
    """Corrects all columns of a tile by one factor."""

    name = "global-scale"

    def learn(self, layer: HardwareLayer, activities: NDArray[np.float64], kept: Products | None = None) -> Process:
        """Read the calibration vectors and fit one factor for each tile, by least squares over its used columns."""
        products: Products = yield from measure_products(layer, activities)
        measured, groups = products.currents, layer.correction.groups
        ideal = layer.ideal_currents(layer.input_codes(activities), groups) if kept is None else kept.currents
        scale = np.ones_like(layer.correction.scale)
        for index, place in enumerate(layer.placements):
            found, wanted = (currents[:, index][:, :, place.columns].sum(axis=0) for currents in (measured, ideal))
            power = float((found**2).sum())
            scale[:, index] = float((found * wanted).sum()) / power if power > 0.0 else 1.0
        layer.correction = layer.correction.then_columns(scale, np.zeros_like(scale))
        yield from layer.chip.compute(4 * measured.size)

    def stored_words(self, layer: HardwareLayer) -> int:
        """Return one word for each tile."""
        return len(layer.units)
