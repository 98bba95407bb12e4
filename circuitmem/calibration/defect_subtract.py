"""``defect-subtract``: find wrong cells with one-hot reads, and subtract their excess digitally.

``corrected = y - sum_i v_i (G_found - G_asked)`` over the defects of each column. Source: physics.md, section 6, a
common remedy. Cost: 1 read a product, and for each cell that reads more than ``chip.programming.verify_tolerance`` from
what was asked 1 stored word and one digital multiplication a product, booked for the core: with 20 % of the cells
stuck that is at least as many multiplications as 40 % of the weights need. Limits: it is only as accurate as the reads
of single cells through wires and converters, whose errors of gain make good cells read wrong too, and it does not see
defects that appear later.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration.method import Calibration, Products
from circuitmem.calibration.one_hot import read_conductances
from circuitmem.control import Process
from circuitmem.network import HardwareLayer

__all__ = ["DefectSubtraction"]

Floats = NDArray[np.float64]


class DefectSubtraction(Calibration):
    """Subtracts the excess of single cells."""

    name = "defect-subtract"
    settles_columns = True

    def learn(
        self,
        layer: HardwareLayer,
        activities: Floats,  # noqa: ARG002
        kept: Products | None = None,
    ) -> Process:
        """Read every cell and subtract the excess of wrong ones; if ``kept`` is given, leave the correction as is."""
        if kept is not None:
            return
        found = yield from read_conductances(layer)
        correction = layer.correction
        factors = np.moveaxis(correction.scale[correction.row_groups(layer.partition.rows)], 0, 1)
        intended = np.array([layer.intended(index) for index in range(len(layer.units))])
        excess = factors * found - intended
        used = np.zeros(excess.shape, dtype=bool)
        for tile, place in zip(used, layer.placements, strict=True):
            tile[place.cells] = True
        excess[~(used & self._is_off(layer, found, excess))] = 0.0
        layer.correction = correction.then_subtracted(excess, np.where(excess == 0.0, 0.0, intended))

    def _is_off(self, layer: HardwareLayer, found: Floats, excess: Floats) -> NDArray[np.bool_]:  # noqa: ARG002
        """Say which cells to subtract: those whose excess exceeds the tolerance of a verify read."""
        return np.abs(excess) > layer.chip.spec.programming.verify_tolerance

    def stored_words(self, layer: HardwareLayer) -> int:
        """Return one word a subtracted cell."""
        return layer.digital_products
