"""Transimpedance amplifiers and ADCs: from column currents to codes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuitmem.config.converter import AdcSpec, TiaSpec
from circuitmem.converter.linearity import Linearity, linearity
from circuitmem.converter.successive import draw_capacitors, sar_thresholds
from circuitmem.rng import Purpose, stream
from circuitmem.validation import finite_array

__all__ = ["AdcBank"]

Floats = NDArray[np.float64]


class AdcBank:
    """The amplifiers and ADC channels of one tile, one per column, as fabricated.

    The amplifier turns a column current I into ``V = pga_gain·((R_f·A/(1 + A))·I - ends·ground_voltage)``. The channel
    turns V into ``u = (V·gain + offset)·hold_factor + noise``. The quantiser returns ``clip(round((u - minimum)/LSB),
    0, 2^bits - 1)``, ties to even; if it has its own thresholds, it returns the number of thresholds that u reaches. A
    dead channel always gives code 0. Channel errors are drawn per column: columns share ADCs, but each has its own
    amplifier.

    Parameters
    ----------
    spec : AdcSpec
        The design of the ADCs.
    tia : TiaSpec
        The design of the amplifiers in front of them.
    columns : int
        Number of channels.
    seed : int
        Seed for the random fabrication errors.
    key : tuple of int
        Identifies the bank on the chip.
    dead : (columns,) array_like of bool, optional
        Dead channels.
    ends : int
        Amplifiers per column, one for each sensed end of the bit line: 1 or 2. Two amplifiers share the same offset.

    Attributes
    ----------
    gain, offset : (columns,) ndarray
        True gain and offset [V] of each channel. Only the circuit may use them; calibration has to measure them.
    amplifier_offset : (columns,) ndarray
        Input offset of each column's operational amplifiers [V].
    capacitors : (columns, bits + 1) ndarray or None
        Capacitors of each SAR [F]: bit 0 first, then the higher bits, then the terminating capacitor.
    comparator_offset : (columns,) ndarray
        Input offset of each SAR's comparator [V].
    thresholds : (columns, 2^bits - 1) ndarray or None
        Threshold at which each code except the lowest begins, ascending [LSB above ``minimum``]. None means ideal
        thresholds, half-way between codes.
    noise : float
        Standard deviation of the noise of a conversion [V]: the designed value, or 0 while reads without noise are
        wanted.
    pga_gain : (columns,) ndarray
        Programmable gain before the ADC, set by :meth:`set_pga_gain`.
    """

    def __init__(
        self,
        spec: AdcSpec,
        tia: TiaSpec,
        columns: int,
        seed: int = 0,
        key: tuple[int, ...] = (),
        dead: NDArray[np.bool_] | None = None,
        ends: int = 1,
    ) -> None:
        rng = stream(seed, Purpose.ADC, *key)
        self.spec = spec
        self.tia = tia
        self.columns = columns
        self.gain = 1.0 + spec.gain_error * rng.standard_normal(columns)
        self.offset = spec.offset_error * rng.standard_normal(columns)
        self.alive = np.ones(columns, dtype=bool) if dead is None else ~dead
        self.noise = spec.noise
        self.pga_gain = np.ones(columns)
        self.ends = ends
        self.amplifier_offset = tia.input_offset * rng.standard_normal(columns)
        self.comparator_offset = spec.comparator_offset * rng.standard_normal(columns)
        self.capacitors: Floats | None = None
        self.thresholds: Floats | None = None
        if spec.architecture == "sar":
            drawn = draw_capacitors(rng, columns, spec.bits, spec.unit_capacitance, spec.capacitor_mismatch)
            self.capacitors, self.thresholds = drawn, sar_thresholds(drawn, self.comparator_offset / spec.lsb)
        elif spec.threshold_mismatch > 0.0:
            spread = spec.threshold_mismatch * rng.standard_normal((columns, spec.highest_code))
            # A flash ADC counts the comparators whose output is high, so its codes never decrease with the voltage.
            self.thresholds = np.sort(np.arange(spec.highest_code) + 0.5 + spread, axis=1)

    def set_pga_gain(self, pga_gain: ArrayLike) -> None:
        """Set the programmable gain, scalar or (columns,), > 0."""
        self.pga_gain = finite_array("pga_gain", np.broadcast_to(pga_gain, self.columns), minimum=1e-9)

    @contextmanager
    def at_gain(self, gain: float | None) -> Iterator[None]:
        """Set another programmable gain, > 0, inside a ``with`` statement; None leaves the gain as it is."""
        kept = self.pga_gain
        if gain is not None:
            self.set_pga_gain(gain)
        try:
            yield
        finally:
            self.pga_gain = kept

    @property
    def factor(self) -> Floats:
        """Voltage at each quantiser per ampere of column current, (columns,) V/A, at the present gain."""
        return self.pga_gain * self.tia.transimpedance * self.gain * self.spec.hold_factor

    @property
    def ground_voltage(self) -> Floats:
        """Voltage of each column's "virtual" ground when no current flows, (columns,) V."""
        return self.amplifier_offset * (self.tia.transimpedance / self.tia.feedback_resistance)

    @property
    def bias(self) -> Floats:
        """Voltage at each quantiser without current or noise, (columns,) V, at the present gain."""
        if self.tia.input_offset == 0.0:
            return self.offset * self.spec.hold_factor
        amplified = self.pga_gain * self.gain * (self.ends * self.ground_voltage)
        return (self.offset - amplified) * self.spec.hold_factor

    def linearity(self) -> Linearity:
        """Return INL, (columns, 2^bits - 1), and DNL, (columns, 2^bits - 2), of the thresholds in LSB."""
        even = np.tile(np.arange(self.spec.highest_code) + 0.5, (self.columns, 1))
        return linearity(even if self.thresholds is None else self.thresholds)

    def input_voltage(self, current: Floats, noise: Floats | None = None) -> Floats:
        """Return the voltage at each quantiser, (batch, columns) V, for column currents (batch, columns) A.

        Parameters
        ----------
        current : (batch, columns) ndarray
            Column currents [A].
        noise : (batch, columns) ndarray, optional
            Noise of each conversion [V].
        """
        voltage = current * self.factor + self.bias
        return voltage if noise is None else voltage + noise

    def codes(self, current: Floats, noise: Floats | None = None) -> NDArray[np.int64]:
        """Return the codes, (batch, columns), for column currents (batch, columns) A and noise (batch, columns) V.

        Raises
        ------
        ValidationError
            If a current is NaN; a current beyond the range saturates.
        """
        current = finite_array("current", current, allow_infinite=True, copy=False)
        steps = (self.input_voltage(current, noise) - self.spec.minimum) / self.spec.lsb
        if self.thresholds is None:
            codes = np.clip(np.rint(steps), 0, self.spec.highest_code).astype(np.int64)
        else:
            reached = [np.searchsorted(row, steps[:, j], side="right") for j, row in enumerate(self.thresholds)]
            codes = np.stack(reached, axis=1)
        return np.where(self.alive, codes, 0)

    def nominal_current(self, codes: ArrayLike, gain: float | None = None) -> Floats:
        """Return the column currents, (batch, columns) A, that ``codes`` stand for in perfect channels.

        ``gain`` is the programmable gain at which the codes were read; None means the present gain.
        """
        volts = np.asarray(codes) * self.spec.lsb + self.spec.minimum
        return np.asarray(volts / ((self.pga_gain if gain is None else gain) * self.tia.transimpedance))

    def saturated(self, codes: NDArray[np.int64]) -> int:
        """Count the codes at the upper end of the range."""
        return int(np.count_nonzero(codes == self.spec.highest_code))
