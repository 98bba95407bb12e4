"""The declared converters: DACs on the word lines, transimpedance amplifiers and ADCs on the bit lines."""

from __future__ import annotations

from math import exp, pi
from typing import Literal

import pydantic

from circuitmem.config.base import Spec
from circuitmem.config.quantity import Duration, Energy, Power, Voltage
from circuitmem.errors import ValidationError

__all__ = ["AdcSpec", "ConverterSpec", "DacSpec", "TiaSpec"]


class DacSpec(Spec):
    """One voltage-mode R-2R ladder DAC with an output buffer on every word line.

    Parameters
    ----------
    bits : int
        Resolution, 1 to 16.
    input : {"parallel", "serial"}
        Whether a word line gets all bits of an input at once, as one of 2^bits levels, or one bit after another. With
        ``serial``, a product takes ``bits`` reads, each with some word lines at full scale and the others at 0; their
        results are shifted and added digitally. Inputs that are only on or off take a single read either way.
    full_scale : float
        Nominal output of the highest code [V], > 0.
    unit_resistance : float
        R of the ladder [Ω], > 0.
    resistor_mismatch : float
        Standard deviation of each ladder resistor relative to its nominal value, in [0, 0.1].
    switch_resistance : float
        On-resistance of the switch in every leg, to ground and to the reference alike [Ω], >= 0; the legs are not
        resized to compensate for it, so it causes INL.
    gain_error : float
        Standard deviation of the buffers' relative gain error, in [0, 0.5].
    offset_error : float
        Standard deviation of the buffers' output offset [V], >= 0.
    settling_time : float
        Time from a new code to a settled word line [s], > 0.
    energy_per_conversion : float
        Energy of one conversion of one DAC [J], >= 0.
    """

    bits: int = pydantic.Field(default=8, ge=1, le=16)
    input: Literal["parallel", "serial"] = "parallel"
    full_scale: Voltage = 0.2
    unit_resistance: float = pydantic.Field(default=10e3, gt=0.0)
    resistor_mismatch: float = pydantic.Field(default=0.0, ge=0.0, le=0.1)
    switch_resistance: float = pydantic.Field(default=0.0, ge=0.0)
    gain_error: float = pydantic.Field(default=0.0, ge=0.0, le=0.5)
    offset_error: float = pydantic.Field(default=0.0, ge=0.0)
    settling_time: Duration = 10e-9
    energy_per_conversion: Energy = 1e-12

    @property
    def levels(self) -> int:
        """Number of codes, 2^bits."""
        return 1 << self.bits

    @property
    def plane_weights(self) -> tuple[float, ...]:
        """Weights of the reads of an input in its sum, in order: one read, or one per bit, lowest bit first."""
        if self.input == "parallel":
            return (1.0,)
        return tuple((1 << bit) / (self.levels - 1) for bit in range(self.bits))

    @property
    def reference_voltage(self) -> float:
        """Ladder reference [V] for which the highest code of a perfect ladder gives ``full_scale``."""
        return self.full_scale * self.levels / (self.levels - 1)


class TiaSpec(Spec):
    """The transimpedance amplifier at the foot of every bit line.

    Parameters
    ----------
    feedback_resistance : float
        R_f [Ω], > 0.
    open_loop_gain : float
        DC gain A of the operational amplifier, >= 1. The "virtual" ground has an input resistance R_f/(1 + A).
    input_offset : float
        Standard deviation of the operational amplifiers' input offset [V], >= 0. It holds the "virtual" ground away
        from 0 V, and so drives a current through the cells; with cells that are not linear it must be 0.
    gain_bandwidth : float, optional
        Gain-bandwidth product of the operational amplifier [Hz], > 0; left out, it responds instantly.
    settling_time : float
        Time for line and amplifier to settle [s], > 0.
    power : float
        Supply power of one amplifier while a read lasts [W], >= 0.
    """

    feedback_resistance: float = pydantic.Field(default=200.0, gt=0.0)
    open_loop_gain: float = pydantic.Field(default=1e4, ge=1.0)
    input_offset: float = pydantic.Field(default=0.0, ge=0.0)
    gain_bandwidth: float | None = pydantic.Field(default=None, gt=0.0)
    settling_time: Duration = 10e-9
    power: Power = 50e-6

    @property
    def input_resistance(self) -> float:
        """Resistance of the virtual ground [Ω], R_f/(1 + A)."""
        return self.feedback_resistance / (1.0 + self.open_loop_gain)

    @property
    def transimpedance(self) -> float:
        """Magnitude of output voltage per column current [Ω], R_f·A/(1 + A)."""
        return self.feedback_resistance * self.open_loop_gain / (1.0 + self.open_loop_gain)

    @property
    def time_constant(self) -> float:
        """Time constant from column current to output [s], A/((1 + A)·2π·GBW); 0 without a gain-bandwidth."""
        if self.gain_bandwidth is None:
            return 0.0
        return self.open_loop_gain / ((1.0 + self.open_loop_gain) * 2.0 * pi * self.gain_bandwidth)

    @property
    def input_inductance(self) -> float:
        """Inductance of the "virtual" ground [H]; its rising impedance delays the column current itself."""
        return self.transimpedance * self.time_constant


