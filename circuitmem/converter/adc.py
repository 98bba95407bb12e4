"""Transimpedance amplifiers and ADCs: from column currents to codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuitmem.config.converter import AdcSpec, TiaSpec
from circuitmem.rng import Purpose, stream
from circuitmem.validation import finite_array

__all__ = ["AdcBank"]

Floats = NDArray[np.float64]


class AdcBank:
    """The amplifiers and ADC channels of one tile, one a column, as fabricated.

    A column current I becomes ``V = pga_gain·(R_f·A/(1 + A))·I``, the channel makes ``V·gain + offset + noise`` of
    it, and the quantiser ``clip(round((that - minimum)/LSB), 0, 2^bits - 1)``, ties to even. A dead channel always
    gives code 0.
    Channel errors are drawn per column, because each column has its own amplifier, though columns share ADCs.

    Parameters
    ----------
    spec : AdcSpec
        What was designed.
    tia : TiaSpec
        The amplifiers in front.
    columns : int
        Number of channels.
    seed : int
        Seed of the fabrication.
    key : tuple of int
        Which bank on the chip.
    dead : (columns,) array_like of bool, optional
        Dead channels.

    Attributes
    ----------
    gain, offset : (columns,) ndarray
        True gain, and offset [V], of each channel. Only the circuit may use them: calibration has to measure.
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
    ) -> None:
        rng = stream(seed, Purpose.ADC, *key)
        self.spec = spec
        self.tia = tia
        self.columns = columns
        self.gain = 1.0 + spec.gain_error * rng.standard_normal(columns)
        self.offset = spec.offset_error * rng.standard_normal(columns)
        self.alive = np.ones(columns, dtype=bool) if dead is None else ~dead
        self.pga_gain = np.ones(columns)

    def set_pga_gain(self, pga_gain: ArrayLike) -> None:
        """Set the programmable gain, scalar or (columns,), > 0."""
        self.pga_gain = finite_array("pga_gain", np.broadcast_to(pga_gain, self.columns), minimum=1e-9)

    @property
    def factor(self) -> Floats:
        """Volts at each quantiser per ampere of its column, (columns,) V/A, at the present gain."""
        return self.pga_gain * self.tia.transimpedance * self.gain

    def input_voltage(self, current: Floats, noise: Floats | None = None) -> Floats:
        """Return the voltage at each quantiser, (batch, columns) V, for column currents (batch, columns) A.

        Parameters
        ----------
        current : (batch, columns) ndarray
            Column currents [A].
        noise : (batch, columns) ndarray, optional
            Noise of each conversion [V].
        """
        voltage = current * self.factor + self.offset
        return voltage if noise is None else voltage + noise

    def codes(self, current: Floats, noise: Floats | None = None) -> NDArray[np.int64]:
        """Return the codes, (batch, columns), for column currents (batch, columns) A and noise (batch, columns) V."""
        steps = np.rint((self.input_voltage(current, noise) - self.spec.minimum) / self.spec.lsb)
        codes = np.clip(steps, 0, self.spec.highest_code).astype(np.int64)
        return np.where(self.alive, codes, 0)

    def nominal_current(self, codes: ArrayLike) -> Floats:
        """Return the column currents, (batch, columns) A, that perfect channels would have meant by ``codes``."""
        volts = np.asarray(codes) * self.spec.lsb + self.spec.minimum
        return np.asarray(volts / (self.pga_gain * self.tia.transimpedance))

    def saturated(self, codes: NDArray[np.int64]) -> int:
        """Count the codes at the upper end of the range."""
        return int(np.count_nonzero(codes == self.spec.highest_code))
