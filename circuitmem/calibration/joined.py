"""Calibrations one after another, each of which learns on what those before it leave.

Cost: that of all of them, added up; as many reads a product as the one that needs the most.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration.method import Calibration, Products
from circuitmem.config import CalibrationSpec
from circuitmem.control import Process
from circuitmem.network import HardwareLayer

__all__ = ["JoinedCalibration"]


class JoinedCalibration(Calibration):
    """Several methods in their order.

    Parameters
    ----------
    spec : CalibrationSpec
        Their numbers.
    methods : sequence of type
        What they are, one at least.
    """

    def __init__(self, spec: CalibrationSpec, methods: Sequence[type[Calibration]]) -> None:
        super().__init__(spec)
        self.parts = [
            method(spec, any(earlier.settles_columns for earlier in methods[:place]))
            for place, method in enumerate(methods)
        ]

    @property
    def groups(self) -> int:
        """As many as the method has that needs the most."""
        return max(part.groups for part in self.parts)

    def prepare(self, layer: HardwareLayer) -> Process:
        """Do what each does before the amplifiers' gains are chosen."""
        for part in self.parts:
            yield from part.prepare(layer)

    def learn(self, layer: HardwareLayer, activities: NDArray[np.float64], kept: Products | None = None) -> Process:
        """Let one learn after the other."""
        for part in self.parts:
            yield from part.learn(layer, activities, kept)

    def stored_words(self, layer: HardwareLayer) -> int:
        """Return the sum of all."""
        return sum(part.stored_words(layer) for part in self.parts)
