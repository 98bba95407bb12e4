"""Aging of a chip: drift, read disturb, temperature, wear, and faults."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import pydantic

from circuitmem.config.base import Spec
from circuitmem.config.law import Fraction, Law
from circuitmem.config.quantity import LARGEST_CONDUCTANCE, LATEST
from circuitmem.errors import ValidationError

__all__ = ["EnduranceSpec", "FaultSpec", "RetentionSpec", "TemperatureSpec"]

HOTTEST = 1e6
"""Largest factor by which the temperature may multiply conductances: far more than any device shows."""


class RetentionSpec(Spec):
    """Drift and read disturb of a conductance; none by default.

    ``G(t) = G_0·((t + t_0)/t_0)^-nu`` for a cell written a time t ago (the power law of phase-change cells, used for
    filamentary ones too), and ``G·exp(n·a + s·b)`` after n reads that drove its word line for s seconds in all.

    Parameters
    ----------
    drift_exponent : float, table or function
        nu; negative if conductances rise. A number, pairs of the conductance that the last pulse left [S] and a number,
        or ``"package.module:function"``.
    drift_spread : float, table or function
        Device-to-device standard deviation of nu, relative to it, in [0, 1]; nu keeps its sign.
    drift_time : float
        t_0 [s], > 0.
    read_disturb : float
        a, relative change of a conductance per read.
    read_disturb_rate : float
        b, relative change per second of reading [1/s].
    """

    drift_exponent: Law = 0.0
    drift_spread: Fraction = 0.0
    drift_time: float = pydantic.Field(default=1.0, gt=0.0)
    read_disturb: float = 0.0
    read_disturb_rate: float = 0.0


class TemperatureSpec(Spec):
    """The temperature of the chip, and how conductances follow: ``G·(1 + coefficient·(T - reference))``.

    Parameters
    ----------
    coefficient : float
        Relative change of every conductance per kelvin [1/K].
    reference : float
        Temperature at which conductances are stated [K], > 0.
    profile : sequence of (float, float)
        Times [s], rising, and temperatures [K] at them; straight lines between, constant before and after.
    """

    coefficient: float = 0.0
    reference: float = pydantic.Field(default=300.0, gt=0.0)
    profile: tuple[tuple[float, float], ...] = ((0.0, 300.0),)

    @pydantic.model_validator(mode="after")
    def _check_profile(self) -> TemperatureSpec:
        times = [time for time, _ in self.profile]
        if not times or any(after <= before for before, after in pairwise(times)):
            raise ValidationError("profile", "must have at least one (time, temperature), times rising", self.profile)
        for _, kelvin in self.profile:
            if kelvin <= 0.0 or not 0.0 < 1.0 + self.coefficient * (kelvin - self.reference) <= HOTTEST:
                rule = f"must keep temperatures and conductances > 0, and conductances below {HOTTEST:g} times theirs"
                raise ValidationError("profile", rule, kelvin)
        return self


class EnduranceSpec(Spec):
    """The number of programming pulses that a cell survives: Weibull-distributed for each cell; unlimited by default.

    Parameters
    ----------
    pulses : float, optional
        Scale of the distribution: 63 % of the cells have failed after this many pulses, > 0.
    shape : float
        Shape parameter of the Weibull distribution, > 0; above 1, cells wear out rather than fail early.
    failure : {"stuck-on", "stuck-off", "stuck-at-value"}
        Conductance at which a worn-out cell is stuck: the highest or the lowest of the device, or the one that it had.
    """

    pulses: float | None = pydantic.Field(default=None, gt=0.0)
    shape: float = pydantic.Field(default=2.0, gt=0.0)
    failure: Literal["stuck-on", "stuck-off", "stuck-at-value"] = "stuck-at-value"


class FaultSpec(Spec):
    """One thing that breaks, at a given time or after a random number of pulses on its tile.

    Parameters
    ----------
    what : {"cell", "word_line", "bit_line", "driver", "adc"}
        A cell (stuck at ``conductance``), a line cut at cell (row, column), the driver of a row, the ADC channel of a
        column.
    time : float, optional
        Time of the fault [s], >= 0. Either this or ``pulses`` must be given.
    pulses : float, optional
        Scale of a Weibull distribution, > 0. The number of pulses on the tile after which the fault occurs is drawn
        from it.
    shape : float
        Shape parameter of the Weibull distribution, > 0.
    tile : int
        Number of the tile, >= 0.
    row, column : int
        Place of the fault on its tile, >= 0; the fault ignores what it does not need.
    conductance : float
        Conductance of a cell after it breaks [S], >= 0.
    """

    what: Literal["cell", "word_line", "bit_line", "driver", "adc"]
    time: float | None = pydantic.Field(default=None, ge=0.0, le=LATEST)
    pulses: float | None = pydantic.Field(default=None, gt=0.0)
    shape: float = pydantic.Field(default=2.0, gt=0.0)
    tile: int = pydantic.Field(default=0, ge=0)
    row: int = pydantic.Field(default=0, ge=0)
    column: int = pydantic.Field(default=0, ge=0)
    conductance: float = pydantic.Field(default=0.0, ge=0.0, le=LARGEST_CONDUCTANCE)

    @pydantic.model_validator(mode="after")
    def _check_when(self) -> FaultSpec:
        if (self.time is None) == (self.pulses is None):
            raise ValidationError("time", "must be given, or pulses, but not both", self.time)
        return self
