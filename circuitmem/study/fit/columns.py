"""Quantities and units of columns, by the names that instruments and people give to them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["QUANTITIES", "Quantity", "heading", "named_unit", "unit_scale", "wanted_units"]

_LONG_TIMES = {
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}
_PREFIXES = {"f": 1e-15, "p": 1e-12, "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}


@dataclass(frozen=True)
class Quantity:
    """One quantity of a table.

    Attributes
    ----------
    name : str
        Its name in the options.
    unit : str
        SI unit; empty for a number or a word.
    names : tuple of str
        Headings of its columns, in lower case and with blanks between words.
    units : tuple of str
        Other spellings of the unit.
    largest : float
        Largest magnitude, in SI units, that is accepted in a column that names no unit.
    between : (float, float)
        Range in which the largest magnitude of a column must lie, in SI units: devices are not measured beyond it, and
        within it models give finite numbers.
    is_text : bool
        Whether its values are words or names.
    """

    name: str
    unit: str
    names: tuple[str, ...]
    units: tuple[str, ...] = ()
    largest: float = float("inf")
    between: tuple[float, float] = (0.0, float("inf"))
    is_text: bool = False


QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        Quantity(
            "time", "s", ("time", "t", "times", "time stamp", "timestamp", "elapsed time", "elapsed", "zeit", "temps",
             "x value"),
            ("sec", "second", "seconds"), between=(1e-15, 1e12),
        ),
        Quantity(
            "voltage", "V",
            ("voltage", "v", "u", "volt", "volts", "bias", "av", "va", "v1", "anodev", "anode v", "applied voltage",
             "voltage 1", "ch1 voltage", "vmeas", "v meas", "source voltage", "spannung", "tension"),
            ("volt", "volts"), 100.0, (1e-6, 500.0),
        ),
        Quantity(
            "current", "A",
            ("current", "i", "ai", "ia", "i1", "anodei", "anode i", "measured current", "current 1", "ch1 current",
             "imeas", "i meas", "amps", "strom", "courant"),
            ("amp", "amps", "ampere", "amperes"), 1.0, (1e-18, 1e3),
        ),
        Quantity(
            "conductance", "S", ("conductance", "g", "cond", "leitwert"), ("siemens",), 1.0, (1e-18, 1e6),
        ),
        Quantity(
            "pulse", "",
            ("pulse", "pulses", "n", "pulse number", "pulse no", "pulse index", "pulse count", "number of pulses",
             "pulsenumber", "pulse #", "#", "count", "puls", "pulse nr", "pulsnummer"),
        ),
        Quantity(
            "polarity", "", ("polarity", "direction", "sign", "way", "branch", "pulse polarity", "ltp/ltd",
             "polarit\u00e4t", "richtung"),
            is_text=True,
        ),
        Quantity(
            "cell", "", ("cell", "cell id", "cell number", "device", "device id", "device number", "id", "address"),
            is_text=True,
        ),
        Quantity("row", "", ("row", "row number", "wl", "word line", "wordline", "zeile"), is_text=True),
        Quantity("column", "", ("column", "col", "column number", "bl", "bit line", "bitline", "spalte"), is_text=True),
        Quantity(
            "target", "S",
            ("target", "g target", "target g", "target conductance", "conductance target", "goal", "wanted", "g set"),
            ("siemens",), 1.0, (1e-18, 1e6),
        ),
        Quantity(
            "read", "S",
            ("read", "g read", "read g", "read conductance", "measured", "g measured", "g meas", "gmeas", "conductance",
             "g", "measured conductance"),
            ("siemens",), 1.0, (1e-18, 1e6),
        ),
    )
}  # fmt: skip
"""Every quantity that a table of measurements may have."""


def unit_scale(quantity: Quantity, text: str) -> float | None:
    """Return the factor that converts a unit to SI, or None if the text is not a unit of the quantity.

    Case distinguishes milli from mega, and does not matter otherwise. ``MA`` in capitals is ambiguous: None.
    """
    text = text.strip().replace("\u00b5", "u").replace("\u03bc", "u").replace("\u2126", "ohm")
    if not quantity.unit or not text:
        return None
    if quantity.unit == "s" and text.lower() in _LONG_TIMES:
        return _LONG_TIMES[text.lower()]
    for spelling in (quantity.unit, *quantity.units):
        if not text.lower().endswith(spelling.lower()):
            continue
        prefix = text[: len(text) - len(spelling)]
        if prefix == "M" and text.isupper() and not spelling.isupper():
            return None  # a heading all in capitals: milliseconds or megaseconds
        if prefix == "M" and quantity.unit in "AVSs":
            return None
        if prefix in _PREFIXES:
            return _PREFIXES[prefix]
        if prefix.lower() in ("f", "p", "n", "u", "k"):
            return _PREFIXES[prefix.lower()]
    return None


_BRACKET = re.compile(r"(.*?)\s*(?:[(\[{]\s*([^)\]}]*)\s*[)\]}]|/\s*(\S+)|,\s*(\S+)|\s+in\s+(\S+))")


def heading(quantity: Quantity, text: str) -> tuple[bool, str]:
    """Return whether a column's heading names a quantity, and the unit that it names, or an empty string.

    Understood are ``Voltage (V)``, ``I [uA]``, ``V / mV``, ``current_a``, ``Current uA``, ``Zeit in s``, ``TIME_S``,
    ``AV``; with a number of a channel or a sweep too: ``V1``, ``Voltage 2 (V)``, ``SMU-1 Current (A)``.
    """
    text = " ".join(text.strip().strip("\"'").split())
    bracket = _BRACKET.fullmatch(text)
    if bracket:
        name, unit = bracket[1], next((part for part in bracket.groups()[1:] if part is not None), "")
        if _named(quantity, name):
            return True, unit.strip()
    if _named(quantity, text):
        return True, ""
    parts = re.fullmatch(r"(.+?)[\s_.\-]+([^\s_.\-]+)", text)
    if parts and _named(quantity, parts[1]) and (unit_scale(quantity, parts[2]) is not None or _unit_like(parts[2])):
        return True, parts[2]
    return False, ""


def named_unit(quantity: Quantity, text: str) -> str:
    """Return the unit in a heading, whatever quantity it names: the user may have chosen the column."""
    known, unit = heading(quantity, text)
    text = " ".join(text.strip().strip("\"'").split())
    bracket = _BRACKET.fullmatch(text)
    if known or not (text and quantity.unit):
        return unit
    if bracket:
        return next((part for part in bracket.groups()[1:] if part is not None), "").strip()
    last = re.split(r"[\s_]+", text)[-1]
    return last if last != text and unit_scale(quantity, last) is not None else ""


def _unit_like(text: str) -> bool:
    return bool(re.fullmatch(r"(?i)[fpnu\u00b5\u03bcmkg]?(a|v|s|sec|amp|volt|ohm)", text))


def _named(quantity: Quantity, text: str) -> bool:
    name = " ".join(re.split(r"[\s_\-]+", text.strip().lower()))
    if name in quantity.names:
        return True
    name = re.sub(r"^(smu|ch|channel) ?\d*[ :.]+", "", name)
    return re.sub(r"[ .]?\d+$", "", name) in quantity.names


def wanted_units(quantity: Quantity) -> Sequence[str]:
    """Return units to name in a message."""
    return [f"{prefix}{quantity.unit}" for prefix in ("n", "u", "m", "")]
