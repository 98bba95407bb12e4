"""Devices whose state follows a differential equation: VTEAM, Yakopcic, Stanford-PKU; published sets by name.

Linear ion drift, another of them, has a file of its own.

Voltages are those of the word-line side relative to the bit-line side. Marks as in the design's list of sources: [P]
read in a primary source, [D] from a digest of one, [I] our choice.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import pydantic

from circuitmem import registry
from circuitmem.config.base import Spec
from circuitmem.config.cell import LinearCell, SinhCell
from circuitmem.config.ion_drift import IonDriftSpec
from circuitmem.config.published import PublishedSets
from circuitmem.config.verilog_a import TabulatedSpec, VerilogASpec
from circuitmem.errors import ValidationError
from circuitmem.validation import did_you_mean

__all__ = ["IonDriftSpec", "OdeDevice", "StanfordSpec", "VteamSpec", "YakopcicSpec"]

_Positive = Annotated[float, pydantic.Field(gt=0.0)]


class VteamSpec(PublishedSets):
    """VTEAM: thresholds and powers of the voltage (Kvatinsky et al., TCAS-II 62:786, 2015).

    State s = (w - w_on)/(w_off - w_on): 0 is ``on_resistance``, 1 is ``off_resistance``; a positive voltage switches
    towards off::

        V > off_voltage:  ds/dt = off_speed/length (V/off_voltage - 1)^off_power (1 - s^2p)
        V < on_voltage:   ds/dt = on_speed/length  (V/on_voltage - 1)^on_power   (1 - (1 - s)^2p)
        between:          ds/dt = 0

    The last factors are Biolek's window (Radioengineering 18:210, 2009), which ends the motion at the limits; the
    published sets do not specify a window, so its exponent p is our choice [I].

    Parameters
    ----------
    on_resistance, off_resistance : float
        Resistances at the limits [Ω]; 0 < on < off.
    on_speed : float
        k_on [m/s], < 0.
    off_speed : float
        k_off [m/s], > 0.
    on_voltage : float
        Threshold of switching on [V], < 0.
    off_voltage : float
        Threshold of switching off [V], > 0.
    on_power, off_power : float
        Exponents alpha, >= 1.
    length : float
        Range of the state w_off - w_on [m], > 0.
    resistance : {"linear", "exponential"}
        How the resistance goes from on to off along s.
    window_power : float
        p of the window, >= 1.
    """

    kind: Literal["vteam"] = "vteam"
    on_resistance: _Positive
    off_resistance: _Positive
    on_speed: float = pydantic.Field(lt=0.0)
    off_speed: _Positive
    on_voltage: float = pydantic.Field(lt=0.0)
    off_voltage: _Positive
    on_power: float = pydantic.Field(ge=1.0)
    off_power: float = pydantic.Field(ge=1.0)
    length: _Positive = 3e-9
    resistance: Literal["linear", "exponential"] = "linear"
    window_power: float = pydantic.Field(default=2.0, ge=1.0)

    SOURCE: ClassVar[str] = "doi 10.1109/TCSII.2015.2433536"
    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        # Kvatinsky 2015 and code in public use [P, code].
        "A": {
            "on_resistance": 1e3,
            "off_resistance": 300e3,
            "on_speed": -216.2,
            "off_speed": 0.091,
            "on_voltage": -1.5,
            "off_voltage": 0.3,
            "on_power": 4.0,
            "off_power": 4.0,
        },
        # The same sources [P, code]; the length of set A is taken for it too [I].
        "B": {
            "on_resistance": 50.0,
            "off_resistance": 1000.0,
            "on_speed": -10.0,
            "off_speed": 5e-4,
            "on_voltage": -0.2,
            "off_voltage": 0.02,
            "on_power": 3.0,
            "off_power": 1.0,
        },
    }

    @pydantic.model_validator(mode="after")
    def _check_range(self) -> VteamSpec:
        if self.on_resistance >= self.off_resistance:
            raise ValidationError(
                "off_resistance", f"must be > on_resistance (={self.on_resistance:g})", self.off_resistance
            )
        return self

    @property
    def cell(self) -> LinearCell:
        """The static law of a tile of such devices."""
        return LinearCell()

    @property
    def set_sign(self) -> int:
        """Sign of a voltage that raises the conductance."""
        return -1


class YakopcicSpec(PublishedSets):
    """Yakopcic's generalised device (Yakopcic et al., TCAD 32:1201, 2013).

    State s = x: 0 is off, 1 is on::

        I = a1 x sinh(b V),  V >= 0;    a2 x sinh(b V),  V < 0
        dx/dt = eta g(V) f(x)
        g = Ap (e^V - e^Vp), V > Vp;    -An (e^-V - e^Vn), V < -Vn;    0 between
        f, rising:   1 for x < xp,      else e^(-alpha_p (x - xp)) (1 - x)/(1 - xp)
        f, falling:  1 for x > 1 - xn,  else e^(alpha_n (x - 1 + xn)) x/(1 - xn)

    Parameters
    ----------
    a1, a2 : float
        Amplitudes of the current [A], > 0.
    b : float
        Non-linearity [1/V], > 0.
    positive_threshold, negative_threshold : float
        Vp, Vn [V], >= 0.
    positive_rate, negative_rate : float
        Ap, An [1/s], > 0.
    positive_limit, negative_limit : float
        xp, xn, in (0, 1).
    positive_decay, negative_decay : float
        alpha_p, alpha_n, >= 0.
    direction : {1, -1}
        eta: 1 if positive voltages raise the conductance.
    initial_state : float
        x0, in [0, 1].
    """

    kind: Literal["yakopcic"] = "yakopcic"
    a1: _Positive
    a2: _Positive
    b: _Positive
    positive_threshold: float = pydantic.Field(ge=0.0)
    negative_threshold: float = pydantic.Field(ge=0.0)
    positive_rate: _Positive
    negative_rate: _Positive
    positive_limit: float = pydantic.Field(gt=0.0, lt=1.0)
    negative_limit: float = pydantic.Field(gt=0.0, lt=1.0)
    positive_decay: float = pydantic.Field(ge=0.0)
    negative_decay: float = pydantic.Field(ge=0.0)
    direction: Literal[1, -1] = 1
    initial_state: float = pydantic.Field(default=0.11, ge=0.0, le=1.0)

    SOURCE: ClassVar[str] = "doi 10.1109/TCAD.2013.2252057"
    _OBLEA: ClassVar[dict[str, Any]] = {
        "a1": 0.17,
        "a2": 0.17,
        "b": 0.05,
        "positive_threshold": 0.16,
        "negative_threshold": 0.15,
        "positive_rate": 4000.0,
        "negative_rate": 4000.0,
        "positive_limit": 0.3,
        "negative_limit": 0.5,
        "positive_decay": 1.0,
        "negative_decay": 5.0,
        "initial_state": 0.11,
    }
    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        # Both from the authors' public subcircuits [P, code].
        "Oblea": _OBLEA,
        "Miao": _OBLEA
        | {
            "a1": 0.11,
            "a2": 0.11,
            "b": 0.5,
            "positive_threshold": 0.09,
            "negative_threshold": 0.75,
            "positive_rate": 7.5,
            "negative_rate": 2.0,
        },
    }

    @property
    def cell(self) -> SinhCell:
        """The static law of a tile of such devices (that for V >= 0)."""
        return SinhCell(a=self.b)

    @property
    def set_sign(self) -> int:
        """Sign of a voltage that raises the conductance."""
        return self.direction


class StanfordSpec(PublishedSets):
    """Stanford-PKU RRAM model 1.0 (Jiang et al., SISPAD 2014; code doi 10.4231/D37H1DN48), without its noise.

    State s = (gap - minimum_gap)/(maximum_gap - minimum_gap): 0 is on, 1 is off; a positive voltage closes the gap::

        I = I0 e^(-gap/g0) sinh(V/V0)
        d gap/dt = -velocity e^(-Ea/kT) sinh(gamma a0 q V/(thickness k T))
        gamma = gamma0 - beta (gap/1 nm)^3,    T = T0 + |V I| Rth

    The published code clips the gap at its limits. Here the speed falls linearly to 0 within the last ``edge`` of the
    range, so that both engines can follow it [I]. The code's minimum field for motion is left out.

    Parameters
    ----------
    current : float
        I0 [A], > 0.
    current_gap : float
        g0 [m], > 0.
    current_voltage : float
        V0 [V], > 0.
    velocity : float
        Vel0 [m/s], > 0.
    activation : float
        Ea [eV], > 0.
    gamma0, beta : float
        Enhancement of the field, and how it falls with the gap; gamma must stay > 0.
    hop : float
        a0 [m], > 0.
    thickness : float
        Thickness of the oxide [m], > 0.
    thermal_resistance : float
        Rth [K/W], >= 0.
    temperature : float
        T0 [K], > 0.
    minimum_gap, maximum_gap : float
        Limits of the gap [m]; 0 < minimum < maximum.
    edge : float
        Fraction of the range over which the motion slows down to 0, in (0, 0.5].
    """

    kind: Literal["stanford"] = "stanford"
    current: _Positive
    current_gap: _Positive
    current_voltage: _Positive
    velocity: _Positive
    activation: _Positive
    gamma0: _Positive
    beta: float = pydantic.Field(ge=0.0)
    hop: _Positive
    thickness: _Positive
    thermal_resistance: float = pydantic.Field(ge=0.0)
    temperature: float = pydantic.Field(default=298.0, gt=0.0)
    minimum_gap: _Positive = 0.2e-9
    maximum_gap: _Positive = 1.7e-9
    edge: float = pydantic.Field(default=0.02, gt=0.0, le=0.5)

    SOURCE: ClassVar[str] = "doi 10.4231/D37H1DN48"
    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        # Defaults of the published Verilog-A code, version 1.0 [P, code].
        "1.0": {
            "current": 1e-3,
            "current_gap": 0.25e-9,
            "current_voltage": 0.25,
            "velocity": 10.0,
            "activation": 0.6,
            "gamma0": 16.0,
            "beta": 0.8,
            "hop": 0.25e-9,
            "thickness": 12e-9,
            "thermal_resistance": 2.1e3,
        },
    }

    @pydantic.model_validator(mode="after")
    def _check_range(self) -> StanfordSpec:
        if self.minimum_gap >= self.maximum_gap:
            raise ValidationError("maximum_gap", f"must be > minimum_gap (={self.minimum_gap:g})", self.maximum_gap)
        highest = self.gamma0 / (self.maximum_gap * 1e9) ** 3
        if self.beta >= highest:
            raise ValidationError("beta", f"must be < gamma0/(maximum_gap/1 nm)^3 (={highest:g})", self.beta)
        return self

    @property
    def cell(self) -> SinhCell:
        """The static law of a tile of such devices."""
        return SinhCell(a=1.0 / self.current_voltage)

    @property
    def set_sign(self) -> int:
        """Sign of a voltage that raises the conductance."""
        return 1


_KINDS: dict[str, type[Spec]] = {
    "vteam": VteamSpec,
    "yakopcic": YakopcicSpec,
    "stanford": StanfordSpec,
    "ion-drift": IonDriftSpec,
    "verilog-a": VerilogASpec,
}


def _declared(value: Any) -> Any:
    """Return the declared device, of the class that its ``kind`` names."""
    if not isinstance(value, dict):
        return value
    kind = value.get("kind")
    if not isinstance(kind, str):
        raise ValueError("must be a table that says its kind")
    if registry.is_reference(kind):
        found = registry.load(kind, "kind")
        if not (isinstance(found, type) and issubclass(found, TabulatedSpec)):
            raise ValidationError("kind", "must name a subclass of circuitmem.config.TabulatedSpec", kind)
        return found(**value)
    if kind not in _KINDS:
        raise ValidationError("kind", f"must be one of {', '.join(_KINDS)}{did_you_mean(kind, _KINDS)}", kind)
    return _KINDS[kind](**value)


OdeDevice = Annotated[
    VteamSpec | YakopcicSpec | StanfordSpec | IonDriftSpec | pydantic.SerializeAsAny[TabulatedSpec],
    pydantic.BeforeValidator(_declared),
]
