"""Colours and markers, the same in every figure and page."""

from __future__ import annotations

from collections.abc import Sequence

from circuitmem.training import method_title

__all__ = ["CLASSES", "COLOURS", "MARKERS", "mark", "name_colours"]

COLOURS = (
    "#0a7abf",
    "#d55e00",
    "#009e73",
    "#b0609b",
    "#8a7000",
    "#a03a3a",
    "#6a5acd",
    "#4d7d1f",
    "#c0392b",
    "#2a7f9e",
    "#8c510a",
    "#56849c",
)
"""After Okabe and Ito's palette, but dark enough for both a light and a dark page."""
MARKERS = "osD^vP*X"
"""For readers who cannot tell the colours apart."""
CLASSES = ("#c9ced6", "#0a7abf", "#d55e00", "#b0609b", "#009e73", "#8a7000")
"""Colours of maps whose values are classes; the normal class, the first, is pale."""
_METHODS = {"raw": "#7f7f7f", "calibration": "#d55e00", "in_situ": "#0a7abf", "calibration_in_situ": "#009e73"}
_TITLES = {method_title(name): colour for name, colour in _METHODS.items()}


def name_colours(names: Sequence[str], ink: str = "black") -> dict[str, str]:
    """Return the colour of each of several series, bars or methods.

    Parameters
    ----------
    names : sequence of str
        Names or titles. The methods that every run has are drawn with the same colour everywhere, the digital network
        with ``ink``; others get the remaining colours in order.
    ink : str
        The colour of text.
    """
    known = _METHODS | _TITLES | dict.fromkeys(("digital", method_title("digital")), ink)
    taken = {known[name] for name in names if name in known}
    free = [colour for colour in COLOURS if colour not in taken] or list(COLOURS)
    others = iter(range(len(names)))
    return {name: known[name] if name in known else free[next(others) % len(free)] for name in names}


def mark(place: int) -> str:
    """Return the marker of a series, by its place among the others."""
    return MARKERS[place % len(MARKERS)]
