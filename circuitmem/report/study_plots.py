"""Figures of a study as plots: what its table and its saved maps hold, before it is drawn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy as np

from circuitmem.config import FigureSpec
from circuitmem.files import load_npz
from circuitmem.records import read_arrays
from circuitmem.report.run_plots import STUCK, defect_classes, ends
from circuitmem.study.plots import HeatMap, Lines, Series
from circuitmem.study.spec import Study
from circuitmem.study.statistics import mean, select, watched_rows
from circuitmem.study.store import INFERENCE, MEASURES, PART, TESTED
from circuitmem.training import method_title

__all__ = [
    "AXIS_LABELS",
    "SCALES",
    "Panels",
    "in_declared_order",
    "method_label",
    "panels_of",
    "pareto_front",
    "pareto_points",
    "saved_map_plots",
]

NO_LEVELS = {"seed", "point", "method", "epoch", "end", PART, *MEASURES, *INFERENCE, *TESTED}
"""Columns of a study's table that are not axes."""
FEWEST = 3
"""Fewest maps for an interval: of fewer it is of no use, and the figure says that none is drawn."""
FEW_LEVELS = 4
"""Most levels of a linear axis that have a tick each, and no others."""
MOST_EPOCHS = 8
"""Most epochs after the start that have a tick."""
LETTERS = 60
"""Most letters of a level in a figure; of a longer one its beginning is shown."""
BINS = 60
"""Bins of a histogram of changes."""

AXIS_LABELS = {
    "accuracy_percent": "test accuracy (%)",
    "epoch": "epoch of in-situ training",
    "pulses": "programming pulses (millions)",
    "simulated_time_s": "simulated time (ms)",
    "energy_j": "energy (mJ)",
    "inference_s": "time of an inference (us)",
    "inference_j": "energy of an inference (nJ)",
}
SCALES: dict[str, float] = {
    "accuracy_percent": 1.0,
    "epoch": 1.0,
    "pulses": 1e-6,
    "simulated_time_s": 1e3,
    "energy_j": 1e3,
    "inference_s": 1e6,
    "inference_j": 1e9,
}


class Panels(NamedTuple):
    """The panels of a figure, which share their y axis and their legend."""

    plots: list[Lines]
    title: str
    note: str
    """What is to be said of all of them, above the legend."""


def method_label(study: Study, name: str) -> str:
    """Return the name of a method in figures and tables."""
    variant = study.spec.variants.get(name)
    return (variant.label if variant is not None else "") or method_title(name)


def in_declared_order(study: Study, rows: Sequence[Any]) -> list[Any]:
    """Return rows by their levels, in the order of the declaration.

    A table has them in the order of its points, which is another where the first map has failed at some levels.
    """
    axes = list(study.spec.axes)
    places = {tuple(levels.get(axis) for axis in axes): place for place, levels in enumerate(study.combinations())}
    return sorted(rows, key=lambda row: places.get(tuple(row.get(axis) for axis in axes), len(places)))


def panels_of(study: Study, spec: FigureSpec, rows: Sequence[Any]) -> Panels:
    """Return the panels of a figure that a study declares.

    Parameters
    ----------
    study : Study
        What was declared.
    spec : FigureSpec
        The figure.
    rows : sequence of dict
        The table of the study, from :func:`circuitmem.study.store.load_table`.
    """
    rows = select(in_declared_order(study, rows), **spec.where)
    levels = list(dict.fromkeys(row[spec.panels] for row in rows)) if spec.panels else [None]
    validated = spec.kind == "training" and any(row[PART] == "validation" for row in rows)
    plots = []
    for level in levels or [None]:
        some = rows if spec.panels is None else select(rows, **{spec.panels: level})
        title = f"{_label(study, spec.panels)}: {_shown(level)}" if spec.panels else ""
        plots.append(_panel(study, spec, some, title, validated=validated))
    note, methods = "", spec.methods or study.spec.methods
    if spec.kind == "lines" and any(select(rows, method=name) for name in methods):
        few = min(len({row["seed"] for row in select(rows, method=name)}) or FEWEST for name in methods) < FEWEST
        note = f"fewer than {FEWEST} maps: no intervals" if few else ""
    return Panels(plots, spec.title, note)


