"""Base class of calibrations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import CalibrationSpec, Spec
from circuitmem.config.names import options_of
from circuitmem.control import Process
from circuitmem.network import HardwareLayer

__all__ = ["Calibration", "Products", "Unmeasured", "measure_products"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Products:
    """Corrected products of calibration vectors.

    Attributes
    ----------
    currents : (groups, tiles, vectors, columns) ndarray
        Currents of the tiles [A].
    outputs : (vectors, outputs) ndarray
        What the layer makes of them.
    """

    currents: Floats
    outputs: Floats


class Calibration(ABC):
    """Learns a correction, or how a layer is programmed, from timed reads of the layer.

    Nothing but ADC codes, the design of the chip, and what was asked of the cells may be used: never a true conductance
    or the true defects.

    Parameters
    ----------
    spec : CalibrationSpec
        Its numbers.
    columns_done : bool
        Whether one before it has learnt what can be corrected in single columns or cells.
    """

    name: ClassVar[str]
    Options: ClassVar[type[Spec] | None] = None
    """Numbers of its own, which ``calibration.options`` declares by its name: :attr:`options` then."""
    programs: ClassVar[bool] = False
    """Whether it programs cells: then it needs its reads at amplifier gains of its own, and ends with new pulses."""
    settles_columns: ClassVar[bool] = False
    """Whether it learns what can be corrected in single columns or cells: another fit of columns has little to add."""

    def __init__(self, spec: CalibrationSpec, columns_done: bool = False) -> None:
        self.spec, self.columns_done = spec, columns_done
        self.options: Any = options_of("calibrations", spec.options, type(self))

    @property
    def groups(self) -> int:
        """Groups of word lines that every product is read in, one after another."""
        return 1

    def prepare(self, layer: HardwareLayer) -> Process:  # noqa: ARG002
        """Do what comes before the amplifiers' gains are chosen: what programs cells."""
        yield from ()

    @abstractmethod
    def learn(self, layer: HardwareLayer, activities: Floats, kept: Products | None = None) -> Process:
        """Measure, and add to the layer's correction what the measured products still lack.

        Parameters
        ----------
        layer : HardwareLayer
            The layer, programmed.
        activities : (vectors, inputs) ndarray
            Calibration inputs.
        kept : Products, optional
            What the products of these inputs shall be. Left out, those of the weights that were asked for.

        Returns
        -------
        Process
            For the chip's clock; it returns nothing.
        """

    @abstractmethod
    def stored_words(self, layer: HardwareLayer) -> int:
        """Return how many numbers the digital core keeps for a layer after :meth:`learn`."""


class Unmeasured(Calibration):
    """A calibration that measures nothing, and for which the digital core keeps nothing."""

    def learn(
        self,
        layer: HardwareLayer,  # noqa: ARG002
        activities: Floats,  # noqa: ARG002
        kept: Products | None = None,  # noqa: ARG002
    ) -> Process:
        """Measure nothing."""
        yield from ()

    def stored_words(self, layer: HardwareLayer) -> int:  # noqa: ARG002
        """Return 0."""
        return 0


def measure_products(layer: HardwareLayer, activities: Floats) -> Process:
    """Read calibration inputs (vectors, inputs), and return their corrected :class:`Products`."""
    currents = yield from layer.measure_corrected(layer.input_codes(activities), "calibration_read")
    return Products(currents, layer.sums(currents.sum(axis=0)))
