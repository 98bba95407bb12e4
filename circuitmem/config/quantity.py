"""Limits of declared numbers, so that no sum or product of them overflows or is rounded to zero.

Times become whole picoseconds, durations of 64 bits, energies whole attojoules (:mod:`circuitmem.control.ledger`). The
limits lie far beyond every device and every chip; within them all sums and products of declared numbers are finite.
"""

from __future__ import annotations

from typing import Annotated

import pydantic

__all__ = [
    "CLOCK_LIMIT",
    "LARGEST",
    "LARGEST_CONDUCTANCE",
    "LATEST",
    "LONGEST",
    "LONGEST_JOB",
    "SHORTEST",
    "SMALLEST",
    "Conductance",
    "Count",
    "Duration",
    "Energy",
    "Period",
    "Power",
    "Rate",
    "Voltage",
    "magnitudes",
]

CLOCK_LIMIT = 10**21
"""Latest time of a chip's clock [ps], 31.7 years."""

LONGEST_JOB = 2**63 - 1
"""Longest operation [ps], 106.75 days: durations are stored in arrays of 64-bit integers."""

LATEST = 1e9
"""Latest time that can be declared [s]: where the clock ends."""

SHORTEST, LONGEST = 1e-12, 9e6
"""Shortest and longest duration that can be declared [s]: a step of the clock, and what an operation can last."""

SMALLEST, LARGEST = 1e-60, 1e60
"""Bounds of the magnitude of a declared number that is not 0: a product of five still fits a double."""

Duration = Annotated[float, pydantic.Field(ge=SHORTEST, le=LONGEST)]
"""Duration of one operation of a chip [s]."""

Period = Annotated[float, pydantic.Field(ge=SHORTEST, le=LATEST)]
"""Time from one occurrence to the next [s]."""

Energy = Annotated[float, pydantic.Field(ge=0.0, le=1e6)]
"""Energy of one operation [J]."""

Power = Annotated[float, pydantic.Field(ge=0.0, le=1e12)]
"""Power of one component [W]."""

Voltage = Annotated[float, pydantic.Field(gt=0.0, le=1e6)]
"""Amplitude of a pulse [V]."""

Rate = Annotated[float, pydantic.Field(ge=1.0, le=1e30)]
"""Operations or bits per second [1/s]."""

LARGEST_CONDUCTANCE = 1e6
"""Largest conductance of a device [S]."""

Conductance = Annotated[float, pydantic.Field(gt=0.0, le=LARGEST_CONDUCTANCE)]
"""Conductance of a working device [S]."""

Count = Annotated[int, pydantic.Field(ge=1, le=65_536)]
"""Number of things that are tracked one by one."""


def magnitudes(value: object) -> float | None:
    """Return the first float in a value, or in its nested tuples, with a forbidden magnitude; None without any."""
    if isinstance(value, float):
        return value if value != 0.0 and not SMALLEST <= abs(value) <= LARGEST else None
    if isinstance(value, tuple):
        return next((bad for bad in map(magnitudes, value) if bad is not None), None)
    return None