def _panel(study: Study, spec: FigureSpec, rows: Sequence[Any], title: str, *, validated: bool) -> Lines:
    methods, series = spec.methods or study.spec.methods, []
    axis = _Axis(spec, rows)
    for place, method in enumerate(methods):
        own, name = select(rows, method=method), method_label(study, method)
        if not own:
            continue
        if spec.kind == "pareto":
            points = pareto_points(own, spec.x)
            scaled = [SCALES[spec.x] * cost for cost, _ in points]
            series.append(Series(name, scaled, [accuracy for _, accuracy in points], "marks"))
        elif spec.kind == "lines":
            series.append(_line(own, spec, axis, name, 0.12 * (place - 0.5 * (len(methods) - 1))))
        else:
            series.append(_history(own, spec, name))
    if spec.kind == "pareto":
        found = [point for name in methods for point in pareto_points(select(rows, method=name), spec.x)]
        front = pareto_front(found)
        costs = [SCALES[spec.x] * cost for cost, _ in front]
        series.append(Series("not surpassed", costs, [accuracy for _, accuracy in front], "steps"))
    of_accuracy = spec.y == "accuracy_percent"
    if of_accuracy and not validated:  # the digital network is tested on test samples only
        series += _reference(select(rows, method="digital"), spec, axis)
    return Lines(
        title,
        AXIS_LABELS.get(spec.x) or _label(study, spec.x),
        "accuracy on validation samples (%)" if validated else AXIS_LABELS[spec.y],
        tuple(series),
        f"{'x' if spec.logarithmic else ''}{'' if of_accuracy else 'y'}",  # type: ignore[arg-type]
        (spec.minimum, spec.maximum) if of_accuracy else None,
        _epochs(series) if spec.x == "epoch" else axis.ticks,
        tuple(method_label(study, name) for name in study.spec.methods),
    )


