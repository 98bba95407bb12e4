"""The page of a run, finished or under way, from the files of its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.control import ATTOJOULE
from circuitmem.engine import REFEREES, referee_names, simulators
from circuitmem.records import (
    STATE_ARRAYS,
    Digital,
    Method,
    Partial,
    Provenance,
    Record,
    Results,
    read_arrays,
    read_config,
    read_record,
)
from circuitmem.report.costs import precision_note, product_costs, rms_errors
from circuitmem.report.page import Page
from circuitmem.study.plots import Bars, HeatMap, Lines, Plot, Series, Views
from circuitmem.training import method_title
from circuitmem.training.method_result import ERROR_EDGES

__all__ = ["draw_run_page", "load_run_record"]

TILES = 12
"""Maps of so many tiles are put into the page, spread over all of them: every tile of a large run would be too much."""
WHEN = ("before", "after")
SCORES = ("accuracy_percent", "rmse", "r2")
"""What a test says: the first of classes, the others of values."""


def load_run_record(folder: str | Path) -> dict[str, Any]:
    """Gather what a run has reached so far, method by method.

    Returns
    -------
    dict
        ``finished`` (bool), ``digital`` (``accuracy_percent``, or ``rmse`` and ``r2``; empty at first), ``methods``
        (name to what ``method_NAME.json`` holds, perhaps unfinished), ``running`` (names of the unfinished ones),
        ``results`` and ``provenance`` (once finished).

    Raises
    ------
    DataFileError
        If the folder is not a run, or a file of it is damaged.
    """
    path = Path(folder)
    spec = read_config(path)
    results, provenance = _load(path / "results.json", Results), _load(path / "provenance.json", Provenance)
    digital = _load(path / "digital.json", Digital)
    found: dict[str, tuple[str, Path]] = {}
    files = sorted([*path.glob("method_*.json"), *path.glob("partial_*.json")], key=lambda file: file.stat().st_mtime)
    for file in files:
        state, _, name = file.stem.partition("_")
        found[name] = state, file  # the newer one, if a method has just ended
    names = [name for name in spec.methods if name in found]
    methods = {name: _load(found[name][1], Partial if found[name][0] == "partial" else Method) for name in names}
    if results:
        digital = {key: results[key]["digital"] for key in SCORES if key in results}
    return {
        "finished": bool(results),
        "digital": digital,
        "methods": methods,
        "running": [name for name in names if found[name][0] == "partial"],
        "results": results,
        "provenance": provenance,
    }


def _load(path: Path, kind: type[Record]) -> dict[str, Any]:
    return read_record(path, kind) if path.exists() else {}


def draw_run_page(folder: str | Path, *, news: str = "", figures: bool = True) -> list[Path]:
    """Write ``report.html``, and its figures as SVG and PNG, into the folder of a run, finished or under way.

    Parameters
    ----------
    folder : path
        The run.
    news : str
        Given if the page is watched: it asks for news, and loads itself again once they are other than these.
    figures : bool
        Write the figures too, which takes as long as the page itself.

    Returns
    -------
    list of path
        What was written, the page first.

    Raises
    ------
    DataFileError
        If the folder is not a run, or a file of it is damaged.
    """
    path = Path(folder)
    record = load_run_record(path)
    spec = read_config(path)
    page = Page(path)
    methods = record["methods"]
    values = _predicts_values(record)
    reached, words = ("RMSE", "RMSE in the units of the targets") if values else ("Accuracy", "accuracy")
    sections = [
        (reached, f"Test {words}, epoch by epoch; epoch 0 is before training in situ.", _accuracy(record)),
        ("What is taken for what", "At the last test: true classes in rows, answers in columns.", _confusion(methods)),
        ("The array", _ARRAY, _maps(path, methods)),
        ("Time and energy", _COST, _costs(methods)),
        ("Errors of the outputs", _ERRORS, _errors(methods)),
        ("Errors of the products", _PRODUCTS, _products(methods)),
        ("Saturation", "Codes at the end of a converter's range, test reads included.", _saturation(methods)),
    ]
    audit = record["results"].get("audit") or _audit_so_far(record)
    traces = sorted(file.name for file in path.glob("trace_*.gz"))
    content = {
        "name": path.resolve().name,
        "news": news,
        "finished": record["finished"],
        "running": [(_label(name), max(0, len(methods[name]["history"]) - 1)) for name in record["running"]],
        "all_epochs": spec.in_situ.epochs,
        "rows": _rows(record),
        "precision": "" if spec.precision == "double" else precision_note(_reuse(methods)),
        "score": "test RMSE, R2" if values else "test accuracy",
        "warnings": [warning["message"] for warning in record["results"].get("warnings", [])],
        "sections": [
            {"title": title, "text": text, "plots": [page.picture(plot.as_dict(), f"{title} {k}") for k, plot in group]}
            for title, text, plots in sections
            if (group := list(enumerate(plots)))
        ],
        "audit": _audit(audit, simulators(referee_names(spec.audit.referee))),
        "traces": traces,
        "provenance": [(name, _text(value)) for name, value in record["provenance"].items()],
    }
    return page.write("run.html", "report.html", content, figures=figures)


def _audit_so_far(record: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of the audit of a run under way: by the method that has heard of most operations."""
    known = [record["methods"][name].get("audit_so_far", {}) for name in record["running"]]
    return max(known, key=lambda found: found.get("reads", 0) + found.get("pulse_trains", 0), default={})


