"""Plots of a record for plotly.js, which is embedded in the page."""

from __future__ import annotations

from functools import cache
from typing import Any

from circuitmem.report.palette import CLASSES, name_colours
from circuitmem.report.stills import LONGEST

__all__ = ["interactive", "plotly_source"]

_MODES = {
    "line": "lines",
    "dashed": "lines",
    "both": "lines+markers",
    "points": "markers",
    "marks": "markers",
    "level": "lines",
    "steps": "lines",
}
_GREY = "#808890"
"""Colour of the digital network: visible on a light and on a dark page."""
_FEW = 12
"""Whole numbers that span at most this much have a tick each."""


@cache
def plotly_source() -> str | None:
    """Return plotly.js, or None where the Python package of that name, which ships it, is not installed."""
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError:
        return None
    return str(get_plotlyjs())


def interactive(plot: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a plot as ``Plotly.react`` takes it: one entry per view, with title, traces and layout."""
    options = plot["options"] if plot["kind"] == "views" else [plot]
    return [_MAKERS[option["kind"]](option) for option in options]


def _lines(plot: dict[str, Any]) -> dict[str, Any]:
    traces = []
    colours = name_colours(plot.get("names") or [series["name"] for series in plot["series"]], _GREY)
    places = [x for series in plot["series"] for x in series["x"] if x is not None]
    ends = [min(places), max(places)] if places else [0.0, 1.0]
    for series in plot["series"]:
        colour, level = colours.get(series["name"], _GREY), series["style"] == "level"
        trace: dict[str, Any] = {
            "type": "scatter",
            "mode": _MODES[series["style"]],
            "name": series["name"],
            "x": ends if level else series["x"],
            "y": series["y"] * 2 if level else series["y"],
            "line": {"color": colour, "dash": _dash(series["style"], colour)},
            "marker": {"color": colour, "size": 5},
        }
        if series["style"] == "steps":
            trace["line"]["shape"] = "hv"
        if "interval" in series:
            trace["error_y"] = {"type": "data", "array": series["interval"]}
        traces.append(trace)
    layout = _layout(plot) | {"showlegend": len(traces) > 1, "legend": {"orientation": "h", "y": -0.25}}
    if "limits" in plot:
        layout["yaxis"]["range"] = plot["limits"]
    if "ticks" in plot:
        layout["xaxis"] |= {"tickvals": plot["ticks"][0], "ticktext": plot["ticks"][1]}
    elif places and max(places) - min(places) <= _FEW and all(x == round(x) for x in places):
        layout["xaxis"]["dtick"] = 1  # epochs, bits: there are no fractions of them
    for name in plot["log"]:
        layout[f"{name}axis"] |= {"type": "log", "exponentformat": "power", "dtick": 1}
    return {"title": plot["title"], "traces": traces, "layout": layout}


def _dash(style: str, colour: str) -> str:
    """Return the dash of a line, which distinguishes the digital network from a method that is drawn in grey."""
    if style not in ("dashed", "level"):
        return "solid"
    return "dot" if colour == _GREY else "dash"


def _heat_map(plot: dict[str, Any]) -> dict[str, Any]:
    hover = f"{plot['y_label']} %{{y}}, {plot['x_label']} %{{x}}: %{{z:.4g}} {plot['value_label']}<extra></extra>"
    trace = {
        "type": "heatmap",
        "z": plot["values"],
        "colorscale": "RdBu" if plot["diverging"] else "Viridis",  # plotly's RdBu begins with blue
        "colorbar": {"title": {"text": plot["value_label"], "side": "right"}},
        "hovertemplate": hover,
    }
    if plot["limits"]:
        trace |= {"zmin": plot["limits"][0], "zmax": plot["limits"][1]}
    if classes := plot.get("classes"):
        count = len(classes)
        steps = [[place / count, colour] for k, colour in enumerate(CLASSES[:count]) for place in (k, k + 1)]
        ticks = {"tickvals": list(range(count)), "ticktext": classes}
        trace |= {"colorscale": steps, "zmin": -0.5, "zmax": count - 0.5, "colorbar": ticks}
        trace["hovertemplate"] = f"{plot['y_label']} %{{y}}, {plot['x_label']} %{{x}}<extra></extra>"
    layout = _layout(plot)
    layout["margin"]["r"] = 90  # room for the label of the scale
    layout["yaxis"]["autorange"] = "reversed"
    rows, columns = len(plot["values"]), len(plot["values"][0])
    if max(rows, columns) <= _FEW:
        layout["xaxis"]["dtick"] = layout["yaxis"]["dtick"] = 1  # classes: one tick each
    if max(rows / columns, columns / rows) <= LONGEST:  # cells are square
        layout["yaxis"] |= {"scaleanchor": "x", "constrain": "domain"}
        layout["xaxis"] |= {"constrain": "domain"}
    return {"title": plot["title"], "traces": [trace], "layout": layout}


def _bars(plot: dict[str, Any]) -> dict[str, Any]:
    colours = name_colours(list(plot["parts"]), _GREY)
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "x": values,
            "y": plot["categories"],
            "marker": {"color": colours[name]},
        }
        for name, values in plot["parts"].items()
    ]
    layout = _layout({"x_label": plot["value_label"], "y_label": ""})
    layout |= {"barmode": "stack" if plot["stacked"] else "group", "legend": {"orientation": "h", "y": -0.25}}
    layout["yaxis"]["autorange"] = "reversed"
    return {"title": plot["title"], "traces": traces, "layout": layout}


_MAKERS = {"lines": _lines, "heat map": _heat_map, "bars": _bars}


def _layout(plot: dict[str, Any]) -> dict[str, Any]:
    return {
        "xaxis": {"title": {"text": plot["x_label"]}, "automargin": True},
        "yaxis": {"title": {"text": plot["y_label"]}, "automargin": True},
        "margin": {"l": 60, "r": 20, "t": 34, "b": 50},  # top: room for the toolbar
        "height": 360,
    }
