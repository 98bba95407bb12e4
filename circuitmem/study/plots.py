"""Plots as data, which the report draws, static or interactive, and JSON can store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Bars", "HeatMap", "Lines", "Plot", "Series", "Views"]

Style = Literal["line", "points", "both", "marks", "dashed", "level", "steps"]


@dataclass(frozen=True)
class Series:
    """One curve, or one cloud of points.

    Attributes
    ----------
    name : str
        Entry of the legend.
    x, y : (n,) array_like
        Coordinates; ``y`` may hold NaN where there is nothing to show. A ``"level"`` has one ``y`` and no ``x``.
    style : {"line", "points", "both", "marks", "dashed", "level", "steps"}
        How it is drawn: ``"marks"`` are points with the marker of the series, ``"level"`` is a line along the whole
        axis, ``"steps"`` keep each value up to the next point.
    interval : (n,) array_like, optional
        Half widths of the intervals of ``y``; 0 where none is drawn.
    """

    name: str
    x: ArrayLike
    y: ArrayLike
    style: Style = "line"
    interval: ArrayLike | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, with None for those that are not finite."""
        plain = {"name": self.name, "x": _plain(self.x), "y": _plain(self.y), "style": self.style}
        return plain if self.interval is None else plain | {"interval": _plain(self.interval)}


@dataclass(frozen=True)
class Lines:
    """Curves or points over one pair of axes.

    Attributes
    ----------
    title : str
        What it shows, in a few words.
    x_label, y_label : str
        Quantities with units.
    series : tuple of Series
        At least one.
    log : {"", "x", "y", "xy"}
        Axes with a logarithmic scale.
    limits : (low, high), optional
        Ends of the ``y`` axis.
    ticks : dict, optional
        The only places on the ``x`` axis that have a tick, with the words at them.
    names : tuple of str
        All names among which colours are dealt out, in order, so that a name has one colour in all figures; those of
        its own series when left out.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    log: Literal["", "x", "y", "xy"] = ""
    limits: tuple[float, float] | None = None
    ticks: Mapping[float, str] | None = None
    names: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for a file."""
        plain: dict[str, Any] = {
            "kind": "lines",
            "title": self.title,
            "x_label": self.x_label,
            "y_label": self.y_label,
            "log": self.log,
            "series": [series.as_dict() for series in self.series],
        }
        if self.limits is not None:
            plain["limits"] = list(self.limits)
        if self.ticks is not None:
            plain["ticks"] = [_plain(list(self.ticks)), list(self.ticks.values())]
        return plain | ({"names": list(self.names)} if self.names else {})


@dataclass(frozen=True)
class HeatMap:
    """One value per cell of a grid, row 0 at the top.

    Attributes
    ----------
    title : str
        What it shows, in a few words.
    values : (rows, columns) array_like
        The values.
    value_label : str
        Quantity with unit.
    x_label, y_label : str
        What columns and rows are.
    limits : (low, high), optional
        Values at the ends of the colour scale, for maps that are to be compared; values beyond have the colour of the
        end. The range of the values when left out.
    diverging : bool
        Whether the colours show on which side of 0 a value is; limits are then symmetric.
    classes : tuple of str
        Names of the values 0, 1, ... if these are classes and not quantities: the map then has a legend, and no colour
        scale.
    """

    title: str
    values: ArrayLike
    value_label: str
    x_label: str = "bit line"
    y_label: str = "word line"
    limits: tuple[float, float] | None = None
    diverging: bool = False
    classes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for a file."""
        return {
            "kind": "heat map",
            "title": self.title,
            "x_label": self.x_label,
            "y_label": self.y_label,
            "value_label": self.value_label,
            "values": [_plain(row) for row in np.asarray(self.values)],
            "limits": None if self.limits is None else list(self.limits),
            "diverging": self.diverging,
            "classes": list(self.classes),
        }


@dataclass(frozen=True)
class Bars:
    """One bar per category, of parts that add up; or a group of bars per category, of values that do not.

    Attributes
    ----------
    title : str
        What it shows, in a few words.
    categories : tuple of str
        One bar each.
    value_label : str
        Quantity with unit.
    parts : dict of (categories,) array_like
        The parts of the bars, by name.
    stacked : bool
        Whether the parts add up.
    """

    title: str
    categories: tuple[str, ...]
    value_label: str
    parts: Mapping[str, ArrayLike]
    stacked: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for a file."""
        return {
            "kind": "bars",
            "title": self.title,
            "categories": list(self.categories),
            "value_label": self.value_label,
            "parts": {name: _plain(values) for name, values in self.parts.items()},
            "stacked": self.stacked,
        }


@dataclass(frozen=True)
class Views:
    """Several plots, one of which is shown at a time, as the reader chooses; on paper they follow one another.

    Attributes
    ----------
    label : str
        What the reader chooses.
    options : tuple of Lines, HeatMap or Bars
        The plots; their titles are the entries.
    group : str
        Views of the same group, which have equally many options, change together.
    """

    label: str
    options: tuple[Lines | HeatMap | Bars, ...]
    group: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for a file."""
        return {
            "kind": "views",
            "label": self.label,
            "group": self.group,
            "options": [plot.as_dict() for plot in self.options],
        }


Plot = Lines | HeatMap | Bars | Views


def _plain(values: ArrayLike) -> list[float | None]:
    """Return numbers as JSON can hold them, with 9 digits: more cannot be seen in a plot."""
    return [float(f"{x:.9g}") if isfinite(x) else None for x in np.asarray(values, dtype=float).tolist()]
