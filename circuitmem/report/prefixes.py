"""Prefixes of units, chosen so that a quantity is easy to read."""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["column", "prefixed", "with_unit"]

_PREFIXES = {-18: "a", -15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M"}


_SMALL = (-3, "m"), (-6, "u"), (-9, "n"), (-12, "p")
"""Powers of ten and prefixes of a column, in the letters that every terminal has."""


def prefixed(largest: float, highest: int = max(_PREFIXES)) -> tuple[int, str]:
    """Return the power of ten, and its prefix, for magnitudes up to ``largest``; power 0 if that is 0.

    Parameters
    ----------
    largest : float
        Largest magnitude, in the unit without a prefix, >= 0.
    highest : int
        Highest power that is used: 0 for units such as s, which nobody counts in thousands.
    """
    if largest == 0.0:
        return 0, ""
    power = min(max(3 * math.floor(math.log10(largest) / 3.0), min(_PREFIXES)), highest)
    return power, _PREFIXES[power]


def with_unit(value: float, unit: str) -> str:
    """Return a quantity with four digits and a prefix before its unit."""
    power, prefix = prefixed(abs(value))
    return f"{value * 10.0**-power:.4g} {prefix}{unit}"


def column(values: Iterable[float], unit: str, decimals: int) -> list[str]:
    """Return the quantities of a column, all with the same unit: thousandths, or less where they are too small.

    The smallest one but 0 has a digit other than 0 right behind the point, or before it.

    Parameters
    ----------
    values : iterable of float
        The quantities, in the unit without a prefix, >= 0.
    unit : str
        The unit without a prefix.
    decimals : int
        Digits behind the point.
    """
    shown = list(values)
    least = min((value for value in shown if value > 0.0), default=math.inf)
    power, prefix = next((each for each in _SMALL if least >= 0.1 * 10.0 ** each[0]), _SMALL[-1])
    return [f"{value * 10.0**-power:.{decimals}f} {prefix}{unit}" for value in shown]
