"""The page of a validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from circuitmem.engine import REFEREES
from circuitmem.report.page import Page, slug

__all__ = ["draw_validation"]

_SHOWN = {
    "stage",
    "referee",
    "about",
    "cases",
    "worst",
    "bound",
    "pass",
    "verdict",
    "wall_time_s",
    "seconds",
    "plots",
    "replay",
}
_NAMES: dict[str, str] = {name: engine.simulator for name, engine in REFEREES.items()}
_PROVENANCE = (
    "circuitmem",
    "kernels",
    "ngspice",
    "ngspice_options",
    "vacask",
    "vacask_options",
    "python",
    "numpy",
    "platform",
    "seed",
    "finished",
    "wall_time_s",
)


def draw_validation(record: dict[str, Any], folder: str | Path) -> list[Path]:
    """Write ``report.html``, and its figures as SVG and PNG, into the folder of a validation.

    Parameters
    ----------
    record : dict
        What :func:`circuitmem.study.validate.validate_engines` returned, or ``validation.json`` holds.
    folder : path
        Where the page goes.

    Returns
    -------
    list of path
        What was written, the page first.
    """
    page = Page(folder)
    stages = [_stage(page, stage, record["referee"] == "all") for stage in record["stages"]]
    content = {
        **{key: record[key] for key in ("finished", "seed", "quick")},
        "stages": stages,
        "failed": [stage["stage"] for stage in stages if stage["verdict"] == "fail"],
        "undecided": [stage["stage"] for stage in stages if stage["verdict"] == "undecided"],
        "referees": " and ".join(label for name, label in _NAMES.items() if name in record),
        "between": [_three_ways(line) for line in record["between_referees"]],
        "steps": _steps(record["stages"]),
        "speed_columns": _speed_columns(record["speed"]),
        "cases": sum({stage["stage"]: stage["cases"] for stage in record["stages"]}.values()),
        "speed_plot": page.picture(record["speed_plot"], "speed"),
        "speed_rows": [_speed_row(row) for row in record["speed"]],
        "baseline": [
            (line["stage"], _number(line["before"]), _number(line["after"]), line["change"])
            for line in record.get("baseline", [])
        ],
        "provenance": [(name, _plain(record[name])) for name in _PROVENANCE if name in record],
    }
    return page.write("validation.html", "report.html", content)


def _stage(page: Page, stage: dict[str, Any], several: bool) -> dict[str, Any]:
    title = f"{stage['stage']}, {_NAMES[stage['referee']]}" if several else stage["stage"]
    name = slug(title)
    seconds = stage["seconds"]
    spice, behavioral = seconds.get("referee"), seconds.get("behavioral")
    return {
        **{key: stage[key] for key in ("about", "cases", "verdict")},
        "mood": {"pass": "good", "undecided": "quiet", "fail": "bad"}[stage["verdict"]],
        "verdict_text": "FAIL" if stage["verdict"] == "fail" else stage["verdict"],
        "stage": title,
        "name": name,
        "replay": stage["replay"],
        "size_text": "x".join(map(str, stage["size"] or ())),
        "worst_text": _number(stage["worst"]),
        "bound_text": _number(stage["bound"]),
        "spice_text": _time(spice),
        "behavioral_text": _time(behavioral),
        "ratio_text": _ratio(spice / behavioral) if spice and behavioral else "",
        "details": [
            f"{key.replace('_', ' ')}: {_plain(value)}"
            for key, value in stage.items()
            if key not in _SHOWN and isinstance(value, int | float | str)
        ],
        "plots": [page.picture(plot, f"{name}-plot-{number}") for number, plot in enumerate(stage["plots"])],
    }


def _three_ways(line: dict[str, Any]) -> tuple[str, ...]:
    pairs = ("behavioral_ngspice", "behavioral_vacask", "ngspice_vacask")
    return line["stage"], *(_number(line[pair]) for pair in pairs), _number(line["bound"])


def _steps(stages: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the steps of a training trajectory in all engines side by side; None if no stage has one."""
    trained = [stage for stage in stages if "steps" in stage]
    if not trained:
        return None
    engines = {"kernels": trained[0]["steps"]["behavioral"]}
    engines |= {_NAMES[stage["referee"]]: stage["steps"]["referee"] for stage in trained}
    parts = ("loss", "pulses so far", "labels", "digest of all values")
    rows = []
    for number, line in enumerate(zip(*engines.values(), strict=True), 1):
        losses, pulses = ([f"{step['loss']:.6f}" for step in line], [f"{step['pulses']:,}" for step in line])
        labels = ["".join(map(str, step["labels"])) for step in line]
        cells = (losses, pulses, labels, [step["digest"] for step in line])
        rows.append((str(number), *(_merged(dict(zip(engines, cell, strict=True))) for cell in cells)))
    return {
        "stage": trained[0]["stage"],
        "values": trained[0]["values_a_step"],
        "same": sum(len({step["digest"] for step in line}) == 1 for line in zip(*engines.values(), strict=True)),
        "caption": f"What each step left in {', '.join(engines)}: one value where all have it",
        "columns": ["step", *parts],
        "rows": rows,
    }


def _merged(values: dict[str, str]) -> str:
    """Return the value that all engines share, or else the value of each."""
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    return "; ".join(f"{engine} {value}" for engine, value in values.items())


def _speed_columns(rows: list[dict[str, Any]]) -> list[str]:
    """Return the headings of the table of times, for what was timed."""
    rivals = [label for name, label in (_NAMES | {"direct": "sparse direct"}).items() if name in rows[0]]
    return ["side", *rivals, "circuitmem", *(f"{label} / circuitmem" for label in rivals)]


def _speed_row(row: dict[str, Any]) -> tuple[str, ...]:
    rivals = [row[name] for name in (*_NAMES, "direct") if name in row]
    ours = row["behavioral"]
    times = [f"{seconds * 1e3:.3g}" for seconds in (*rivals, ours)]
    return f"{row['side']}x{row['side']}", *times, *(_ratio(seconds / ours) for seconds in rivals)


def _number(value: float | None) -> str:
    return "not finite" if value is None else "0" if value == 0 else f"{value:.1e}"


def _ratio(times: float) -> str:
    return f"{times:,.0f}x" if times >= 10.0 else f"{times:.2g}x"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds:.2f} s" if seconds >= 1.0 else f"{seconds * 1e3:.3g} ms"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {item}" for key, item in value.items())
    return f"{value:.3g}" if isinstance(value, float) else str(value)
