"""Figures of a study, drawn from its table and its saved maps; nothing is computed again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from circuitmem.config import FigureSpec
from circuitmem.errors import DataFileError
from circuitmem.files import load_npz, write_bytes
from circuitmem.records import read_arrays
from circuitmem.report.palette import COLOURS, mark, name_colours
from circuitmem.report.run_plots import STUCK, defect_classes, ends
from circuitmem.report.stills import LONGEST, class_map, pdf, png
from circuitmem.study.spec import Study
from circuitmem.study.statistics import mean, select, watched_rows
from circuitmem.study.store import INFERENCE, MEASURES, PART, Row, load_table
from circuitmem.training import method_title

__all__ = ["AXIS_LABELS", "SCALES", "draw_study", "method_label", "pareto_front", "pareto_points"]

NO_LEVELS = {"seed", "point", "method", "epoch", "end", PART, *MEASURES, *INFERENCE}
"""Columns of a study's table that are not axes."""
FEWEST = 3
"""Fewest maps for an interval: of fewer it is of no use, and the figure says that none is drawn."""
LETTERS = 20
"""Letters per inch in the legend; a title has three quarters as many."""
LINE = 0.16
"""Height of a line of the legend [inches]; panels have room for two."""
FEW_DECADES = 1e3
"""Largest ratio of the ends of a logarithmic axis that has three ticks per decade."""
ACROSS = 4
"""Panels side by side in a picture for pages; more follow below."""
COLUMN = 85 / 25.4
"""Width of a panel: one column of a journal [inches]. A PDF for papers has its panels one below the other."""
_RC: Any = {"font.size": 8, "axes.titlesize": 8, "legend.fontsize": 7, "pdf.fonttype": 42, "lines.linewidth": 1.2}

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


def draw_study(study: Study, folder: Path) -> list[Path]:
    """Draw every figure that a study declares into ``figures/`` of a folder with its results.

    Each is saved as PNG for pages, with panels side by side. A figure of curves is also saved as PDF for papers, 85 mm
    wide, with panels one below the other and no letter below 7 points.

    Parameters
    ----------
    study : Study
        What was declared.
    folder : path
        The folder with ``results.parquet``.

    Returns
    -------
    list of path
        The PNG files.

    Raises
    ------
    DataFileError
        If the results are missing, or are not what a figure needs.
    """
    rows, _ = load_table(folder)
    target = folder / "figures"
    try:
        target.mkdir(exist_ok=True)
    except OSError as error:
        raise DataFileError(target, f"cannot be made: {error.strerror}") from None
    paths = []
    for name, spec in study.spec.figures.items():
        with mpl.rc_context(_RC):
            figure = _maps(study, folder) if spec.kind == "maps" else _panels(study, spec, rows)
            write_bytes(
                target / f"{name}.png", png(figure, 90.0 if spec.kind == "maps" else 200.0)
            )  # maps are many and large
            if spec.kind != "maps":
                write_bytes(target / f"{name}.pdf", pdf(_panels(study, spec, rows, across=1)))
        paths.append(target / f"{name}.png")
    return paths


def method_label(study: Study, name: str) -> str:
    """Return the name of a method in figures and tables."""
    variant = study.spec.variants.get(name)
    return (variant.label if variant is not None else "") or method_title(name)


