"""``global-scale``: one factor for a whole tile.

Source: PAAC (Micromachines 17:481, 2026: one global factor against what the wires take; 89 to 95 % in HSPICE [P
abstract]). Cost: 1 read a product, 1 stored word a tile, as many reads as there are calibration vectors. Limit: it
corrects what all columns have in common, the mean voltage drop; offsets, gains and defects stay.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration.method import Calibration
from circuitmem.control import Process
from circuitmem.network import HardwareLayer

__all__ = ["GlobalScaleCalibration"]


class GlobalScaleCalibration(Calibration):
    """Corrects all columns of a tile by one factor."""

    name = "global-scale"

    def learn(self, layer: HardwareLayer, activities: NDArray[np.float64]) -> Process:
        """Read the calibration vectors and fit one factor a tile, by least squares over its used columns."""
        codes = layer.input_codes(activities)
        measured = yield from layer.measure(codes, 1, "calibration_read")
        ideal = layer.ideal_currents(codes, 1)
        correction = self._uncorrected(layer)
        for index, place in enumerate(layer.placements):
            found, wanted = (currents[0, index][:, place.columns] for currents in (measured, ideal))
            power = float((found**2).sum())
            correction.scale[0, index] = float((found * wanted).sum()) / power if power > 0.0 else 1.0
        layer.correction = correction
        yield from layer.chip.compute(4 * measured.size)

    def stored_words(self, layer: HardwareLayer) -> int:
        """Return one word a tile."""
        return len(layer.units)
