"""Plots of a run, finished or under way, as data for its page and its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.control import ATTOJOULE
from circuitmem.records import STATE_ARRAYS, read_arrays
from circuitmem.report.costs import FEW, part_title
from circuitmem.study.plots import Bars, HeatMap, Lines, Plot, Series, Views
from circuitmem.training import method_title
from circuitmem.training.method_result import ERROR_EDGES

__all__ = [
    "STUCK",
    "WHEN",
    "accuracy_plots",
    "confusion_plots",
    "cost_plots",
    "defect_classes",
    "ends",
    "error_plots",
    "map_plots",
    "predicts_values",
    "product_plots",
    "saturation_plots",
]

TILES = 12
"""Number of tiles with maps on the page, spread over all tiles: a large run has too many to show each of them."""
WHEN = ("before", "after")
STUCK = ("works", "stuck low", "stuck high")
"""Classes of cells in maps of defects."""


def accuracy_plots(record: dict[str, Any]) -> list[Plot]:
    """Plot accuracy, or RMSE, of each method against epochs and against programming pulses."""
    score, title, words = "accuracy_percent", "Accuracy", "test accuracy (%)"
    if predicts_values(record):
        score, title, words = "rmse", "RMSE", "test RMSE (units of the targets)"
    methods = {name: method["history"] for name, method in record["methods"].items() if method["history"]}
    if not methods:
        return []
    longest = max(len(history) for history in methods.values()) - 1
    if not longest:  # nothing is trained, or not yet: one number per method
        known = {"digital": record["digital"][score]} if record["digital"] else {}
        known |= {name: history[0][score] for name, history in methods.items()}
        return [Bars(title, tuple(map(method_title, known)), words, {words: tuple(known.values())})]
    plots: list[Plot] = []
    most = max(entry["pulses"] for history in methods.values() for entry in history)
    thousands = most < 100_000
    pulses = ("programming pulses (thousands)", 1e-3) if thousands else ("programming pulses (millions)", 1e-6)
    for key, label, unit in (("epoch", "epoch", 1.0), ("pulses", *pulses)):
        series = []
        right = max(max(entry[key] for entry in history) for history in methods.values()) * unit
        for name, history in methods.items():
            x, y = ([entry[k] for entry in history] for k in (key, score))
            if len(history) == 1:  # without training: a horizontal line to compare with
                series.append(Series(method_title(name), [0.0, right], [y[0], y[0]], "dashed"))
            else:
                series.append(Series(method_title(name), np.array(x) * unit, y, "both"))
        if record["digital"]:
            series.append(Series(method_title("digital"), [0.0, right], [record["digital"][score]] * 2, "dashed"))
        plots.append(Lines(f"{title} against {label}", label, words, tuple(series)))
    return plots


def predicts_values(record: dict[str, Any]) -> bool:
    """Say whether the network of a run predicts values, not classes."""
    return "rmse" in record["digital"]


def confusion_plots(methods: dict[str, Any]) -> list[Plot]:
    """Show the confusion matrix of each method, the last method first."""
    maps = [
        HeatMap(method_title(name), method["confusion"], "samples", "taken for", "true class")
        for name, method in reversed(methods.items())
        if method.get("confusion")
    ]
    return [Views("Confusion matrix", tuple(maps))] if maps else []


def map_plots(path: Path, methods: dict[str, Any]) -> list[Plot]:
    """Show the tiles of the last method that saved its state."""
    for name in reversed(methods):
        file = path / f"state_{name}.npz"
        if file.is_file():
            break
    else:
        return []
    state: dict[str, NDArray[Any]] = read_arrays(file, STATE_ARRAYS)
    count = len(state["stuck"])
    tiles = np.unique(np.linspace(0, count - 1, min(TILES, count)).astype(int))
    plots: list[Plot] = []
    before, after, stuck = state["before"] * 1e6, state["after"] * 1e6, state["stuck"]
    span = ends(np.concatenate([before[~stuck], after[~stuck]]))
    largest = max(ends(np.abs(after - before))[1], 1e-3)
    drawn: tuple[tuple[str, NDArray[Any], str, dict[str, Any]], ...] = (
        ("Defects", defect_classes(stuck, before, span), "", {"classes": STUCK}),
        ("Conductance before training", before, "µS", {"limits": span}),
        ("Conductance after training", after, "µS", {"limits": span}),
        ("What training changed", after - before, "µS", {"limits": (-largest, largest), "diverging": True}),
    )
    if np.array_equal(before, after):  # of a method that trains nothing
        drawn = drawn[0], ("Conductance", *drawn[1][1:])
    for label, values, unit, given in drawn:
        maps = tuple(HeatMap(f"tile {tile} of {count}", np.round(values[tile], 2), unit, **given) for tile in tiles)
        plots.append(Views(f"{label}, {method_title(name)}", maps, "tile"))
    return plots


def defect_classes(
    stuck: NDArray[np.bool_], conductance: NDArray[np.floating[Any]], span: tuple[float, float] | None = None
) -> NDArray[np.int8]:
    """Return the class (:data:`STUCK`) of each cell: stuck ones are below or above the middle of the working range.

    Parameters
    ----------
    stuck : ndarray of bool
        Which cells are stuck.
    conductance : ndarray, of the same shape
        Conductances of the cells.
    span : (low, high), optional
        The working range; the range of the cells that are not stuck when left out.
    """
    low, high = ends(conductance[~stuck]) if span is None else span
    return np.where(stuck, np.where(conductance > 0.5 * (low + high), 2, 1), 0).astype(np.int8)


def ends(values: NDArray[Any]) -> tuple[float, float]:
    """Return the lowest and the highest value; 0 and 1 if there are none."""
    return (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)


def cost_plots(methods: dict[str, Any]) -> list[Plot]:
    """Plot energy by phase and by part, one bar per method, and utilisation by resource."""
    done = {name: method for name, method in methods.items() if method.get("phases")}
    if not done:
        return []
    names = tuple(method_title(name) for name in done)
    phases = list(dict.fromkeys(phase for method in done.values() for phase in method["phases"]))
    parts = list(dict.fromkeys(part for method in done.values() for part in method["energy_by_part"]))
    resources = list(dict.fromkeys(name for method in done.values() for name in method["utilisation"]))
    energy = {
        phase or "other": [
            method["phases"].get(phase, {}).get("energy", 0) * ATTOJOULE * 1e3 for method in done.values()
        ]
        for phase in phases
    }
    by_part = {
        part_title(part): [m["energy_by_part"].get(part, 0) * ATTOJOULE * 1e3 for m in done.values()] for part in parts
    }
    busy = {
        name: [100.0 * method["utilisation"].get(name, {}).get("fraction", 0.0) for name in resources]
        for name, method in zip(names, done.values(), strict=True)
    }
    return [
        Bars("Energy by phase", names, "energy (mJ)", energy),
        Bars("Energy by what used it", names, "energy (mJ)", by_part),
        Bars("Resources: the fullest is the bottleneck", tuple(resources), "busy (% of the time)", busy, stacked=False),
    ]


def error_plots(methods: dict[str, Any]) -> list[Plot]:
    """Plot the distribution of output errors of each method, before training in situ and at the end."""
    plots: list[Plot] = []
    middle = 0.5 * (ERROR_EDGES[1:] + ERROR_EDGES[:-1])
    for key, when in (("before_training", "before training in situ"), ("at_the_end", "at the end of training")):
        series = [
            Series(method_title(name), middle, 100.0 * np.array(counts) / max(sum(counts), 1))
            for name, method in methods.items()
            if (counts := method.get("output_errors", {}).get(key))
        ]
        if series:
            plots.append(
                Lines(f"Errors {when}", "error (fraction of the largest output)", "outputs (% a bin)", tuple(series))
            )
    return plots


def product_plots(methods: dict[str, Any]) -> list[Plot]:
    """Plot errors of products before and after calibration: one plot per layer, or one of all if there are many."""
    done = {name: found for name, method in methods.items() if "after" in (found := method.get("product_errors", {}))}
    if not done:
        return []
    names = tuple(method_title(name) for name in done)
    layers = min(len(found["before"]) for found in done.values())
    if layers > FEW:
        series = [
            Series(f"{name}, {when} calibration", np.arange(1, layers + 1), errors, "both")
            for name, found in zip(names, done.values(), strict=True)
            for when in WHEN
            if (errors := [100.0 * error["rmse"] for error in found[when][:layers]])
        ]
        return [Lines("Errors of the products, layer by layer", "layer", "rms error (% of the largest)", tuple(series))]
    return [
        Bars(
            f"Errors of the products of layer {layer + 1}",
            names,
            "rms error (% of the largest)",
            {f"{when} calibration": [100.0 * found[when][layer]["rmse"] for found in done.values()] for when in WHEN},
            stacked=False,
        )
        for layer in range(layers)
    ]


def saturation_plots(methods: dict[str, Any]) -> list[Plot]:
    """Plot how many conversions ended at an end of the range."""
    saturated = {name: method["saturated_codes"] for name, method in methods.items() if method.get("saturated_codes")}
    names = tuple(method_title(name) for name in saturated)
    parts = {part.upper(): [counts[part] for counts in saturated.values()] for part in ("adc", "dac")}
    return [Bars("Saturated codes", names, "codes", parts)] if saturated else []