def _epochs(series: Sequence[Series]) -> dict[float, str]:
    """Return ticks at whole epochs, a few of them."""
    last = int(np.ceil(max((max(np.asarray(each.x), default=0.0) for each in series), default=0.0)))
    return {float(epoch): str(epoch) for epoch in range(0, last + 1, max(1, -(-last // MOST_EPOCHS)))}


class _Axis:
    """Where the levels of a figure of lines lie on its x axis.

    Levels that are names are not joined, as there is nothing between them. These, and numbers with units, lie side by
    side; other numbers lie where they are.
    """

    def __init__(self, spec: FigureSpec, rows: Sequence[Any]) -> None:
        levels = list(dict.fromkeys(row[spec.x] for row in rows)) if spec.kind == "lines" else []
        self.of_names = any(isinstance(each, str) and not re.fullmatch(r"[\d.]+( \S+)?", each) for each in levels)
        self.ticks: dict[float, str] | None = None
        self._places: dict[Any, float] = {}
        if any(isinstance(level, str) for level in levels):
            self._places = {level: float(place) for place, level in enumerate(levels)}
            self.ticks = {place: _shown(level) for level, place in self._places.items()}
        elif levels and (spec.logarithmic or len(levels) <= FEW_LEVELS):  # the levels, not round numbers between them
            self.ticks = {float(level): _short(level) for level in sorted(levels)}

    def places(self, levels: Sequence[Any]) -> list[float]:
        """Return where levels lie."""
        return [self._places.get(level, level) for level in levels]


def _shown(level: Any) -> str:
    """Return the name of a level, its beginning only if it is longer than a figure is wide."""
    name = str(level)
    return name if len(name) <= LETTERS else f"{name[:LETTERS]}…"


def _short(tick: float) -> str:
    """Return a number in few characters, so that the ticks of a long axis fit side by side."""
    text = f"{tick:g}"
    return text if len(text) <= 6 else re.sub(r"e\+?(-?)0*", r"e\1", f"{tick:.2g}")


def _line(rows: Sequence[Any], spec: FigureSpec, axis: _Axis, name: str, aside: float) -> Series:
    """Return the final means along an axis, with 95 % intervals; levels that are names are shifted by ``aside``."""
    last = select(rows, end=True)
    levels = list(dict.fromkeys(row[spec.x] for row in last))
    found = [mean([SCALES[spec.y] * row[spec.y] for row in select(last, **{spec.x: level})]) for level in levels]
    widths = [each.half_width if each.count >= FEWEST else 0.0 for each in found]
    places = [place + aside * axis.of_names for place in axis.places(levels)]
    return Series(name, places, [each.mean for each in found], "marks" if axis.of_names else "both", widths)


def _history(rows: Sequence[Any], spec: FigureSpec, name: str) -> Series:
    """Return mean accuracy against mean cost during training; a method without training is a level.

    All maps count at every epoch: one that has stopped early keeps its last accuracy and cost, so that the end of the
    curve is the mean over all maps. Between two tests of a map its values are interpolated linearly.
    """
    rows = watched_rows(rows)
    epochs = sorted({row["epoch"] for row in rows})
    axes = ["seed", *(key for key in rows[0] if key not in NO_LEVELS)]
    maps: dict[tuple[Any, ...], list[Any]] = {}
    for row in sorted(rows, key=lambda row: row["epoch"]):
        maps.setdefault(tuple(row[axis] for axis in axes), []).append(row)

    def means(column: str) -> list[float]:
        tests = [([row["epoch"] for row in own], [row[column] for row in own]) for own in maps.values()]
        return [float(each) for each in np.mean([np.interp(epochs, *own) for own in tests], axis=0)]

    accuracy = means("accuracy_percent")
    if len(epochs) == 1:
        return Series(name, [], accuracy, "level")
    cost = epochs if spec.x == "epoch" else [SCALES[spec.x] * each for each in means(spec.x)]
    return Series(name, cost, accuracy, "both")


def pareto_points(rows: Sequence[Any], cost: str) -> list[tuple[float, float]]:
    """Return the final mean cost and mean accuracy at each combination of levels in the rows of one method."""
    ends = [row for row in select(rows, end=True) if row[cost] is not None]
    names = [name for name in (ends[0] if ends else ()) if name not in NO_LEVELS]
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for row in ends:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return [
        (float(np.mean([row[cost] for row in some])), float(np.mean([row["accuracy_percent"] for row in some])))
        for some in groups.values()
    ]


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the Pareto front, cheapest first: points (cost, accuracy) that no other equals or surpasses in both."""
    front: list[tuple[float, float]] = []
    for cost, accuracy in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if not front or accuracy > front[-1][1]:
            front.append((cost, accuracy))
    return front


def _reference(rows: Sequence[Any], spec: FigureSpec, axis: _Axis) -> list[Series]:
    """Return the digital network: along the axis in figures of lines, else as a level."""
    if not rows:
        return []
    name = method_title("digital")
    if spec.kind != "lines":
        return [Series(name, [], [mean([row["accuracy_percent"] for row in rows]).mean], "level")]
    levels = list(dict.fromkeys(row[spec.x] for row in rows))
    means = [mean([row["accuracy_percent"] for row in select(rows, **{spec.x: level})]).mean for level in levels]
    return [Series(name, axis.places(levels), means, "dashed")]


def saved_map_plots(study: Study, folder: Path) -> list[HeatMap | Lines]:
    """Return, for each saved tile and method, its stuck devices, its conductances and a histogram of their changes.

    Parameters
    ----------
    study : Study
        What was declared.
    folder : path
        The folder with ``maps.npz``.

    Raises
    ------
    DataFileError
        If that file is missing or is not what is needed.
    """
    names = list(dict.fromkeys(name.rsplit("/", 1)[0] for name in load_npz(folder / "maps.npz")))
    kinds = {"stuck": "b", "before": "f", "after": "f"}
    declared = {f"{name}/{key}": (kind, ("rows", "columns")) for name in names for key, kind in kinds.items()}
    maps: dict[str, Any] = read_arrays(folder / "maps.npz", declared)
    plots: list[HeatMap | Lines] = []
    for name in names:
        stuck, before, after = (maps[f"{name}/{key}"] for key in ("stuck", "before", "after"))
        before, after = before * 1e6, after * 1e6
        span = ends(np.concatenate([before[~stuck], after[~stuck]]))
        *level, method, tile = map(unquote, name.rsplit("/", 2))
        level = [_shown(each) for each in level]
        if level and len(study.spec.axes) == 1:
            level = [f"{_label(study, next(iter(study.spec.axes)))}: {level[0]}"]
        where = ", ".join([*level, method_label(study, method), f"tile {tile}"])
        plots.append(HeatMap(where, defect_classes(stuck, before, span), "", classes=STUCK))
        for values, when in ((before, "before"), (after, "after")):
            plots.append(HeatMap(f"conductance {when} in-situ training", values, "µS", limits=span))
        change = (after - before)[~stuck]
        counts, edges = np.histogram(change, BINS)
        title = f"working devices: mean change {np.abs(change).mean():.1f} µS"
        bins = Series("devices", edges, [*counts, 0], "steps")
        plots.append(Lines(title, "change (µS)", "devices", (bins,), "y"))
    return plots


def _label(study: Study, axis: str) -> str:
    spec = study.spec.axes.get(axis)
    return (spec.label if spec is not None else "") or axis.replace("_", " ")
