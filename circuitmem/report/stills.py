"""Plots of a record as still pictures: SVG that takes the colours of the page it stands in, PNG and PDF."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib as mpl
import matplotlib.rcsetup
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import TightLayoutEngine
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from circuitmem.errors import ValidationError
from circuitmem.files import write_bytes
from circuitmem.report.palette import CLASSES, COLOURS, mark, name_colours
from circuitmem.report.prefixes import prefixed
from circuitmem.study.plots import Lines, Plot

__all__ = [
    "INK",
    "LONGEST",
    "class_map",
    "draw",
    "draw_into",
    "draw_together",
    "lay_out",
    "pdf",
    "png",
    "readable",
    "save",
    "svg",
    "svg_file",
]

INK = "#010203"
"""Looks black; a placeholder that is replaced by the colour of the page's text."""
STILL_VIEWS = 3
"""Number of views that are drawn, of several; the others are only on interactive pages."""
STYLES: dict[str, dict[str, Any]] = {
    "line": {"linestyle": "-"},
    "dashed": {"linestyle": "--"},
    "both": {"linestyle": "-", "markersize": 4},
    "points": {"linestyle": "", "marker": "o", "markersize": 3, "alpha": 0.7},
    "marks": {"linestyle": "", "markersize": 4},
    "level": {"linestyle": ":"},
    "steps": {"linestyle": "-", "linewidth": 0.8},
}
_RC: Any = {
    # Where a panel is one column of a journal, 85 mm, these are 6.7 and 6.3 points.
    "font.size": 8,
    "legend.fontsize": 7.5,
    "axes.titlesize": "medium",
    "svg.fonttype": "none",
    "svg.hashsalt": "circuitmem",  # the same record gives the same bytes
    "pdf.fonttype": 42,  # letters that can be searched and copied
    "font.family": "sans-serif",
    "axes.prop_cycle": matplotlib.rcsetup.cycler(color=COLOURS),
}
_INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
_PANEL, _MAP = (4.0, 3.0), (3.4, 3.0)
"""Width and height of a panel, and of a map beside others [inches]."""
SMALL, FEW_TICKS = 0.01, 6
"""Smaller values give an axis a prefix or a power of ten; at most this many places on a log axis have a tick each."""
_LEGEND_LINES, _LEGEND_LINE = 2, 0.18
"""Lines of a legend for which there is room below a panel, and the height of each further one [inches]."""
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
COLUMN, ACROSS = 85 / 25.4, 4
"""Width of a panel of several, one column of a journal [inches], and how many stand side by side on pages."""
IN_AN_INCH = 20
"""Letters per inch in the legend of several panels; a title has three quarters as many."""
LINE = 0.16
"""Height of a line of that legend [inches]; panels have room for two."""
LETTERS, LETTERS_ON_LOG = 50, 20
"""Most letters of all ticks of an axis that fit side by side; on a logarithmic axis some ticks are close together."""
FEW_DECADES = 1e3
"""Largest ratio of the ends of a logarithmic axis that has three ticks per decade."""
LONGEST = 3.0
"""Maps whose sides have a larger ratio are stretched, because square cells would be too small to be seen."""


