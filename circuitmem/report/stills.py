"""Plots of a record as still pictures: SVG that takes the colours of the page it stands in, and PNG."""

from __future__ import annotations

import io
import re
from typing import Any

import matplotlib as mpl
import matplotlib.rcsetup
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import TightLayoutEngine

__all__ = ["INK", "draw", "lay_out", "png", "svg"]

INK = "#010203"
"""Black to the eye. Stands for the colour of the page's text, and is replaced by it."""
COLOURS = ("#0a7abf", "#d55e00", "#009e73", "#b0609b", "#8a7000", "#56849c")
"""After Okabe and Ito's palette, as dark as it must be for both a light and a dark page."""
STILL_VIEWS = 3
"""So many views of several are drawn; the others are for those who can choose."""
STYLES: dict[str, dict[str, Any]] = {
    "line": {"linestyle": "-"},
    "dashed": {"linestyle": "--"},
    "both": {"linestyle": "-", "marker": "o", "markersize": 4},
    "points": {"linestyle": "", "marker": "o", "markersize": 3, "alpha": 0.7},
}
_RC: Any = {
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "circuitmem",  # the same record gives the same bytes
    "font.family": "sans-serif",
    "axes.prop_cycle": matplotlib.rcsetup.cycler(color=COLOURS),
}
_INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")


def draw(plot: dict[str, Any], ink: str = "black") -> Figure:
    """Draw a plot (:meth:`circuitmem.study.plots.Plot.as_dict`); views follow one another."""
    with mpl.rc_context(_RC | dict.fromkeys(_INKED, ink) | {"legend.labelcolor": ink}):
        if plot["kind"] == "views":
            options = plot["options"][:STILL_VIEWS]
            figure = Figure(figsize=(4.2 * len(options), 3.6))
            axes = np.atleast_1d(figure.subplots(1, len(options)))
        else:
            options, figure = [plot], Figure(figsize=(5.6, 3.6))
            axes = np.array([figure.subplots()])
        for place, option in zip(axes, options, strict=True):
            _DRAWERS[option["kind"]](place, option)
        lay_out(figure)  # in this context, for it makes the ticks
    return figure


def lay_out(figure: Figure) -> None:
    """Place the axes of a figure so that their labels fit, once.

    A figure with a layout engine of its own measures all text again, and draws twice, each time that it is saved.
    """
    # Without a rectangle to fit into, the labels are measured once instead of twice.
    TightLayoutEngine(pad=0.5, w_pad=1.5, rect=None).execute(figure)  # type: ignore[arg-type]


def _lines(axes: Axes, plot: dict[str, Any]) -> None:
    for series in plot["series"]:
        x, y = (np.array(series[key], dtype=float) for key in ("x", "y"))
        large: Any = {"rasterized": True} if len(x) > 500 else {}
        axes.plot(x, y, label=series["name"], **STYLES[series["style"]], **large)
    axes.set(title=plot["title"], xlabel=plot["x_label"], ylabel=plot["y_label"])
    for name, set_scale in (("x", axes.set_xscale), ("y", axes.set_yscale)):
        values = [value for series in plot["series"] for value in series[name] if value is not None]
        if name in plot["log"] and any(value > 0.0 for value in values):
            set_scale("log")
    axes.grid(alpha=0.25)
    if len(plot["series"]) > 1:
        axes.legend(fontsize="small", framealpha=0.0)


def _heat_map(axes: Axes, plot: dict[str, Any]) -> None:
    values = np.array(plot["values"], dtype=float)
    low, high = plot["limits"] or (None, None)
    colours = "RdBu_r" if plot["diverging"] else "viridis"
    picture = axes.imshow(values, cmap=colours, vmin=low, vmax=high, interpolation="nearest", aspect="auto")
    below, above = low is not None and np.nanmin(values) < low, high is not None and np.nanmax(values) > high
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get((below, above), "neither")
    axes.figure.colorbar(picture, ax=axes, label=plot["value_label"], extend=extend)
    axes.set(title=plot["title"], xlabel=plot["x_label"], ylabel=plot["y_label"])


def _bars(axes: Axes, plot: dict[str, Any]) -> None:
    places, below = np.arange(len(plot["categories"])), np.zeros(len(plot["categories"]))
    height = 0.8 if plot["stacked"] else 0.8 / len(plot["parts"])
    for number, (name, values) in enumerate(plot["parts"].items()):
        lengths = np.nan_to_num(np.array(values, dtype=float))
        if plot["stacked"]:
            axes.barh(places, lengths, height, left=below, label=name)
            below += lengths
        else:
            axes.barh(places + (number + 0.5) * height - 0.4, lengths, height, label=name)
    axes.set_yticks(places, plot["categories"])
    axes.set(title=plot["title"], xlabel=plot["value_label"])
    axes.invert_yaxis()
    axes.legend(fontsize="small", framealpha=0.0)


_DRAWERS = {"lines": _lines, "heat map": _heat_map, "bars": _bars}


def svg(figure: Figure, name: str, *, page: bool = True) -> str:
    """Return a figure drawn in ``INK`` as SVG, the same bytes for the same figure.

    Parameters
    ----------
    figure : Figure
        From :func:`draw`.
    name : str
        Begins every id in it, so that several can stand on one page.
    page : bool
        Return an ``<svg>`` element for a page, transparent, its text and axes in the page's colour; otherwise a file
        that stands by itself, black on white.
    """
    buffer = io.StringIO()
    with mpl.rc_context(_RC):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    if page:
        return re.sub(r"^.*?(?=<svg )", "", text, flags=re.DOTALL).replace(INK, "currentColor")
    return re.sub(r"(<svg [^>]*>)", r'\1\n <rect width="100%" height="100%" fill="#ffffff"/>', text, count=1)


def png(figure: Figure) -> bytes:
    """Return a figure as PNG, 150 dots an inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()