def _reuse(methods: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return how matrices were worked out, of the methods that are finished."""
    return {name: method["reuse"] for name, method in methods.items() if method.get("reuse")}


def _audit(audit: dict[str, Any], names: str) -> dict[str, Any]:
    """Return a sentence with what the audit found, what narrows its bound, and its tables."""
    error, states = audit.get("largest_relative_error"), audit.get("largest_state_error")
    headline = ""
    if states is not None:
        headline = f"States that pulses left differ by {states:.1e} of their range at most."
    if error is not None:
        left = f" {headline}" if headline else ""
        done = f"{audit['reads']} reads and {audit['pulse_trains']} pulse trains of this run, chosen at random, were"
        beyond = audit["exceeded"]
        headline = f"{done} done again in {names}, all within {error:.1e} of the largest current."
        if beyond:
            headline = f"{done} done again in {names}; {beyond} of them differ by more than is allowed, by {error:.1e}."
        headline += left
    bound = ""
    if audit.get("fraction_bound") is not None:
        bound = (
            f"With {audit['confidence']:.0%} confidence at most {audit['fraction_bound']:.1%} of its "
            f"{audit['of_operations']:,} operations differ by more than {audit['limit']:.0e}. That follows from how "
            "many were done again: audit.tiles and audit.fraction raise the number, and narrow the bound."
        )
    rest = {name: audit[name] for name in ("skipped_reason", "failures", "files") if audit.get(name)}
    return {
        "simulators": names,
        "sentences": [sentence for sentence in (headline, bound) if sentence],
        "methods": [(_label(name), *_audited(found)) for name, found in audit.get("methods", {}).items()],
        "referees": [
            (REFEREES[name].simulator, found["version"], *_audited(found)[:3])
            for name, found in audit.get("referees", {}).items()
        ],
        "rest": [(name.replace("_", " "), _text(value)) for name, value in rest.items()],
    }


def _audited(found: dict[str, Any]) -> tuple[str, ...]:
    error, bound = found["largest_relative_error"], found.get("fraction_bound")
    return (
        f"{found['reads']:,}",
        f"{found['pulse_trains']:,}",
        "" if error is None else f"{error:.1e}",
        f"{found.get('operations', 0):,} of {found.get('of_operations', 0):,}",
        "" if bound is None else f"{bound:.1%}",
    )


def _rows(record: dict[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    if record["digital"]:
        rows.append((_label("digital"), _score(record["digital"]), *[""] * 7))
    for name, method in record["methods"].items():
        time, energy = f"{method['simulated_time_s'] * 1e3:.2f} ms", f"{method['energy_j'] * 1e3:.3f} mJ"
        label = _label(name)
        reached, pulses = _score(method), f"{method['pulses']:,}"
        errors = [rms_errors(method.get("product_errors", {}).get(when, ())) for when in WHEN]
        rows.append((label, reached, time, energy, pulses, *product_costs(method.get("calibration", {})), *errors))
    return rows


def _predicts_values(record: dict[str, Any]) -> bool:
    return "rmse" in record["digital"]


def _score(found: dict[str, Any]) -> str:
    """Return what a test said."""
    if "rmse" in found:
        return f"{found['rmse']:.4g}, {found['r2']:.3f}"
    return f"{found['accuracy_percent']:.2f} %"


def _accuracy(record: dict[str, Any]) -> list[Plot]:
    """Accuracy, or RMSE, of each method against epochs, and against what it spent."""
    score, title, words = "accuracy_percent", "Accuracy", "test accuracy (%)"
    if _predicts_values(record):
        score, title, words = "rmse", "RMSE", "test RMSE (units of the targets)"
    methods = {name: method["history"] for name, method in record["methods"].items() if method["history"]}
    if not methods:
        return []
    longest = max(len(history) for history in methods.values()) - 1
    if not longest:  # nothing is trained, or not yet: there is one number a method
        known = {"digital": record["digital"][score]} if record["digital"] else {}
        known |= {name: history[0][score] for name, history in methods.items()}
        return [Bars(title, tuple(map(_label, known)), words, {words: tuple(known.values())})]
    plots: list[Plot] = []
    for key, label, unit in (("epoch", "epoch", 1.0), ("pulses", "programming pulses (millions)", 1e-6)):
        series = []
        right = max(max(entry[key] for entry in history) for history in methods.values()) * unit
        for name, history in methods.items():
            x, y = ([entry[k] for entry in history] for k in (key, score))
            if len(history) == 1:  # without training: a level to compare with
                series.append(Series(_label(name), [0.0, right], [y[0], y[0]], "dashed"))
            else:
                series.append(Series(_label(name), np.array(x) * unit, y, "both"))
        if record["digital"]:
            series.append(Series(_label("digital"), [0.0, right], [record["digital"][score]] * 2, "dashed"))
        plots.append(Lines(f"{title} against {label}", label, words, tuple(series)))
    return plots


def _confusion(methods: dict[str, Any]) -> list[Plot]:
    maps = [
        HeatMap(_label(name), method["confusion"], "samples", "taken for", "true class")
        for name, method in reversed(methods.items())
        if method.get("confusion")
    ]
    return [Views("Confusion matrix", tuple(maps))] if maps else []


_ARRAY = (
    "Stuck devices, conductances before and after training in situ, and what training changed, tile by tile. All tiles "
    "have the same scale: the range of the cells that are not stuck; what conducts more has the colour of its end."
)


def _maps(path: Path, methods: dict[str, Any]) -> list[Plot]:
    """Show the tiles of the last method that has left its state."""
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
    kinds = np.where(state["stuck"], np.where(state["before"] > np.median(state["before"]), 1.0, -1.0), 0.0)
    before, after, free = state["before"] * 1e6, state["after"] * 1e6, ~state["stuck"]
    span = _ends(np.concatenate([before[free], after[free]]))
    largest = max(_ends(np.abs(after - before))[1], 1e-3)
    for label, values, unit, limits, diverging in (
        ("Defects", kinds, "-1 stuck low, 1 stuck high", (-1.0, 1.0), True),
        ("Conductance before training", before, "µS", span, False),
        ("Conductance after training", after, "µS", span, False),
        ("What training changed", after - before, "µS", (-largest, largest), True),
    ):
        maps = tuple(
            HeatMap(f"tile {tile} of {count}", np.round(values[tile], 2), unit, limits=limits, diverging=diverging)
            for tile in tiles
        )
        plots.append(Views(f"{label}, {_label(name)}", maps, "tile"))
    return plots


def _ends(values: NDArray[Any]) -> tuple[float, float]:
    """Return the lowest and the highest value; 0 and 1 of none."""
    return (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)


_ERRORS = (
    "What the hardware gave for the test samples, less what the digital core's own weights give: the error that "
    "calibration takes away, and that training learns to live with."
)
_COST = "What each phase of a run took, test reads included, and what used the energy."


def _costs(methods: dict[str, Any]) -> list[Plot]:
    """Time and energy by phase and by part, a bar a method; utilisation by resource."""
    done = {name: method for name, method in methods.items() if method.get("phases")}
    if not done:
        return []
    names = tuple(_label(name) for name in done)
    phases = list(dict.fromkeys(phase for method in done.values() for phase in method["phases"]))
    parts = list(dict.fromkeys(part for method in done.values() for part in method["energy_by_part"]))
    resources = list(dict.fromkeys(name for method in done.values() for name in method["utilisation"]))
    energy = {
        phase or "other": [
            method["phases"].get(phase, {}).get("energy", 0) * ATTOJOULE * 1e3 for method in done.values()
        ]
        for phase in phases
    }
    by_part = {part: [m["energy_by_part"].get(part, 0) * ATTOJOULE * 1e3 for m in done.values()] for part in parts}
    busy = {
        name: [100.0 * method["utilisation"].get(name, {}).get("fraction", 0.0) for name in resources]
        for name, method in zip(names, done.values(), strict=True)
    }
    used = tuple(
        Bars(f"{name}", tuple(resources), "busy (% of the simulated time)", {"busy": values})
        for name, values in busy.items()
    )
    return [
        Bars("Energy by phase", names, "energy (mJ)", energy),
        Bars("Energy by what used it", names, "energy (mJ)", by_part),
        Views("Utilisation of each resource: the fullest is the bottleneck", tuple(reversed(used))),
    ]


def _errors(methods: dict[str, Any]) -> list[Plot]:
    """Errors of the outputs of each method, before training in situ and at the end."""
    plots: list[Plot] = []
    middle = 0.5 * (ERROR_EDGES[1:] + ERROR_EDGES[:-1])
    for key, when in (("before_training", "before training in situ"), ("at_the_end", "at the end of training")):
        series = [
            Series(_label(name), middle, 100.0 * np.array(counts) / max(sum(counts), 1))
            for name, method in methods.items()
            if (counts := method.get("output_errors", {}).get(key))
        ]
        if series:
            plots.append(
                Lines(f"Errors {when}", "error (fraction of the largest output)", "outputs (% a bin)", tuple(series))
            )
    return plots


_PRODUCTS = (
    "What each layer's tiles made of test samples when the chip was brought up, against the product with the weights "
    "that were asked for: root mean square, relative to the largest. Training in situ then changes the weights."
)


def _products(methods: dict[str, Any]) -> list[Plot]:
    """Errors of products before and after calibration, a pair of bars a method and a plot a layer."""
    done = {name: found for name, method in methods.items() if "after" in (found := method.get("product_errors", {}))}
    if not done:
        return []
    names = tuple(_label(name) for name in done)
    layers = min(len(found["before"]) for found in done.values())
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


def _saturation(methods: dict[str, Any]) -> list[Plot]:
    """Conversions that ended at the end of the range."""
    saturated = {name: method["saturated_codes"] for name, method in methods.items() if method.get("saturated_codes")}
    names = tuple(_label(name) for name in saturated)
    parts = {part.upper(): [counts[part] for counts in saturated.values()] for part in ("adc", "dac")}
    return [Bars("Saturated codes", names, "codes", parts)] if saturated else []


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _label(name: str) -> str:
    """Return what the page calls a method, or the digital network."""
    return "digital network" if name == "digital" else method_title(name)