def draw(plot: dict[str, Any] | Sequence[dict[str, Any]], ink: str = "black", across: int = 0) -> Figure:
    """Draw a plot (:meth:`circuitmem.study.plots.Plot.as_dict`), or several side by side; views follow one another.

    Parameters
    ----------
    plot : dict or sequence of dict
        What to draw.
    ink : str
        The colour of text and axes.
    across : int
        Number of panels side by side, the others below; all side by side when 0.
    """
    plots = [plot] if isinstance(plot, dict) else list(plot)
    options = [own for each in plots for own in (each["options"][:STILL_VIEWS] if each["kind"] == "views" else [each])]
    width, height = _PANEL if len(options) == 1 or any(own["kind"] != "heat map" for own in options) else _MAP
    with mpl.rc_context(_RC | dict.fromkeys(_INKED, ink) | {"legend.labelcolor": ink}):
        across = min(across, len(options)) or len(options)
        down = -(-len(options) // across)
        figure = Figure(figsize=(width * across, height * down))
        axes = figure.subplots(down, across, squeeze=False).ravel()
        for place, option in zip(axes, options, strict=False):
            _DRAWERS[option["kind"]](place, option, ink)
        for place in axes[len(options) :]:
            place.set_visible(False)
        lines = max(map(_legend_lines, axes))
        figure.set_figheight(down * (height + _LEGEND_LINE * max(0, lines - _LEGEND_LINES)))
        lay_out(figure)  # within this context, because it makes the ticks
    return figure


def draw_together(plots: Sequence[Lines], title: str = "", note: str = "", across: int = ACROSS) -> Figure:
    """Draw panels that share their y axis and one legend below them, each as wide as a column of a journal.

    Parameters
    ----------
    plots : sequence of Lines
        The panels.
    title : str
        Title of the figure.
    note : str
        A line above the legend.
    across : int
        Number of panels side by side; more follow below.
    """
    across = min(across, len(plots))
    down = -(-len(plots) // across)
    with mpl.rc_context(_RC | {"legend.fontsize": 7, "lines.linewidth": 1.2}):
        figure = Figure(figsize=(COLUMN * across, 0.6 + 2.5 * down), layout="constrained")
        if title:
            figure.suptitle("\n".join(wrap(title, int(0.75 * IN_AN_INCH * COLUMN * across))), fontsize="medium")
        grid = figure.subplots(down, across, sharey=True, squeeze=False)
        drawn: dict[str, Any] = {}  # of all panels: a method may be missing in the first
        marked = list(dict.fromkeys(series.name for plot in plots for series in plot.series))
        for place, (axes, plot) in enumerate(zip(grid.ravel(), plots, strict=False)):
            _lines(axes, plot.as_dict(), "black", marked)
            if (legend := axes.get_legend()) is not None:
                legend.remove()
            if "x" in plot.log and plot.ticks is None:
                _plain_decades(axes)
            if place % across:
                axes.set_ylabel("")
            drawn |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
        for axes in grid.ravel()[len(plots) :]:
            axes.set_visible(False)
        # The legend is below the panels: inside, it would hide points. A long one does not make them lower.
        beside = max(1, min(3, int(IN_AN_INCH * figure.get_figwidth() / (max(map(len, drawn), default=1) + 8))))
        lines = -(-len(drawn) // beside) + bool(note)
        figure.set_figheight(figure.get_figheight() + LINE * max(0, lines - _LEGEND_LINES))
        below: Any = {"title": note, "title_fontsize": 7} if note else {}
        figure.legend(drawn.values(), drawn, frameon=False, loc="outside lower center", ncols=beside, **below)
        figure.draw_without_rendering()  # within this context, because it makes the ticks
    return figure


def draw_into(path: str | Path, *plots: Plot, across: int = 0) -> Figure:
    """Draw plots into a file; returns the figure. Arguments and errors are those of :func:`draw` and :func:`save`."""
    figure = draw([plot.as_dict() for plot in plots], across=across)
    save(figure, path)
    return figure


def lay_out(figure: Figure) -> None:
    """Place the axes of a figure so that their labels fit, once.

    A figure with its own layout engine would measure all text again, and draw twice, each time that it is saved.
    """
    # Without a rectangle to fit into, the labels are measured once instead of twice.
    TightLayoutEngine(pad=0.5, w_pad=1.5, rect=None).execute(figure)  # type: ignore[arg-type]


def _lines(axes: Axes, plot: dict[str, Any], ink: str, marked: Sequence[str] = ()) -> None:
    own = [series["name"] for series in plot["series"]]
    colours = name_colours(plot.get("names") or own, ink)
    marks = {name: mark(place) for place, name in enumerate(marked or own)}
    xs = [np.zeros(0)]
    scales, labels = {}, {}
    for name in "xy":
        values = [value for series in plot["series"] for value in series[name] if value is not None]
        scales[name], labels[name] = (1.0, plot[f"{name}_label"])
        if name not in plot["log"]:
            scales[name], labels[name] = readable(values, labels[name])
    for series in plot["series"]:
        name, kind = series["name"], series["style"]
        x, y = (np.array(series[key], dtype=float) * scales[key] for key in ("x", "y"))
        xs.append(x[np.isfinite(x)])
        style: dict[str, Any] = {"label": name, "color": colours.get(name, ink), **STYLES[kind]}
        if kind in ("both", "marks"):
            style["marker"] = marks[name]
        if kind == "level":  # dotted, but for the digital network
            axes.axhline(y[0], **style | ({"linestyle": "--"} if style["color"] == ink else {}))
        elif kind == "steps":
            axes.step(x, y, where="post", zorder=0, **style)
        elif "interval" in series:
            axes.errorbar(x, y, np.array(series["interval"], dtype=float) * scales["y"], capsize=2, **style)
        else:
            style["rasterized"] = len(x) > 500
            axes.plot(x, y, **style)
    axes.set(title=plot["title"], xlabel=labels["x"], ylabel=labels["y"])
    for name, set_scale in (("x", axes.set_xscale), ("y", axes.set_yscale)):
        values = [value for series in plot["series"] for value in series[name] if value is not None]
        if name in plot["log"] and any(value > 0.0 for value in values):
            set_scale("log")
    if "limits" in plot:
        axes.set_ylim(*plot["limits"])
    places = np.concatenate(xs)
    if "ticks" in plot:
        _put_ticks(axes, *plot["ticks"])
    elif "x" not in plot["log"] and np.array_equal(places, np.round(places)):
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))  # epochs, bits, codes: no fractions of them
    elif "x" in plot["log"] and len(ticks := np.unique(places[places > 0.0])) <= FEW_TICKS:  # sizes of tiles
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.25)
    if len(plot["series"]) > 1:
        _legend(axes)


