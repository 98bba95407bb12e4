"""Figures of a run, drawn from the files of its folder."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from circuitmem.errors import DataFileError
from circuitmem.files import write_bytes, write_text
from circuitmem.records import STATE_ARRAYS, Digital, Method, Results, read_arrays, read_config, read_record
from circuitmem.report.bottleneck import bottleneck_table, draw_bottleneck
from circuitmem.report.stills import png
from circuitmem.training import method_title

__all__ = ["draw_run"]

COLOURS = ("#7f7f7f", "#e69f00", "#0072b2", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442")
TILE = 0
"""The tile that maps are drawn of: the first of the first layer."""


def draw_run(folder: str | Path) -> list[Path]:
    """Draw all figures of a run whose methods are finished into its folder and return their paths.

    Raises
    ------
    DataFileError
        If the folder is not such a run, or a figure cannot be written.
    """
    path = Path(folder)
    results = _results(path)
    last = list(results["history"])[-1]
    state: dict[str, Any] = read_arrays(path / f"state_{last}.npz", STATE_ARRAYS)
    figures = {"accuracy.png": _accuracy(results), "tile.png": _tile(state)}
    if "phases" in results:  # a run of an older version has none
        figures["bottleneck.png"] = draw_bottleneck(results)
        write_text(path / "bottleneck.txt", bottleneck_table(results))
    for name, figure in figures.items():
        write_bytes(path / name, png(figure))
    return [path / name for name in figures]


def _results(path: Path) -> dict[str, Any]:
    """Return the results of a run, or, before its audit has ended, as much of them as is drawn."""
    if (path / "results.json").exists():
        return read_record(path / "results.json", Results)
    files = {}
    if (path / "digital.json").exists():
        files = {name: path / f"method_{name}.json" for name in read_config(path).methods}
    if not files or not all(file.exists() for file in files.values()):
        raise DataFileError(path, "is not a finished run (no readable results.json)")
    methods = {name: read_record(file, Method) for name, file in files.items()}
    found = {key: {name: method[of] for name, method in methods.items()} for key, of in _DRAWN.items()}
    return found | {key: {"digital": own} for key, own in read_record(path / "digital.json", Digital).items()}


_DRAWN = {
    "history": "history",
    "phases": "phases",
    "accounts": "accounts",
    "energy_by_part_aj": "energy_by_part",
    "utilisation": "utilisation",
}
"""What is drawn, by its names in ``results.json`` and in ``method_NAME.json``."""


def _accuracy(results: dict[str, Any]) -> Figure:
    """Test accuracy, or RMSE, against epochs and against pulses spent; one bar a method where none is trained."""
    key = "rmse" if "rmse" in results else "accuracy_percent"
    if all(len(history) == 1 for history in results["history"].values()):
        return _bars(results, key)
    figure = Figure(figsize=(10, 4), layout="constrained")
    by_epoch, by_pulse = figure.subplots(1, 2, sharey=True)
    for axes in (by_epoch, by_pulse):
        axes.axhline(results[key]["digital"], color="black", linestyle="--", label="digital network")
        axes.grid(alpha=0.3)
    for colour, (name, history) in zip(cycle(COLOURS), results["history"].items(), strict=False):
        accuracy = [entry[key] for entry in history]
        style = {"color": colour, "label": method_title(name), "marker": "o"}
        if len(history) == 1:
            # A method without training is one point, hidden below the start of its trained sister: a line shows it.
            for axes in (by_epoch, by_pulse):
                axes.axhline(accuracy[0], color=colour, linestyle=":", zorder=3)
            style |= {"linestyle": ":", "marker": "s"}
        by_epoch.plot([entry["epoch"] for entry in history], accuracy, **style)
        by_pulse.plot([entry["pulses"] for entry in history], accuracy, **style)
    by_epoch.set(xlabel="epoch of in-situ training")
    if key == "rmse":
        by_epoch.set(ylabel="test RMSE (units of the targets)")
        by_epoch.set_ylim(bottom=0.0)
    else:
        by_epoch.set(ylabel="test accuracy (%)", ylim=(0, 100))
    by_pulse.set(xlabel="programming pulses")
    by_epoch.xaxis.set_major_locator(MaxNLocator(integer=True))
    by_pulse.xaxis.set_major_formatter(EngFormatter(sep=""))
    by_pulse.xaxis.set_major_locator(MaxNLocator(5))
    by_epoch.legend(loc="upper right" if key == "rmse" else "lower right", fontsize="small")
    return figure


def _bars(results: dict[str, Any], key: str) -> Figure:
    """Accuracy, or RMSE, of the digital network and of methods that do not train."""
    found = {"digital network": results[key]["digital"]}
    found |= {method_title(name): history[0][key] for name, history in results["history"].items()}
    figure = Figure(figsize=(8, 1.2 + 0.5 * len(found)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(list(found), list(found.values()), color=("black", *COLOURS)[: len(found)])
    axes.bar_label(bars, fmt="%.3g" if key == "rmse" else "%.1f", padding=3)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set(xlabel="test RMSE (units of the targets)" if key == "rmse" else "test accuracy (%)")
    if key == "rmse":
        axes.margins(x=0.12)
    else:
        axes.set(xlim=(0, 110), xticks=range(0, 101, 20))
    return figure


def _tile(state: dict[str, Any]) -> Figure:
    """Stuck devices of one tile, and its conductances before and after training."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    axes = figure.subplots(1, 3)
    stuck, before, after = state["stuck"][TILE], state["before"][TILE] * 1e6, state["after"][TILE] * 1e6
    kinds = np.where(stuck, np.where(before > 100.0, 2, 1), 0)
    picture = axes[0].imshow(kinds, cmap="viridis", vmin=0, vmax=2, interpolation="nearest")
    figure.colorbar(picture, ax=axes[0], ticks=[0, 1, 2]).set_ticklabels(["works", "stuck-off", "stuck-on"])
    axes[0].set_title(f"devices of tile {TILE}: {100 * stuck.mean():.0f} % stuck")
    for place, conductance, when in ((1, before, "before"), (2, after, "after")):
        picture = axes[place].imshow(conductance, cmap="magma", vmin=0, vmax=300, interpolation="nearest")
        axes[place].set_title(f"conductance {when} in-situ training")
        figure.colorbar(picture, ax=axes[place], label="µS", extend="max")
    for ax in axes:
        ax.set(xlabel="bit line", ylabel="word line")
    return figure
