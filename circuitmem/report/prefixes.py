"""Prefixes of units, chosen so that a quantity is easy to read."""

from __future__ import annotations

import math

__all__ = ["prefixed", "with_unit"]

_PREFIXES = {-18: "a", -15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M"}


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