class AdcSpec(Spec):
    """Saturating, mid-tread ADCs, each multiplexed over ``share`` neighbouring columns, behind a programmable gain.

    Parameters
    ----------
    bits : int
        Resolution, 1 to 16.
    minimum, maximum : float
        Input voltages of the lowest and of the highest code [V], minimum < maximum.
    gain_error : float
        Standard deviation of the channels' relative gain error, in [0, 0.5].
    offset_error : float
        Standard deviation of the channels' input offset [V], >= 0.
    noise : float
        Standard deviation of the input-referred noise of one conversion [V], >= 0.
    architecture : {"flash", "sar"}
        A comparator for every threshold, or successive approximation with binary-weighted capacitors.
    threshold_mismatch : float
        Flash only: standard deviation of each channel's thresholds [LSB], in [0, 2]; it causes INL and DNL.
    capacitor_mismatch : float
        SAR only: standard deviation of the unit capacitor relative to its nominal value, in [0, 0.2]; a capacitor of
        ``2^k`` units has ``2^(-k/2)`` of it.
    comparator_offset : float
        SAR only: standard deviation of the comparators' input offset [V], >= 0.
    unit_capacitance : float
        SAR only: the unit capacitor [F], > 0.
    sample_resistance : float
        On-resistance of the sample-and-hold's switch [Ω], >= 0.
    sample_capacitance : float
        Its capacitor, empty before each sample [F], > 0.
    sample_time : float
        Time for which its switch is closed, within ``conversion_time`` [s], > 0.
    share : int
        Columns converted one after another by one ADC, >= 1.
    conversion_time : float
        Time of one conversion [s], > 0.
    energy_per_conversion : float
        Energy of one conversion [J], >= 0.
    """

    bits: int = pydantic.Field(default=8, ge=1, le=16)
    minimum: float = 0.0
    maximum: float = 1.0
    gain_error: float = pydantic.Field(default=0.0, ge=0.0, le=0.5)
    offset_error: float = pydantic.Field(default=0.0, ge=0.0)
    noise: float = pydantic.Field(default=0.0, ge=0.0)
    architecture: Literal["flash", "sar"] = "flash"
    threshold_mismatch: float = pydantic.Field(default=0.0, ge=0.0, le=2.0)
    capacitor_mismatch: float = pydantic.Field(default=0.0, ge=0.0, le=0.2)
    comparator_offset: float = pydantic.Field(default=0.0, ge=0.0)
    unit_capacitance: float = pydantic.Field(default=5e-15, gt=0.0)
    sample_resistance: float = pydantic.Field(default=0.0, ge=0.0)
    sample_capacitance: float = pydantic.Field(default=1e-12, gt=0.0)
    sample_time: float = pydantic.Field(default=4e-9, gt=0.0)
    share: int = pydantic.Field(default=8, ge=1)
    conversion_time: Duration = 20e-9
    energy_per_conversion: Energy = 2e-12

    @pydantic.model_validator(mode="after")
    def _check_range(self) -> AdcSpec:
        if self.minimum >= self.maximum:
            raise ValidationError("maximum", f"must be > minimum (={self.minimum:g} V)", self.maximum)
        return self

    @pydantic.model_validator(mode="after")
    def _check_architecture(self) -> AdcSpec:
        others = ("threshold_mismatch",) if self.architecture == "sar" else ("capacitor_mismatch", "comparator_offset")
        for name in others:
            if getattr(self, name) != 0.0:
                raise ValidationError(name, f'must be 0 with architecture "{self.architecture}"', getattr(self, name))
        return self

    @property
    def highest_code(self) -> int:
        """2^bits - 1."""
        return (1 << self.bits) - 1

    @property
    def lsb(self) -> float:
        """Width of one code [V]."""
        return (self.maximum - self.minimum) / self.highest_code

    @property
    def hold_factor(self) -> float:
        """Fraction of its input that the sample-and-hold has reached when its switch opens; 1 without resistance."""
        if self.sample_resistance == 0.0:
            return 1.0
        return 1.0 - exp(-self.sample_time / (self.sample_resistance * self.sample_capacitance))


class ConverterSpec(Spec):
    """All converters of a tile."""

    dac: DacSpec = DacSpec()
    tia: TiaSpec = TiaSpec()
    adc: AdcSpec = AdcSpec()
