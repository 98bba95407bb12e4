"""The page of a run, finished or under way, from the files of its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from circuitmem.engine import REFEREES, RefereeName, audit_sentences, bound_text, referee_names, simulators
from circuitmem.records import Digital, MethodRecord, Partial, Provenance, Record, Results, read_config, read_record
from circuitmem.report.costs import precision_note, product_costs, rms_errors
from circuitmem.report.page import ENDINGS, Page
from circuitmem.report.prefixes import column
from circuitmem.report.run_plots import (
    WHEN,
    accuracy_plots,
    confusion_plots,
    cost_plots,
    error_plots,
    map_plots,
    predicts_values,
    product_plots,
    saturation_plots,
)
from circuitmem.training import method_title

__all__ = ["draw_run_page", "load_run_record"]

SCORES = ("accuracy_percent", "rmse", "r2")
"""Scores of a test: the first for classes, the others for values."""
_ARRAY = (
    "Stuck devices, conductances before and after training in situ, and what training changed, tile by tile. All tiles "
    "have the same scale: the range of the cells that are not stuck; what conducts more has the colour of its end."
)
_ERRORS = (
    "What the hardware gave for the test samples, less what the digital core's own weights give: the error that "
    "calibration takes away, and that training learns to live with."
)
_COST = "Energy of each phase of a run, test reads included, what used it, and how busy each resource was."
_PRODUCTS = (
    "What each layer's tiles made of test samples when the chip was brought up, against the product with the weights "
    "that were asked for: root mean square, relative to the largest. Training in situ then changes the weights."
)


def load_run_record(folder: str | Path) -> dict[str, Any]:
    """Gather the results of a run so far, method by method.

    Returns
    -------
    dict
        ``finished`` (bool), ``digital`` (``accuracy_percent``, or ``rmse`` and ``r2``; empty at first), ``methods``
        (by name, the content of ``method_NAME.json``, perhaps unfinished), ``running`` (names of the unfinished ones),
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
    methods = {name: _load(found[name][1], Partial if found[name][0] == "partial" else MethodRecord) for name in names}
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
    """Write ``report.html``, and its figures as SVG, PNG and PDF, into the folder of a run, finished or under way.

    Parameters
    ----------
    folder : path
        The run.
    news : str
        For a page that is watched: it asks the server for news, and reloads itself once they differ from this text.
    figures : bool
        Whether to write the figures too, which takes as long as the page itself.

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
    values = predicts_values(record)
    reached, words = ("RMSE", "RMSE in the units of the targets") if values else ("Accuracy", "accuracy")
    sections = [
        (reached, f"Test {words}, epoch by epoch; epoch 0 is before training in situ.", accuracy_plots(record)),
        (
            "What is taken for what",
            "At the last test: true classes in rows, answers in columns.",
            confusion_plots(methods),
        ),
        ("The array", _ARRAY, map_plots(path, methods)),
        ("Energy and utilisation", _COST, cost_plots(methods)),
        ("Errors of the outputs", _ERRORS, error_plots(methods)),
        ("Errors of the products", _PRODUCTS, product_plots(methods)),
        ("Saturation", "Codes at the end of a converter's range, test reads included.", saturation_plots(methods)),
    ]
    audit = record["results"].get("audit") or _audit_so_far(record)
    traces = sorted(file.name for file in path.glob("trace_*.gz"))
    content = {
        "name": path.resolve().name,
        "news": news,
        "finished": record["finished"],
        "running": [(method_title(name), max(0, len(methods[name]["history"]) - 1)) for name in record["running"]],
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
        "audit": _audit(audit, referee_names(spec.audit.referee)),
        "traces": traces,
        "provenance": [(name, _text(value)) for name, value in record["provenance"].items()],
    }
    return page.write("run.html", "report.html", content, figures=(*ENDINGS, ".pdf") if figures else ())


def _audit_so_far(record: dict[str, Any]) -> dict[str, Any]:
    """Return the audit of a run under way so far, from the running method that knows of most audited operations."""
    known = [record["methods"][name].get("audit_so_far", {}) for name in record["running"]]
    return max(known, key=lambda found: found.get("reads", 0) + found.get("pulse_trains", 0), default={})


def _reuse(methods: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return the record of transfer matrices of each method that has one."""
    return {name: method["reuse"] for name, method in methods.items() if method.get("reuse")}


def _audit(audit: dict[str, Any], referees: tuple[RefereeName, ...]) -> dict[str, Any]:
    """Return what the audit found in sentences, and its tables."""
    rest = {name: audit[name] for name in ("skipped_reason", "failures", "files") if audit.get(name)}
    return {
        "simulators": simulators(referees),
        "sentences": audit_sentences(audit, referees),
        "methods": [(method_title(name), *_audited(found)) for name, found in audit.get("methods", {}).items()],
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
        "" if bound is None else bound_text(bound),
    )


def _rows(record: dict[str, Any]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    if record["digital"]:
        rows.append((method_title("digital"), _score(record["digital"]), *[""] * 7))
    methods = record["methods"].values()
    times = column([method["simulated_time_s"] for method in methods], "s", 2)
    energies = column([method["energy_j"] for method in methods], "J", 3)
    for (name, method), time, energy in zip(record["methods"].items(), times, energies, strict=True):
        label = method_title(name)
        reached, pulses = _score(method), f"{method['pulses']:,}"
        errors = [rms_errors(method.get("product_errors", {}).get(when, ())) for when in WHEN]
        rows.append((label, reached, time, energy, pulses, *product_costs(method.get("calibration", {})), *errors))
    return rows


def _score(found: dict[str, Any]) -> str:
    """Return the scores of a test in words."""
    if "rmse" in found:
        return f"{found['rmse']:.4g}, {found['r2']:.3f}"
    return f"{found['accuracy_percent']:.2f} %"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)
