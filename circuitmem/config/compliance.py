"""The two-pulse 1T1R cell as a circuit: a device that switches, and the transistor that limits its current."""

from __future__ import annotations

from typing import Annotated, Self

import pydantic

from circuitmem.config.base import Spec
from circuitmem.config.device import TwoPulseSpec
from circuitmem.config.ode_device import VteamSpec
from circuitmem.errors import ValidationError
from circuitmem.validation import in_range

__all__ = ["ComplianceCell"]

_Positive = Annotated[float, pydantic.Field(gt=0.0)]

_SETTLING = 10.0
"""How often a device could cross its whole range in a SET, if its overdrive were the transistor's own voltage.

The overdrive shrinks towards the end, so the pulse ends settled to 1e-4 of the range."""


class ComplianceCell(Spec):
    """A VTEAM device between a word line and a transistor, whose other end is the bit line.

    A SET pulse (word line high) lowers the device's resistance as long as the voltage across it is beyond its
    threshold. The gate voltage limits the transistor's current and so sets where this ends: at ``G = I/V_stop``, where
    ``V_stop`` is the threshold and I the current of the transistor at the rest of the pulse's voltage. A RESET pulse
    (bit line high, gate at ``reset_gate``) brings the device back.

    The transistor is a MOSFET of SPICE's level 1 without body effect, ``I = gain/2·(u_s² - u_d²)``, where u is the gate
    voltage minus the threshold and minus the voltage of source or drain, or 0 where that is negative.

    Parameters
    ----------
    device : VteamSpec
        The device.
    gain : float
        Gain of the transistor, ``KP·W/L`` [A/V²], > 0.
    threshold : float
        Threshold of the transistor [V].
    set_voltage, reset_voltage : float
        Amplitudes of the pulses [V], > 0; the first beyond the device's threshold.
    reset_gate : float
        Gate voltage of a RESET [V].
    set_time, reset_time : float
        Widths of the pulses [s], > 0.
    """

    device: VteamSpec
    gain: _Positive
    threshold: float
    set_voltage: _Positive = 2.5
    reset_voltage: _Positive = 1.7
    reset_gate: _Positive = 5.0
    set_time: _Positive = 500e-9
    reset_time: _Positive = 500e-9

    @pydantic.model_validator(mode="after")
    def _check_overdrive(self) -> ComplianceCell:
        if self.set_voltage <= -self.device.on_voltage:
            rule = f"must be > {-self.device.on_voltage:g}, the threshold of the device"
            raise ValidationError("set_voltage", rule, self.set_voltage)
        return self

    @classmethod
    def of(cls, spec: TwoPulseSpec, drain_voltage: float = 0.1) -> Self:
        """Return a cell that follows the law of two-pulse programming.

        While the transistor is in its linear region its current, and so the conductance that a SET leaves, is linear in
        the gate voltage. The law then determines its gain and threshold, given its voltage at the end of the SET. At
        low gate voltages the transistor saturates: there the cell conducts more than the law says, by at most
        ``slope·drain_voltage/8``.

        Parameters
        ----------
        spec : TwoPulseSpec
            The law, and the pulses.
        drain_voltage : float
            Voltage of the transistor at the end of a SET [V], from 1 mV to half of that of the pulse.

        Raises
        ------
        ValidationError
            If ``drain_voltage`` breaks its rule.
        """
        drain = in_range("drain_voltage", drain_voltage, 1e-3, 0.5 * spec.set_voltage)
        stop, length = spec.set_voltage - drain, 3e-9
        device = VteamSpec(
            on_resistance=0.5 / spec.maximum_conductance,
            off_resistance=2.0 / spec.minimum_conductance,
            on_speed=-_SETTLING * stop / drain * length / spec.set_time,
            off_speed=100.0 * length / spec.reset_time,
            on_voltage=-stop,
            off_voltage=0.3 * spec.reset_voltage,
            on_power=1.0,
            off_power=1.0,
            length=length,
            resistance="exponential",
        )
        return cls(
            device=device,
            gain=spec.slope * stop / drain,
            threshold=spec.minimum_gate - spec.minimum_conductance / spec.slope - 0.5 * drain,
            set_voltage=spec.set_voltage,
            reset_voltage=spec.reset_voltage,
            set_time=spec.set_time,
            reset_time=spec.reset_time,
        )

    @property
    def stop_voltage(self) -> float:
        """Voltage of the device at which its SET ends [V]."""
        return -self.device.on_voltage

    @property
    def edge(self) -> float:
        """Rise and fall time of the pulses [s], which their widths include."""
        return 0.01 * min(self.set_time, self.reset_time)

    def waves(self, gate: float) -> dict[str, list[tuple[float, float]]]:
        """Return corners (time [s], voltage [V]) of gate, word line and bit line: a RESET, then a SET at ``gate``.

        The gate moves in the first edge of a pulse, the lines in the second and in the last.
        """
        edge, middle, end = self.edge, self.reset_time, self.reset_time + self.set_time

        def pulse(start: float, stop: float, level: float) -> list[tuple[float, float]]:
            return [(start + edge, 0.0), (start + 2.0 * edge, level), (stop - edge, level), (stop, 0.0)]

        return {
            "gate": [
                (0.0, 0.0),
                (edge, self.reset_gate),
                (middle, self.reset_gate),
                (middle + edge, gate),
                (end, gate),
            ],
            "word": [(0.0, 0.0), *pulse(middle, end, self.set_voltage)],
            "bit": [(0.0, 0.0), *pulse(0.0, middle, self.reset_voltage)],
        }
