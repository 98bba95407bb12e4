"""What time, reads and heat make of the conductance that a pulse left, for the cells of a tile or some of many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import ChipSpec
from circuitmem.config.law import is_zero, law_values
from circuitmem.config.quantity import LARGEST_CONDUCTANCE
from circuitmem.control.ledger import PICOSECOND
from circuitmem.errors import ValidationError

__all__ = ["Aging"]

Floats = NDArray[np.float64]
Times = NDArray[np.int64]


class Aging:
    """The laws by which a chip's cells change with time, reads, heat and pulses.

    Parameters
    ----------
    spec : ChipSpec
        The chip.

    Attributes
    ----------
    drifts, disturbed, warms, flickers : bool
        Whether conductances change with time, with reads, with the chip's temperature, and whether they have 1/f noise.
    moves : bool
        Whether they do any of these.
    wears : bool
        Whether cells wear out after a number of pulses.
    """

    def __init__(self, spec: ChipSpec) -> None:
        self.retention, self.heat, self.noise = spec.retention, spec.temperature, spec.noise
        retention = spec.retention
        self.drifts = not is_zero(retention.drift_exponent)
        self.spreads = self.drifts and not is_zero(retention.drift_spread)
        self.flickers = not is_zero(spec.noise.flicker)
        self.disturbed = retention.read_disturb != 0.0 or retention.read_disturb_rate != 0.0
        self.warms = spec.temperature.coefficient != 0.0
        self.moves = self.drifts or self.disturbed or self.warms or self.flickers
        self.wears = spec.endurance.pulses is not None

    def exponent(self, left: Floats, spread: Floats | None) -> float | Floats:
        """Return the drift exponents of cells in which the last pulse left ``left`` [S]; one for all if it is the same.

        ``spread`` holds a standard normal number for each cell, if exponents differ from device to device.
        """
        exponent = law_values(self.retention.drift_exponent, left, "chip.retention.drift_exponent")
        if spread is not None:
            relative = law_values(self.retention.drift_spread, left, "chip.retention.drift_spread")
            # No cell drifts against the others: structural relaxation has one direction (Joshi et al. 2020).
            exponent = exponent * np.abs(1.0 + relative * spread)
        return exponent

    def drifted(self, conductance: Floats, age: Floats, exponent: float | Floats) -> Floats:
        """Return what cells conduct a time ``age`` [ps] after their last pulse [S].

        Raises
        ------
        ValidationError
            If a cell conducts more than any declared device may: the law grows without bound.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            conductance = conductance * (1.0 + age * PICOSECOND / self.retention.drift_time) ** -exponent
            self._check_bound(conductance, "drift_exponent")
        return conductance

    def read_out(self, conductance: Floats, reads: Times, time: Times) -> Floats:
        """Return what cells conduct after ``reads`` reads of their word lines, which took ``time`` [ps] in all [S].

        Raises
        ------
        ValidationError
            As :meth:`drifted`.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            by_reads = self.retention.read_disturb * reads
            by_time = self.retention.read_disturb_rate * (time * PICOSECOND)
            conductance = conductance * np.exp(by_reads + by_time)
            more = np.max(by_reads, initial=-np.inf) >= np.max(by_time, initial=-np.inf)
            self._check_bound(conductance, "read_disturb" if more else "read_disturb_rate")
        return conductance

    def _check_bound(self, conductance: Floats, name: str) -> None:
        if not np.all(conductance <= LARGEST_CONDUCTANCE):  # 0 S times infinity is NaN
            rule = f"must be nearer to 0: it has made cells conduct more than {LARGEST_CONDUCTANCE:g} S"
            raise ValidationError(f"chip.retention.{name}", rule, getattr(self.retention, name))

    def factor(self, when: int | Floats) -> Floats:
        """Return the factor by which the chip's temperature at ``when`` [ps] changes conductances."""
        times, kelvins = zip(*self.heat.profile, strict=True)
        kelvin = np.interp(np.asarray(when, dtype=np.float64) * PICOSECOND, times, kelvins)
        return np.asarray(1.0 + self.heat.coefficient * (kelvin - self.heat.reference))