def _put_ticks(axes: Axes, places: Sequence[float], words: Sequence[str]) -> None:
    """Put ticks with words at places of the x axis, slanted where they would not fit side by side."""
    most = LETTERS_ON_LOG if axes.get_xscale() == "log" else LETTERS
    slanted: Any = {"rotation": 30, "ha": "right"} if sum(map(len, words)) > most else {}
    axes.set_xticks(places, words, **slanted)
    axes.xaxis.set_minor_locator(NullLocator())


def _plain_decades(axes: Axes) -> None:
    """Label a logarithmic axis with plain numbers: 1, 2 and 5 per decade if it spans few, else powers of ten."""
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < FEW_DECADES * low else (1.0,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def readable(values: Sequence[float], label: str) -> tuple[float, str]:
    """Return a factor with which the values of an axis need no power of ten beside its ticks, and the label to match.

    Parameters
    ----------
    values : sequence of float
        All values on the axis; NaN is ignored.
    label : str
        Label of the axis; a unit in brackets at its end, such as ``(s)``, gets a prefix.

    Returns
    -------
    (float, str)
        The factor, and the label with the prefix or the power of ten.
    """
    largest = max((abs(value) for value in values if np.isfinite(value)), default=0.0)
    if not 0.0 < largest < SMALL:
        return 1.0, label
    if unit := re.search(r"\((s|A|V|S|J|W|F)\)$", label):
        power, prefix = prefixed(largest)
        return 10.0**-power, f"{label[: unit.start()]}({prefix}{unit[1]})"
    exponent = -int(np.floor(np.log10(largest)))
    return 10.0**exponent, f"{label} × 10{str(-exponent).translate(_RAISED)}"


def _legend(axes: Axes, **given: Any) -> None:
    """Put the legend below the axes, clear of the data."""
    _, labels = axes.get_legend_handles_labels()
    words = [handle.get_label() for handle in given["handles"]] if given else labels
    place: Any = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2)}
    axes.legend(frameon=False, **place, ncols=_legend_columns(words), **given)


def _legend_columns(words: Sequence[str]) -> int:
    longest = max(map(len, words), default=0)
    return 1 if longest > 30 else 3 if longest < 14 else 2


def _legend_lines(axes: Axes) -> int:
    """Return how many lines the legend below a panel has."""
    legend = axes.get_legend()
    words = [] if legend is None else [text.get_text() for text in legend.get_texts()]
    return -(-len(words) // _legend_columns(words))


def _heat_map(axes: Axes, plot: dict[str, Any], ink: str) -> None:
    values = np.array(plot["values"], dtype=float)
    rows, columns = values.shape
    aspect: Any = "equal" if max(rows / columns, columns / rows) <= LONGEST else "auto"
    axes.set(title=plot["title"], xlabel=plot["x_label"], ylabel=plot["y_label"])
    ticks = 12 if max(rows, columns) <= 12 else 6  # classes: one tick each
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(ticks, integer=True))
    if plot.get("classes"):
        class_map(axes, values, plot["classes"], aspect, ink)
        return
    low, high = plot["limits"] or (None, None)
    factor, value_label = readable([*values.ravel(), *(plot["limits"] or ())], plot["value_label"])
    if factor != 1.0:
        values = values * factor
        low, high = (None if end is None else end * factor for end in (low, high))
    colours = "RdBu_r" if plot["diverging"] else "viridis"
    picture = axes.imshow(values, cmap=colours, vmin=low, vmax=high, interpolation="nearest", aspect=aspect)
    below, above = low is not None and np.nanmin(values) < low, high is not None and np.nanmax(values) > high
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get((below, above), "neither")
    axes.figure.colorbar(picture, ax=axes, label=value_label, extend=extend, fraction=0.046, pad=0.04)


