"""Devices whose conductance follows the number of pulses that they have had (NeuroSim); the published six by name."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import pydantic

from circuitmem.config.device import DeviceSpec
from circuitmem.config.quantity import Conductance, Duration, Voltage
from circuitmem.errors import ValidationError
from circuitmem.validation import did_you_mean

__all__ = ["PulseUpdateSpec"]


def _device(
    states: int,
    up: float,
    down: float,
    on: float,
    ratio: float,
    noise: float,
    pulses: tuple[float, float, float, float],
) -> dict[str, Any]:
    """Return the parameters for an on-resistance [Ω], and pulses of (up V, up s, down V, down s)."""
    return {
        "states": states,
        "potentiation": up,
        "depression": down,
        "minimum_conductance": 1.0 / (on * ratio),
        "maximum_conductance": 1.0 / on,
        "cycle_noise": noise,
        "set_voltage": pulses[0],
        "set_time": pulses[1],
        "reset_voltage": pulses[2],
        "reset_time": pulses[3],
    }


class PulseUpdateSpec(DeviceSpec):
    """A device that a pulse moves along one of two curves, up or down (MLP+NeuroSim V3.0; Chen, Peng & Yu, IEDM 2017).

    After P of P_max pulses from the bottom, or with P pulses left to the bottom (P_max is ``states``, or
    ``states_down``),

        ``G_up = B(1 - e^(-P/A)) + G_min``,   ``G_down = G_max - B(1 - e^((P - P_max)/A))``,
        ``B = (G_max - G_min)/(1 - e^(-P_max/A))``

    where A follows from the nonlinearity of each direction (:func:`circuitmem.device.steepness`). Each pulse adds
    noise of ``cycle_noise`` times the range, normally distributed, and the conductance stays within the range.

    Parameters
    ----------
    minimum_conductance, maximum_conductance : float
        Range [S]; 0 < minimum < maximum.
    states : int
        Pulses from the bottom of the range to its top, 2 to 10,000.
    states_down : int, optional
        Pulses from the top to the bottom, 2 to 10,000; as many as up when left out.
    potentiation : float
        Nonlinearity of the way up as NeuroSim counts it, from -7 to 9: at 0 the curve is straight; above 0 pulses do
        less and less, below 0 more and more.
    depression : float
        Nonlinearity of the way down, from -9 to 7: at 0 the curve is straight; below 0 pulses do less and less, above 0
        more and more.
    cycle_noise : float
        Standard deviation of the noise of one pulse, relative to the range, in [0, 1].
    nonlinearity_spread : float
        Device-to-device standard deviation of both nonlinearities, >= 0; they keep their sign and their bounds.
    set_voltage, reset_voltage : float
        Amplitude of pulses up and down on the line [V], > 0.
    set_time, reset_time : float
        Width of the pulses, including what the drivers need to settle [s], > 0.

    Notes
    -----
    ``published = "EpiRAM"`` in a TOML file, or ``PulseUpdateSpec.preset("EpiRAM")``, starts from one of the six devices
    of the manual: conductances, states, nonlinearities, and noise [P]; "< 1 %" counts as 1 %. Its widths and amplitudes
    are known for four of them [P]; those of TaOx/TiO2 and PCMO are quoted from memory [I].
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "Ag:a-Si": _device(97, 2.4, -4.88, 26e6, 12.5, 0.035, (3.2, 300e-6, 2.8, 300e-6)),
        "TaOx/TiO2": _device(102, 1.85, -1.79, 5e6, 2.0, 0.01, (3.0, 40e-3, 3.0, 10e-3)),
        "TaOx/HfOx": _device(128, 0.04, -0.63, 100e3, 10.0, 0.037, (1.6, 50e-9, 1.6, 50e-9)),
        "PCMO": _device(50, 3.68, -6.76, 23e6, 6.84, 0.01, (2.0, 1e-3, 2.0, 1e-3)),
        "AlOx/HfO2": _device(40, 1.94, -0.61, 16.9e3, 4.43, 0.05, (0.9, 100e-6, 1.0, 100e-6)),
        "EpiRAM": _device(64, 0.5, -0.5, 81e3, 50.2, 0.02, (5.0, 5e-6, 3.0, 5e-6)),
    }

    kind: Literal["pulse-update"] = "pulse-update"
    minimum_conductance: Conductance = PRESETS["EpiRAM"]["minimum_conductance"]
    maximum_conductance: Conductance = PRESETS["EpiRAM"]["maximum_conductance"]
    states: int = pydantic.Field(default=64, ge=2, le=10_000)
    states_down: int | None = pydantic.Field(default=None, ge=2, le=10_000)
    potentiation: float = pydantic.Field(default=0.5, ge=-7.0, le=9.0)
    depression: float = pydantic.Field(default=-0.5, ge=-9.0, le=7.0)
    cycle_noise: float = pydantic.Field(default=0.02, ge=0.0, le=1.0)
    nonlinearity_spread: float = pydantic.Field(default=0.0, ge=0.0)
    set_voltage: Voltage = 5.0
    reset_voltage: Voltage = 3.0
    set_time: Duration = 5e-6
    reset_time: Duration = 5e-6

    @property
    def pulses_down(self) -> int:
        """Pulses from the top of the range to its bottom."""
        return self.states if self.states_down is None else self.states_down

    @classmethod
    def preset(cls, name: str) -> Self:
        """Return one of the published devices.

        Raises
        ------
        ValidationError
            If there is no device of that name.
        """
        return cls(**cls._published("preset", name))

    @classmethod
    def _published(cls, key: str, name: object) -> dict[str, Any]:
        if not isinstance(name, str) or name not in cls.PRESETS:
            known = ", ".join(cls.PRESETS)
            raise ValidationError(key, f"must be one of {known}{did_you_mean(str(name), cls.PRESETS)}", name)
        return cls.PRESETS[name]

    @pydantic.model_validator(mode="before")
    @classmethod
    def _start_from_published(cls, values: object) -> object:
        if not isinstance(values, dict) or "published" not in values:
            return values
        own = {key: value for key, value in values.items() if key != "published"}
        return cls._published("published", values["published"]) | own
