"""Several calibrations in sequence: each one corrects the error that the previous ones leave.

Cost: the sum of their costs; every product takes as many reads as the method that needs the most.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration.answers import learn, prepare_with, stored_words
from circuitmem.calibration.method import Calibration, Products
from circuitmem.config import CalibrationSpec
from circuitmem.control import Process
from circuitmem.network import HardwareLayer

__all__ = ["JoinedCalibration"]


class JoinedCalibration(Calibration):
    """Several methods that learn one after another.

    Parameters
    ----------
    spec : CalibrationSpec
        Settings of the methods.
    methods : sequence of type
        Classes of the methods, in their order; at least one.
    """

    def __init__(self, spec: CalibrationSpec, methods: Sequence[type[Calibration]]) -> None:
        super().__init__(spec)
        self.parts = [
            method(spec, any(earlier.settles_columns for earlier in methods[:place]))
            for place, method in enumerate(methods)
        ]

    @property
    def groups(self) -> int:
        """Groups of word lines: the largest number that any of the methods needs."""
        return max(part.groups for part in self.parts)

    def prepare(self, layer: HardwareLayer) -> Process:
        """Let each method do what it has to do before the amplifiers' gains are chosen."""
        for part in self.parts:
            yield from prepare_with(part, layer)

    def learn(self, layer: HardwareLayer, activities: NDArray[np.float64], kept: Products | None = None) -> Process:
        """Let the methods learn one after another."""
        for part in self.parts:
            yield from learn(part, layer, activities, kept)

    def stored_words(self, layer: HardwareLayer) -> int:
        """Return the sum over all methods."""
        return sum(stored_words(part, layer) for part in self.parts)
