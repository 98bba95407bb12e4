"""Linear ion drift, the model of the first paper on memristors, with the windows that end its motion.

Marks as in :mod:`circuitmem.config.ode_device`.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import pydantic

from circuitmem.config.cell import LinearCell
from circuitmem.config.published import PublishedSets
from circuitmem.errors import ValidationError

__all__ = ["IonDriftSpec"]

_Positive = Annotated[float, pydantic.Field(gt=0.0)]


class IonDriftSpec(PublishedSets):
    """Linear ion drift (Strukov et al., Nature 453:80, 2008): a doped layer that the current makes wider or thinner.

    State s = w/D, the doped part of the film: 0 is off, 1 is on::

        R = on_resistance s + off_resistance (1 - s)
        ds/dt = mobility on_resistance/length^2  i  f(s, i)

        joglekar:  f = 1 - (2s - 1)^2p                          (Joglekar & Wolf, Eur. J. Phys. 30:661, 2009)
        biolek:    f = 1 - s^2p,  i >= 0;   1 - (1 - s)^2p,  i < 0    (Biolek et al., Radioengineering 18:210, 2009)

    There is no threshold: every current moves the state, reads and half-selected cells among them. Joglekar's window
    with p = 1 is four times that of Strukov, s(1 - s). It is 0 at both limits for either sign of the current: a device
    that reaches a limit stays there for ever, and one near a limit leaves it slowly. Biolek's is 0 only at the limit
    ahead, and 1 at the one behind: when the current reverses, a device leaves a limit at full speed. The price is that
    the state is not a function of the charge: the window jumps with the sign of the current, so a small alternating
    current makes a state drift (towards the middle).

    Parameters
    ----------
    on_resistance, off_resistance : float
        Resistances at the limits [Ω]; 0 < on < off.
    mobility : float
        Mobility of the dopants [m²/(V s)], > 0.
    length : float
        Thickness D of the film [m], > 0.
    window : {"joglekar", "biolek"}
        Window function that ends the motion at the limits.
    window_power : float
        p, >= 1.
    initial_state : float
        State at the beginning, in [0, 1]; for single devices.
    """

    kind: Literal["ion-drift"] = "ion-drift"
    on_resistance: _Positive
    off_resistance: _Positive
    mobility: _Positive
    length: _Positive
    window: Literal["joglekar", "biolek"] = "joglekar"
    window_power: float = pydantic.Field(default=1.0, ge=1.0)
    initial_state: float = pydantic.Field(default=0.1, ge=0.0, le=1.0)

    SOURCE: ClassVar[str] = "doi 10.1038/nature06932"
    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        # Strukov 2008, figure 2: 10 nm, 1e-10 cm2/(V s), R_off/R_on = 160 [P]; R_on and the window's p [I].
        "HP": {"on_resistance": 100.0, "off_resistance": 16e3, "mobility": 1e-14, "length": 10e-9},
        # A subcircuit in public use, which takes Biolek's window [code].
        "Biolek": {
            "on_resistance": 100.0,
            "off_resistance": 1e3,
            "mobility": 40e-15,
            "length": 16e-9,
            "window": "biolek",
            "window_power": 7.0,
            "initial_state": 0.076,
        },
    }

    @pydantic.model_validator(mode="after")
    def _check_range(self) -> IonDriftSpec:
        if self.on_resistance >= self.off_resistance:
            rule = f"must be > on_resistance (={self.on_resistance:g})"
            raise ValidationError("off_resistance", rule, self.off_resistance)
        return self

    @property
    def cell(self) -> LinearCell:
        """The static law of a tile of such devices."""
        return LinearCell()

    @property
    def set_sign(self) -> int:
        """Sign of a voltage that raises the conductance."""
        return 1
