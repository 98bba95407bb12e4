"""The declared programming behaviour of memristive devices."""

from __future__ import annotations

from functools import partial
from typing import Annotated, ClassVar, Literal

import pydantic

from circuitmem.config.base import Spec
from circuitmem.config.cell import CellLaw
from circuitmem.config.names import declaration
from circuitmem.config.quantity import LARGEST_CONDUCTANCE, Conductance, Duration, Voltage
from circuitmem.errors import ValidationError

__all__ = ["DeclaredDevice", "DeviceSpec", "TwoPulseSpec"]


class DeviceSpec(Spec):
    """Parameters that all kinds of devices have; your own kind adds its parameters.

    Parameters
    ----------
    kind : str
        Name of the kind (``circuitmem list devices``), or ``"package.module:Name"`` of its class.
    minimum_conductance, maximum_conductance : float
        Working range [S]; 0 < minimum < maximum.
    set_voltage, reset_voltage : float
        Amplitude of pulses up and down on the line [V], > 0.
    set_time, reset_time : float
        Width of the pulses, including what the drivers need to settle [s], > 0.
    """

    rule: ClassVar[str] = "pulse-count"
    """Update rule of a run with such devices, where the run declares none."""
    stateful: ClassVar[bool] = False
    """Whether a pulse's effect depends on the voltages in the whole tile: an engine computes it then."""

    kind: str
    minimum_conductance: Conductance
    maximum_conductance: Conductance
    set_voltage: Voltage
    reset_voltage: Voltage
    set_time: Duration
    reset_time: Duration

    @pydantic.model_validator(mode="after")
    def _check_conductances(self) -> DeviceSpec:
        if self.minimum_conductance >= self.maximum_conductance:
            rule = f"must be > minimum_conductance (={self.minimum_conductance:g})"
            raise ValidationError("maximum_conductance", rule, self.maximum_conductance)
        return self

    @property
    def programming_noise(self) -> float:
        """Standard deviation of programmed conductances about their targets [S], as training with noise injects it."""
        return 0.0

    @property
    def own_cell(self) -> CellLaw | None:
        """Static law of a tile with such devices, where the tile declares none; None if the devices imply none."""
        return None

    def check_cell(self, cell: CellLaw) -> None:
        """Raise :class:`ValidationError` if a tile of such devices cannot have this law."""


class TwoPulseSpec(DeviceSpec):
    """Gate-controlled two-pulse programming of a 1T1R cell (Li et al., Nat. Commun. 9:2385, 2018).

    A SET pulse leaves ``G = max(slope·V_g + intercept, G) + noise``, because the transistor's gate voltage V_g
    limits the current; a RESET pulse returns the cell to its high-resistance state. Defaults for pulse voltages,
    gate range and noise are those of the authors' simulator [P]; their law 98 µS/V·V_g + 120 µS is stretched here
    so that the gate range covers the working range of Liu et al. (DAC 2017), 1 to 300 µS [our assumption]. Pulse
    widths and the device-to-device spread are assumed.

    Parameters
    ----------
    minimum_conductance, maximum_conductance : float
        Working range [S]; 0 < minimum < maximum.
    minimum_gate, maximum_gate : float
        Gate voltages that leave those two conductances [V].
    slope_spread : float
        Device-to-device standard deviation of the slope of the law, relative, in [0, 0.5].
    set_noise : float
        Standard deviation of the conductance left by a SET pulse [S], >= 0.
    set_voltage, reset_voltage : float
        Amplitude of the pulses on the line [V], > 0.
    set_time, reset_time : float
        Width of the pulses, including what the drivers need to settle [s], > 0.
    """

    rule: ClassVar[str] = "two-pulse"

    kind: Literal["two-pulse"] = "two-pulse"
    minimum_conductance: Conductance = 1e-6
    maximum_conductance: Conductance = 300e-6
    minimum_gate: float = pydantic.Field(default=0.7, ge=0.0)
    maximum_gate: float = pydantic.Field(default=1.6, gt=0.0)
    slope_spread: float = pydantic.Field(default=0.02, ge=0.0, le=0.5)
    set_noise: float = pydantic.Field(default=4e-6, ge=0.0, le=LARGEST_CONDUCTANCE)
    set_voltage: Voltage = 2.5
    reset_voltage: Voltage = 1.7
    set_time: Duration = 500e-9
    reset_time: Duration = 500e-9

    @pydantic.model_validator(mode="after")
    def _check_gates(self) -> TwoPulseSpec:
        if self.minimum_gate >= self.maximum_gate:
            raise ValidationError("maximum_gate", f"must be > minimum_gate (={self.minimum_gate:g})", self.maximum_gate)
        return self

    @property
    def programming_noise(self) -> float:
        """Standard deviation of the conductance that a SET leaves [S]."""
        return self.set_noise

    @property
    def slope(self) -> float:
        """Conductance per gate voltage [S/V]."""
        return (self.maximum_conductance - self.minimum_conductance) / (self.maximum_gate - self.minimum_gate)


DeclaredDevice = Annotated[
    pydantic.SerializeAsAny[DeviceSpec],
    pydantic.BeforeValidator(partial(declaration, "devices", "two-pulse")),
]
"""A device of any kind that the registry knows."""