def _panels(study: Study, spec: FigureSpec, rows: list[Row], across: int = ACROSS) -> Figure:
    rows = [dict(row) for row in select(rows, **spec.where)]
    levels = list(dict.fromkeys(row[spec.panels] for row in rows)) if spec.panels else [None]
    across = min(across, max(1, len(levels)))
    down = -(-max(1, len(levels)) // across)
    figure = Figure(figsize=(COLUMN * across, 0.6 + 2.5 * down), layout="constrained")
    if spec.title:
        figure.suptitle("\n".join(wrap(spec.title, int(0.75 * LETTERS * COLUMN * across))), fontsize="medium")
    grid = figure.subplots(down, across, sharey=True, squeeze=False)
    axes = grid.ravel()
    for panel in axes[max(1, len(levels)) :]:
        panel.set_visible(False)
    colours, methods = name_colours(study.spec.methods), spec.methods or study.spec.methods
    validated = spec.kind == "training" and any(row[PART] == "validation" for row in rows)
    for panel, level in zip(axes, levels, strict=False):
        some = rows if spec.panels is None else select(rows, **{spec.panels: level})
        for place, method in enumerate(methods):
            own = select(some, method=method)
            if not own:
                continue
            style = {"color": colours[method], "marker": mark(place), "markersize": 3.5}
            style |= {"label": method_label(study, method)}
            if spec.kind == "pareto":
                _points(panel, pareto_points(own, spec.x), style, SCALES[spec.x])
            elif spec.kind == "lines":
                _line(panel, own, spec, style, 0.12 * (place - 0.5 * (len(methods) - 1)))
            else:
                _history(panel, own, spec, style)
        if spec.kind == "pareto":
            found = [point for name in methods for point in pareto_points(select(some, method=name), spec.x)]
            _front(panel, found, SCALES[spec.x])
        if spec.y == "accuracy_percent":
            if not validated:  # the digital network is tested on test samples only
                _reference(panel, select(some, method="digital"), spec)
            panel.set_ylim(spec.minimum, spec.maximum)
        else:
            panel.set_yscale("log")
        if spec.panels:
            panel.set_title(f"{_label(study, spec.panels)}: {level}")
        if spec.x == "epoch":
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        if spec.logarithmic:
            panel.set_xscale("log")
            ticks = sorted({row[spec.x] for row in some}) if spec.x in study.spec.axes else []
            if ticks and not isinstance(ticks[0], str):  # the levels, not powers of ten between them
                words = [_short(tick) for tick in ticks]
                slanted: Any = {"rotation": 30, "ha": "right"} if sum(map(len, words)) > 20 else {}
                panel.set_xticks(ticks, words, **slanted)
                panel.xaxis.set_minor_locator(NullLocator())
            else:
                _plain_decades(panel)
        panel.set(xlabel=AXIS_LABELS.get(spec.x) or _label(study, spec.x))
        panel.grid(alpha=0.3)
    for panel in grid[:, 0]:
        panel.set_ylabel("accuracy on validation samples (%)" if validated else AXIS_LABELS[spec.y])
    note = ""
    if spec.kind == "lines" and any(select(rows, method=name) for name in methods):
        few = min(len({row["seed"] for row in select(rows, method=name)}) or FEWEST for name in methods) < FEWEST
        note = f"fewer than {FEWEST} maps: no intervals" if few else ""
    # The legend is below the panels: inside, it would hide points.
    drawn: dict[str, Any] = {}  # of all panels: a method may be missing in the first
    for panel in axes:
        drawn |= {label: handle for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)}
    beside = max(1, min(3, int(LETTERS * figure.get_figwidth() / (max(map(len, drawn), default=1) + 8))))
    below: Any = {"title": note, "title_fontsize": 7} if note else {}
    lines = -(-len(drawn) // beside) + bool(note)
    figure.set_figheight(
        figure.get_figheight() + LINE * max(0, lines - 2)
    )  # so that a long legend does not shrink the panels
    figure.legend(drawn.values(), drawn, frameon=False, loc="outside lower center", ncols=beside, **below)
    return figure


def _plain_decades(panel: Any) -> None:
    """Label a logarithmic axis with plain numbers: 1, 2 and 5 per decade if it spans few, else powers of ten."""
    low, high = panel.get_xlim()
    panel.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < FEW_DECADES * low else (1.0,)))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())


def _short(tick: float) -> str:
    """Return a number in few characters, so that the ticks of a long axis fit side by side."""
    text = f"{tick:g}"
    return text if len(text) <= 6 else re.sub(r"e\+?(-?)0*", r"e\1", f"{tick:.2g}")


def _line(panel: Any, rows: Sequence[Any], spec: FigureSpec, style: dict[str, Any], aside: float) -> None:
    """Draw the final means along an axis, with 95 % confidence intervals.

    Levels that are names are not joined, as there is nothing between them; their points are shifted by ``aside``.
    """
    ends = select(rows, end=True)
    levels = list(dict.fromkeys(row[spec.x] for row in ends))
    found = [mean([SCALES[spec.y] * row[spec.y] for row in select(ends, **{spec.x: level})]) for level in levels]
    widths = [each.half_width if each.count >= FEWEST else 0.0 for each in found]
    places: Any = levels
    if _are_names(levels):
        places = np.arange(len(levels)) + aside
        slanted: Any = {"rotation": 30, "ha": "right"} if sum(len(str(level)) for level in levels) > 50 else {}
        panel.set_xticks(np.arange(len(levels)), levels, **slanted)
        style = style | {"linestyle": "none"}
    panel.errorbar(places, [each.mean for each in found], widths, capsize=2, **style)


def _are_names(levels: Sequence[Any]) -> bool:
    """Say whether any level is a name, and not a number with or without a unit."""
    return any(isinstance(level, str) and not re.fullmatch(r"[\d.]+( \S+)?", level) for level in levels)


