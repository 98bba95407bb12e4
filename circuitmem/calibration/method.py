"""What a calibration method is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import CalibrationSpec
from circuitmem.control import Process
from circuitmem.network import Correction, HardwareLayer

__all__ = ["Calibration"]

Floats = NDArray[np.float64]


class Calibration(ABC):
    """Learns from timed reads of a layer what its digital core shall correct, or where and how it is programmed.

    Nothing but ADC codes, the design of the chip, and what was asked of the cells may be used: never a true conductance
    or the true defects.

    Parameters
    ----------
    spec : CalibrationSpec
        Its numbers.
    """

    name: ClassVar[str]
    programs: ClassVar[bool] = False
    """Whether it programs cells: then it needs its reads at amplifier gains of its own, and ends with new pulses."""

    def __init__(self, spec: CalibrationSpec) -> None:
        self.spec = spec

    @property
    def groups(self) -> int:
        """Groups of word lines that every product is read in, one after another."""
        return 1

    def prepare(self, layer: HardwareLayer) -> Process:  # noqa: ARG002
        """Do what comes before the amplifiers' gains are chosen: what programs cells."""
        yield from ()

    @abstractmethod
    def learn(self, layer: HardwareLayer, activities: Floats) -> Process:
        """Measure, and set the layer's correction.

        Parameters
        ----------
        layer : HardwareLayer
            The layer, programmed.
        activities : (vectors, inputs) ndarray
            Calibration inputs.
        """

    @abstractmethod
    def stored_words(self, layer: HardwareLayer) -> int:
        """Return how many numbers the digital core keeps for a layer after :meth:`learn`."""

    def _uncorrected(self, layer: HardwareLayer) -> Correction:
        """Return a correction that does nothing."""
        return Correction.identity(len(layer.units), layer.chip.spec.tile.columns)


def used_columns(layer: HardwareLayer) -> int:
    """Return on how many bit lines the layer's tiles have weights."""
    return sum(2 * len(place.pairs) for place in layer.placements)
