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
        Outputs of the layer that follow from these currents.
    """

    currents: Floats
    outputs: Floats


class Calibration(ABC):
    """Learns a correction of a layer, or how to program it, from timed reads of the layer.

    It may use only ADC codes, the design of the chip, and the conductances that were asked of the cells, never the true
    conductances or the true defects.

    Parameters
    ----------
    spec : CalibrationSpec
        Settings of the method.
    columns_done : bool
        Whether an earlier method has already learnt the corrections of single columns or cells.
    """

    name: ClassVar[str]
    Options: ClassVar[type[Spec] | None] = None
    """The method's own settings, declared under its name in ``calibration.options``; :attr:`options` holds them."""
    programs: ClassVar[bool] = False
    """Whether it programs cells: then it reads at amplifier gains of its own, and ends by giving new pulses."""
    settles_columns: ClassVar[bool] = False
    """Whether it learns corrections of single columns or cells; another fit of columns then has little to add."""

    def __init__(self, spec: CalibrationSpec, columns_done: bool = False) -> None:
        self.spec, self.columns_done = spec, columns_done
        self.options: Any = options_of("calibrations", spec.options, type(self))

    @property
    def groups(self) -> int:
        """Number of groups of word lines; every product reads them one after another."""
        return 1

    def prepare(self, layer: HardwareLayer) -> Process:  # noqa: ARG002
        """Do what has to be done before the amplifiers' gains are chosen: program cells, if the method does."""
        yield from ()

    @abstractmethod
    def learn(self, layer: HardwareLayer, activities: Floats, kept: Products | None = None) -> Process:
        """Measure products, and extend the layer's correction so that the remaining error disappears.

        Parameters
        ----------
        layer : HardwareLayer
            The layer, programmed.
        activities : (vectors, inputs) ndarray
            Calibration inputs.
        kept : Products, optional
            Products of these inputs that the correction should restore. Left out, the target is the products of the
            weights that were asked for.

        Returns
        -------
        Process
            For the chip's clock; it returns nothing.
        """

    @abstractmethod
    def stored_words(self, layer: HardwareLayer) -> int:
        """Return how many numbers the digital core stores for a layer after :meth:`learn`."""


class Unmeasured(Calibration):
    """A calibration that learns nothing from products; by default the digital core stores nothing for it."""

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
