"""Static laws of a memristive cell: the current through it for a voltage across it."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import pydantic
from numpy.typing import NDArray

from circuitmem.config.base import Spec

__all__ = ["Cell", "LinearCell", "SinhCell"]

Floats = NDArray[np.float64]


class LinearCell(Spec):
    """An ohmic 1R cell: ``I = G·V``."""

    kind: Literal["linear"] = "linear"

    def current(self, conductance: Floats, voltage: Floats) -> Floats:
        """Return the cell current [A] for conductance [S] and voltage [V], broadcast together."""
        return conductance * voltage

    def slope(self, conductance: Floats, voltage: Floats) -> Floats:
        """Return dI/dV [S], broadcast together."""
        return conductance * np.ones_like(voltage)


class SinhCell(Spec):
    """A non-linear 1R cell: ``I = G·sinh(a·V)/a``.

    Parameters
    ----------
    a : float
        Non-linearity [1/V], > 0. As ``a`` goes to 0 the cell becomes a :class:`LinearCell`.
    """

    kind: Literal["sinh"] = "sinh"
    a: float = pydantic.Field(gt=0.0)

    def current(self, conductance: Floats, voltage: Floats) -> Floats:
        """Return the cell current [A] for conductance [S] and voltage [V], broadcast together."""
        return np.asarray(conductance * np.sinh(self.a * voltage) / self.a)

    def slope(self, conductance: Floats, voltage: Floats) -> Floats:
        """Return dI/dV [S], broadcast together."""
        return np.asarray(conductance * np.cosh(self.a * voltage))


Cell = Annotated[LinearCell | SinhCell, pydantic.Field(discriminator="kind")]
