"""Static laws of a memristive cell: the current through it for a voltage across it.

Every kind has the same methods. ``linear`` says whether the current is proportional to the voltage; only then has a
tile a transfer matrix. The conductance that they take is always that of the memristor itself, which pulses change and
which is stuck in a defective cell.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pydantic
from numpy.typing import NDArray

from circuitmem import registry
from circuitmem._kernels.selector import selector_cell
from circuitmem.config.base import Spec
from circuitmem.errors import ValidationError

__all__ = ["Cell", "CellLaw", "LinearCell", "SelectorCell", "SinhCell", "TransistorCell"]

Floats = NDArray[np.float64]


class CellLaw(Spec):
    """Base of all cell laws; your own is a subclass with :meth:`current`, :meth:`slope` and :meth:`spice`.

    Laws that the kernels do not know are solved by Newton's method with a sparse factorisation.

    Parameters
    ----------
    kind : str
        Name of the law (``circuitmem list cells``), or ``"package.module:Name"`` of its class.
    """

    linear: ClassVar[bool] = False
    """Whether the current is proportional to the voltage."""
    kind: str

    def current(self, conductance: Floats, voltage: Floats) -> Floats:
        """Return the cell current [A] for conductance [S] and voltage [V], broadcast together."""
        raise NotImplementedError

    def slope(self, conductance: Floats, voltage: Floats) -> Floats:
        """Return dI/dV [S], broadcast together."""
        raise NotImplementedError

    def sensitivity(self, conductance: Floats, voltage: Floats) -> Floats:
        """Return dI/dG [V], broadcast together; by default for a current that is proportional to the conductance."""
        return self.current(np.ones_like(conductance), voltage)

    @property
    def series_resistance(self) -> float:
        """Resistance in series with the memristor [Ω]."""
        return 0.0

    @property
    def is_plain(self) -> bool:
        """Whether :meth:`mesh_conductance` and its inverse are those of this class."""
        own = type(self)
        same = own.mesh_conductance is CellLaw.mesh_conductance
        return same and own.memristor_conductance is CellLaw.memristor_conductance

    def mesh_conductance(self, conductance: Floats) -> Floats:
        """Return the conductance [S] that the law refers to: of the memristor and its series resistance together."""
        if self.series_resistance == 0.0:
            return conductance
        return np.asarray(conductance / (1.0 + conductance * self.series_resistance))

    def memristor_conductance(self, mesh_conductance: Floats) -> Floats:
        """Return the inverse of :meth:`mesh_conductance` [S].

        Noise may make a cell read above the conductance of its series resistance alone: it then counts as a memristor
        of 1000 times the conductance that was read.
        """
        if self.series_resistance == 0.0:
            return mesh_conductance
        rest = 1.0 - mesh_conductance * self.series_resistance
        return np.asarray(mesh_conductance / np.maximum(rest, 1e-3))

    def spice(self, conductance: str, voltage: str) -> str:  # noqa: ARG002
        """Return the current [A] as an ngspice expression, from the texts of conductance [S] and voltage [V].

        Raises
        ------
        ValidationError
            If the law has no such expression: it cannot be audited then.
        """
        raise ValidationError("cell", "must say its law for SPICE: its class has no method spice", self.kind)


class LinearCell(CellLaw):
    """An ohmic 1R cell: ``I = G·V``."""

    linear: ClassVar[bool] = True
    kind: Literal["linear"] = "linear"

    def current(self, conductance: Floats, voltage: Floats) -> Floats:
        """Return the cell current [A] for conductance [S] and voltage [V], broadcast together."""
        return conductance * voltage

    def slope(self, conductance: Floats, voltage: Floats) -> Floats:
        """Return dI/dV [S], broadcast together."""
        return conductance * np.ones_like(voltage)

    def sensitivity(self, conductance: Floats, voltage: Floats) -> Floats:
        """Return dI/dG [V], broadcast together."""
        return np.ones_like(conductance) * voltage


class SinhCell(CellLaw):
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

    def sensitivity(self, conductance: Floats, voltage: Floats) -> Floats:
        """Return dI/dG [V], broadcast together."""
        return np.asarray(np.ones_like(conductance) * np.sinh(self.a * voltage) / self.a)

    @property
    def bend(self) -> float:
        """Voltage scale over which the law departs from its tangent [V]."""
        return 1.0 / self.a


class TransistorCell(CellLaw):
    """A 1T1R cell as it is read: the memristor in series with its transistor, ``I = V·G/(1 + G·R_on)``.

    While a tile is read all gates are high, and the transistors are far in their linear region: each is its resistance.
    A stuck cell is a stuck memristor; its transistor works. So a shorted memristor leaves ``1/R_on``; one of 0 S
    leaves an open cell, as does a transistor that never conducts.

    Parameters
    ----------
    on_resistance : float
        Resistance of the transistor between drain and source while the tile is read [Ω], >= 0.
    """

    linear: ClassVar[bool] = True
    kind: Literal["transistor"] = "transistor"
    on_resistance: float = pydantic.Field(ge=0.0)

    @property
    def series_resistance(self) -> float:
        """Resistance in series with the memristor [Ω]."""
        return self.on_resistance

    def current(self, conductance: Floats, voltage: Floats) -> Floats:
        """Return the cell current [A] for conductance [S] and voltage [V], broadcast together."""
        return self.mesh_conductance(conductance) * voltage

    def slope(self, conductance: Floats, voltage: Floats) -> Floats:
        """Return dI/dV [S], broadcast together."""
        return self.mesh_conductance(conductance) * np.ones_like(voltage)

    def sensitivity(self, conductance: Floats, voltage: Floats) -> Floats:
        """Return dI/dG [V], broadcast together."""
        return np.asarray(voltage / (1.0 + conductance * self.on_resistance) ** 2)


class SelectorCell(CellLaw):
    """A 1S1R cell: the memristor in series with a two-terminal selector that conducts from a threshold on.

    The selector's law is smooth, exponential and the same for both polarities [our assumption]: a current of
    ``threshold_current`` at the voltage ``threshold``, which falls tenfold for every ``swing`` below,

        ``I = I_th·sinh(V_s/V_0)/sinh(V_th/V_0)``,   ``V_0 = swing/ln 10``,   ``I = G·(V - V_s)``

    where V_s is the part of the cell's voltage V across the selector. A stuck cell is a stuck memristor; its selector
    works. So a shorted memristor leaves only the selector, and a memristor of 0 S leaves an open cell.

    Parameters
    ----------
    threshold : float
        Voltage V_th of the selector [V], > 0 and at most 80 swings.
    threshold_current : float
        Its current I_th there [A], in [1e-12, 1].
    swing : float
        Voltage for a tenfold increase of the current [V], > 0.
    """

    kind: Literal["selector"] = "selector"
    threshold: float = pydantic.Field(gt=0.0)
    threshold_current: float = pydantic.Field(default=1e-6, ge=1e-12, le=1.0)
    swing: float = pydantic.Field(default=0.08, gt=0.0)

    @pydantic.model_validator(mode="after")
    def _check_steepness(self) -> SelectorCell:
        if self.threshold > 80.0 * self.swing:
            raise ValidationError("threshold", f"must be <= 80 times swing (={self.swing:g})", self.threshold)
        return self

    @property
    def bend(self) -> float:
        """Voltage scale V_0 over which the law departs from its tangent [V]."""
        return self.swing / float(np.log(10.0))

    @property
    def leak(self) -> float:
        """Current scale of the selector, ``I_th/sinh(V_th/V_0)`` [A]."""
        return self.threshold_current / float(np.sinh(self.threshold / self.bend))

    def current(self, conductance: Floats, voltage: Floats) -> Floats:
        """Return the cell current [A] for conductance [S] and voltage [V], broadcast together."""
        return np.asarray(conductance * selector_cell(conductance, voltage, self.leak, self.bend)[0])

    def slope(self, conductance: Floats, voltage: Floats) -> Floats:
        """Return dI/dV [S], broadcast together."""
        return np.asarray(conductance * selector_cell(conductance, voltage, self.leak, self.bend)[1])

    def sensitivity(self, conductance: Floats, voltage: Floats) -> Floats:
        """Return dI/dG [V], broadcast together."""
        across, share = selector_cell(conductance, voltage, self.leak, self.bend)
        return np.asarray(across * share)


def _declared(value: Any) -> Any:
    """Return the declared cell, of the class that its ``kind`` names."""
    if isinstance(value, CellLaw):
        return value
    if not isinstance(value, dict):
        raise ValueError("must be a table that says its kind")
    kind = value.get("kind")
    if not isinstance(kind, str):
        raise ValueError("must be a table that says its kind")
    return registry.find("cells", kind, "kind")(**value)


Cell = Annotated[pydantic.SerializeAsAny[CellLaw], pydantic.BeforeValidator(_declared)]
"""A law of any kind that the registry knows."""