def _history(panel: Any, rows: Sequence[Any], spec: FigureSpec, style: dict[str, Any]) -> None:
    """Draw mean accuracy against mean cost during training; a method without training is a dotted line."""
    rows = watched_rows(rows)
    epochs = sorted({row["epoch"] for row in rows})
    by_epoch = [select(rows, epoch=epoch) for epoch in epochs]
    accuracy = [mean([row["accuracy_percent"] for row in some]).mean for some in by_epoch]
    if len(epochs) == 1:
        panel.axhline(accuracy[0], linestyle=":", **style | {"marker": ""})
        return
    cost = [SCALES[spec.x] * float(np.mean([row[spec.x] for row in some])) for some in by_epoch]
    panel.plot(cost, accuracy, **style)


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


def _points(panel: Any, points: Sequence[tuple[float, float]], style: dict[str, Any], scale: float) -> None:
    panel.plot([scale * cost for cost, _ in points], [accuracy for _, accuracy in points], linestyle="none", **style)


def _front(panel: Any, points: Sequence[tuple[float, float]], scale: float) -> None:
    """Draw the Pareto front as a staircase: between two points the accuracy is that of the cheaper one."""
    front = pareto_front(points)
    costs, accuracies = [scale * cost for cost, _ in front], [accuracy for _, accuracy in front]
    panel.step(costs, accuracies, where="post", color="black", linewidth=0.8, zorder=0, label="not surpassed")


def _reference(panel: Any, rows: Sequence[Any], spec: FigureSpec) -> None:
    """Draw the digital network: along the axis in figures of lines, else as a horizontal line."""
    if not rows:
        return
    style = {"color": "black", "linestyle": "--", "linewidth": 1.0, "label": method_title("digital")}
    if spec.kind == "lines":
        levels = list(dict.fromkeys(row[spec.x] for row in rows))
        means = [mean([row["accuracy_percent"] for row in select(rows, **{spec.x: level})]).mean for level in levels]
        panel.plot(np.arange(len(levels)) if _are_names(levels) else levels, means, **style)
    else:
        panel.axhline(mean([row["accuracy_percent"] for row in rows]).mean, **style)


def _maps(study: Study, folder: Path) -> Figure:
    """Draw stuck devices, and conductances before and after training, one row for each saved tile and method."""
    names = list(dict.fromkeys(name.rsplit("/", 1)[0] for name in load_npz(folder / "maps.npz")))
    kinds_of = {"stuck": "b", "before": "f", "after": "f"}
    declared = {f"{name}/{key}": (kind, ("rows", "columns")) for name in names for key, kind in kinds_of.items()}
    maps: dict[str, Any] = read_arrays(folder / "maps.npz", declared)
    figure = Figure(figsize=(4 * COLUMN, 2.9 * len(names)), layout="constrained")
    grid = figure.subplots(len(names), 4, squeeze=False)
    for axes, name in zip(grid, names, strict=True):
        stuck, before, after = (maps[f"{name}/{key}"] for key in ("stuck", "before", "after"))
        before, after = before * 1e6, after * 1e6
        rows, columns = stuck.shape
        aspect: Any = "equal" if max(rows / columns, columns / rows) <= LONGEST else "auto"
        span = ends(np.concatenate([before[~stuck], after[~stuck]]))
        class_map(axes[0], defect_classes(stuck, before, span), STUCK, aspect)
        *level, method, tile = name.rsplit("/", 2)
        if level and len(study.spec.axes) == 1:
            level = [f"{_label(study, next(iter(study.spec.axes)))}: {level[0]}"]
        axes[0].set_title(", ".join([*level, method_label(study, method), f"tile {tile}"]))
        for panel, values, title in (
            (axes[1], before, "before in-situ training"),
            (axes[2], after, "after in-situ training"),
        ):
            picture = panel.imshow(
                values, cmap="viridis", vmin=span[0], vmax=span[1], interpolation="nearest", aspect=aspect
            )
            panel.set_title(f"conductance {title}")
            figure.colorbar(picture, ax=panel, label="µS", extend="max")
        change = (after - before)[~stuck]
        axes[3].hist(change, bins=60, color=COLOURS[0])
        axes[3].set_title(f"working devices: mean change {np.abs(change).mean():.1f} µS")
        axes[3].set(xlabel="change (µS)", ylabel="devices", yscale="log")
        for panel in axes[:3]:
            panel.set(xlabel="bit line", ylabel="word line")
    return figure


def _label(study: Study, axis: str) -> str:
    spec = study.spec.axes.get(axis)
    return (spec.label if spec is not None else "") or axis.replace("_", " ")