def class_map(axes: Axes, values: Any, classes: Sequence[str], aspect: Any = "equal", ink: str = "black") -> None:
    """Draw a map of classes, with a legend of them below it.

    Parameters
    ----------
    axes : Axes
        Axes to draw in.
    values : (rows, columns) array_like
        The number of a class for each cell.
    classes : sequence of str
        Their names.
    aspect, ink : str
        Aspect ratio of the cells, and colour of the legend's text.
    """
    colours = CLASSES[: len(classes)]
    norm = BoundaryNorm(np.arange(len(classes) + 1) - 0.5, len(classes))
    axes.imshow(values, cmap=ListedColormap(colours), norm=norm, interpolation="nearest", aspect=aspect)
    counted = np.bincount(np.asarray(values, dtype=int).ravel(), minlength=len(classes)) / np.size(values)
    names = [f"{name}, {share:.0%}" for name, share in zip(classes, counted, strict=True)]
    handles = [Patch(color=colour, label=name) for colour, name in zip(colours, names, strict=True)]
    _legend(axes, handles=handles, labelcolor=ink)


def _bars(axes: Axes, plot: dict[str, Any], ink: str) -> None:
    places, below = np.arange(len(plot["categories"])), np.zeros(len(plot["categories"]))
    height = 0.8 if plot["stacked"] else 0.8 / len(plot["parts"])
    colours = name_colours(list(plot["parts"]), ink)
    for number, (name, values) in enumerate(plot["parts"].items()):
        lengths = np.nan_to_num(np.array(values, dtype=float))
        if plot["stacked"]:
            axes.barh(places, lengths, height, left=below, label=name, color=colours[name])
            below += lengths
        else:
            axes.barh(places + (number + 0.5) * height - 0.4, lengths, height, label=name, color=colours[name])
    axes.set_yticks(places, plot["categories"])
    axes.set(title=plot["title"], xlabel=plot["value_label"])
    axes.use_sticky_edges = False
    axes.margins(x=0.05)
    axes.set_xlim(left=min(0.0, axes.dataLim.x0))
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    axes.invert_yaxis()
    if len(plot["parts"]) > 1:
        _legend(axes)


_DRAWERS: dict[str, Callable[[Axes, dict[str, Any], str], None]] = {
    "lines": _lines,
    "heat map": _heat_map,
    "bars": _bars,
}


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure into a file in the format of its ending; the same figure gives the same bytes.

    Parameters
    ----------
    figure : Figure
        From :func:`draw`.
    path : path
        A file that ends in ``.png`` (300 dots per inch, for print), ``.svg`` or ``.pdf``.

    Raises
    ------
    ValidationError
        If it has another ending.
    DataFileError
        If it cannot be written.
    """
    match Path(path).suffix.lower():
        case ".png":
            content = png(figure, 300.0)
        case ".svg":
            content = svg_file(svg(figure, "figure")).encode("utf-8")
        case ".pdf":
            content = pdf(figure)
        case _:
            raise ValidationError("path", "must end in .png, .svg or .pdf", str(path))
    write_bytes(path, content)


def svg(figure: Figure, name: str) -> str:
    """Return a figure drawn in ``INK`` as an ``<svg>`` element for a page, the same bytes for the same figure.

    It is transparent, and its text and axes have the page's colour.

    Parameters
    ----------
    figure : Figure
        From :func:`draw`.
    name : str
        Prefix of every id in it, so that several figures can be on one page.
    """
    buffer = io.StringIO()
    with mpl.rc_context(_RC):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    return re.sub(r"^.*?(?=<svg )", "", text, flags=re.DOTALL).replace(INK, "currentColor")


def svg_file(element: str) -> str:
    """Return an element of a page (:func:`svg`) as a stand-alone file, black on white."""
    text = re.sub(r"(<svg [^>]*>)", r'\1\n <rect width="100%" height="100%" fill="#ffffff"/>', element, count=1)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text.replace("currentColor", INK)}'


def png(figure: Figure, dpi: float = 150.0) -> bytes:
    """Return a figure as PNG, with ``dpi`` dots per inch."""
    buffer = io.BytesIO()
    with mpl.rc_context(_RC):  # how many ticks an axis has depends on the size of letters at this moment
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def pdf(figure: Figure) -> bytes:
    """Return a figure as PDF, the same bytes for the same figure."""
    buffer = io.BytesIO()
    with mpl.rc_context(_RC):
        figure.savefig(buffer, format="pdf", metadata={"CreationDate": None})
    return buffer.getvalue()
