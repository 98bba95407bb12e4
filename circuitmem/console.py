"""Tables and progress on a terminal; plain text and silence in a pipe."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

__all__ = [
    "Progress",
    "print_calibrations",
    "print_findings",
    "print_fit",
    "print_inference",
    "print_points",
    "print_replay",
    "print_results",
    "print_stages",
    "print_study",
]


def _title(name: str) -> str:
    """Return what a reader calls a method, or another thing whose progress is shown."""
    from circuitmem.training import METHODS

    if name == "digital":
        return "digital network"
    return METHODS[name].title if name in METHODS else name


class Progress:
    """Progress bars on stderr, one for each thing that is reported; nothing if stderr is not a terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.description:24}"),
            BarColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def update(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` steps of something are finished."""
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(_title(what), total=total)
        self._bars.update(self._tasks[what], completed=done, total=total)


def print_results(results: dict[str, Any], folder: Path, figures: list[Path]) -> None:
    """Print the table and the audit line of a run."""
    # Without edges the widest numbers of a run fit into the 80 columns of a pipe: none may be cut.
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for heading in ("method", "accuracy, error", "simulated time", "energy", "pulses"):
        table.add_column(heading, justify="left" if heading == "method" else "right", no_wrap=True)
    audit = results["audit"]
    for name, accuracy in results["accuracy_percent"].items():
        error = audit.get("methods", {}).get(name, {}).get("largest_relative_error")
        cost = ["", "", ""]
        if name in results["pulses"]:
            time, energy = results["simulated_time_s"][name], results["energy_j"][name]
            cost = [f"{time * 1e3:.2f} ms", f"{energy * 1e3:.3f} mJ", f"{results['pulses'][name]:,}"]
        reached = f"{accuracy:.2f} %" if error is None else f"{accuracy:.2f} %, {error:.0e}"
        table.add_row(_title(name), reached, *cost)
    console = Console(soft_wrap=True)
    console.print(table)
    _print_saturation(console, results.get("saturated_codes", {}))  # a run of an older version has none
    gain = results["calibration_and_in_situ_against_in_situ"]
    if gain:
        line = f"calibration + in-situ against in-situ only: {gain['equal_epochs_points']:+.2f} points at equal epochs"
        if gain["equal_pulses_points"] is not None:  # None: one had spent as many before its first epoch was over
            line += f", {gain['equal_pulses_points']:+.2f} at equal pulses ({gain['equal_pulses'] / 1e6:.2f} million)"
        console.print(line, highlight=False)
    longest = max(results["simulated_time_s"], key=results["simulated_time_s"].__getitem__)
    used = results.get("utilisation", {}).get(longest, {})  # a run of an older version has none
    if used:
        shares = ", ".join(f"{name} {entry['fraction']:.0%}" for name, entry in used.items())
        console.print(f"busy in {_title(longest)}, the bottleneck first: {shares}", highlight=False)
    _print_audit(console, audit, folder)
    console.print(f"run folder: {folder}  figures: {', '.join(path.name for path in figures)}", highlight=False)


def _print_audit(console: Console, audit: dict[str, Any], folder: Path) -> None:
    """Print what the accuracies of a run rest on."""
    if audit["reads"] or audit.get("pulse_trains"):
        console.print(
            f"error: the largest difference from ngspice, which did {audit['reads']} random reads and "
            f"{audit.get('pulse_trains', 0)} pulse trains of this run again: "
            f"{audit['largest_relative_error']:.1e} of the largest current",
            highlight=False,
        )
    if audit.get("fraction_bound") is not None:
        console.print(
            f"with {audit['confidence']:.0%} confidence at most {audit['fraction_bound']:.1%} of its "
            f"{audit['of_operations']:,} operations differ by more than {audit['limit']:.0e}",
            highlight=False,
        )
    if audit["skipped_reason"]:
        console.print(f"not audited: {audit['skipped_reason']}", highlight=False)
    for failure in audit["failures"]:
        console.print(f"audit failed: {failure}", highlight=False)
    for file in audit.get("files", []):
        command = f"circuitmem replay {shlex.quote(str(folder / file))}"
        console.print(f"beyond the limit of {audit['limit']:.0e}: {command}", highlight=False, markup=False)


def print_replay(found: dict[str, Any]) -> None:
    """Print what an operation gave that was done again."""
    console = Console(soft_wrap=True)
    saved, error = ("infinite" if found[key] is None else f"{found[key]:.3g}" for key in ("saved_error", "error"))
    what = found["kind"].replace("_", " ")
    parts = "reads" if found["kind"] == "read" else "pulses"
    origin = ", ".join(f"{key} {value}" for key, value in found["provenance"].items() if not isinstance(value, dict))
    console.print(f"{what} of {found['size']} {parts} ({origin})", highlight=False, markup=False)
    console.print(f"difference in the file {saved}, now {error}; limit {found['limit']:.3g}", highlight=False)
    console.print("it agrees now" if found["agrees"] else "it STILL DIFFERS", highlight=False)


def _print_saturation(console: Console, counts: dict[str, dict[str, int]]) -> None:
    """Say how many codes stood at the end of their range, method by method, unless none did."""
    saturated = {name: count for name, count in counts.items() if any(count.values())}
    if saturated:
        words = ", ".join(f"{_title(name)} {n['adc']:,} / {n['dac']:,}" for name, n in saturated.items())
        console.print(f"saturated codes, of ADCs / of DACs: {words}", highlight=False)


def print_inference(found: dict[str, Any]) -> None:
    """Print what a chip in use did."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    rows = [("requests answered", f"{found['requests'] - found['refused']:,} of {found['requests']:,}")]
    rows.append(("throughput", f"{found['throughput_per_s']:,.0f} /s"))
    rows.append(("on the chip", f"{found['on_chip']['mean']:.2f} on average, {found['on_chip']['largest']} at most"))
    if found["latency_s"] is not None:
        latency = found["latency_s"]
        rows.append(("accuracy", f"{found['accuracy_percent']:.2f} %"))
        rows += [(f"latency, {name}", f"{latency[name] * 1e6:.3f} us") for name in ("mean", "p50", "p95", "p99")]
        rows.append(("energy per inference", f"{found['energy_per_inference_j'] * 1e9:.3f} nJ"))
        rows.append(("with upkeep", f"{found['energy_per_inference_with_upkeep_j'] * 1e9:.3f} nJ"))
    if found["checks"]:
        again = sum(check["recalibrated"] for check in found["checks"])
        largest = max(check["error"] for check in found["checks"])
        rows.append(("drift checks", f"{len(found['checks'])}, largest change {largest:.2%}, {again} calibrations"))
    if found["refreshes"]:
        pulses = sum(refresh["pulses"] for refresh in found["refreshes"])
        rows.append(("refreshes", f"{len(found['refreshes'])}, {pulses:,} pulses"))
    for row in rows:
        table.add_row(*row)
    console = Console(soft_wrap=True)
    console.print(table)
    shares = ", ".join(f"{name} {share:.0%}" for name, share in found["utilisation"].items())
    console.print(f"busy, the bottleneck first: {shares}", highlight=False)


def print_calibrations(found: dict[str, Any]) -> None:
    """Print the table of a comparison of calibrations."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in ("calibration", "layer", "rms %", "max. %", "acc. %", "reads", "ms", "uJ", "words"):
        table.add_column(heading, justify="left" if heading == "calibration" else "right", no_wrap=True)
    for name, entry in found.items():
        for number, layer in enumerate(entry["layers"]):
            errors = [f"{100 * layer[f'{which}_after']:.2f}" for which in ("rmse", "largest")]
            rest = [""] * 5
            if number == 0:
                costs = [f"{entry['time_s'] * 1e3:.2f}", f"{entry['energy_j'] * 1e6:.1f}", str(entry["stored_words"])]
                rest = [f"{entry['accuracy_percent']:.2f}", str(entry["reads"]), *costs]
            table.add_row(name if number == 0 else "", str(number), *errors, *rest)
    console = Console(soft_wrap=True)
    console.print(table)
    console.print("errors of products are relative to the largest magnitude of the ideal one", highlight=False)


def print_stages(record: dict[str, Any], page: Path) -> None:
    """Print the table of a validation."""
    table = Table()
    for heading in ("stage", "cases", "worst", "bound", "verdict"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for stage in record["stages"]:
        verdict = "pass" if stage["pass"] else "FAIL"
        worst = "not finite" if stage["worst"] is None else f"{stage['worst']:.1e}"
        table.add_row(stage["stage"], str(stage["cases"]), worst, f"{stage['bound']:.0e}", verdict)
    console = Console(soft_wrap=True)
    console.print(table)
    changes = [line for line in record.get("baseline", []) if line["change"] != "same"]
    for line in changes:
        numbers = " to ".join("none" if line[key] is None else f"{line[key]:.1e}" for key in ("before", "after"))
        console.print(f"{line['change']}: {line['stage']}, {numbers}", highlight=False, markup=False)
    if "baseline" in record and not changes:
        console.print("no stage became better or worse than the baseline", highlight=False)
    console.print(f"written to {page}; the numbers are in {page.with_name('validation.json')}", highlight=False)


def print_study(summary: dict[str, Any]) -> None:
    """Print what a study has now, and which points failed."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(
        f"{summary['study']}: {summary['finished']} of {summary['points']} points finished, "
        f"{summary['computed']} of them computed now in {summary['wall_time_s']:.0f} s"
    )
    for entry in summary["failed"]:
        where = ", ".join([*(f"{axis} {level}" for axis, level in entry["levels"].items()), f"seed {entry['seed']}"])
        console.print(f"failed: {where}: {entry['type']}: {entry['message']}")
    if summary["failed"]:
        console.print("the same command with --retry computes the failed points again")
    _print_other_code(console, summary["other_code"])
    for name in ("table", "report", "readme"):
        if summary.get(name):
            console.print(f"{name}: {summary[name]}")
    if summary.get("figures"):
        console.print(f"figures: {', '.join(summary['figures'])}")


def print_points(plan: dict[str, Any]) -> None:
    """Print the points of a study, and how long they will take."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for point in plan["points"]:
        where = ", ".join([*(f"{axis} {level}" for axis, level in point["levels"].items()), f"seed {point['seed']}"])
        console.print(f"{point['id']}  {point['status']:8}  {point['seconds']:7.1f} s  {where}")
    console.print(
        f"{len(plan['points'])} points of {', '.join(plan['methods'])}; {plan['missing']} are to be computed: about "
        f"{plan['seconds']:.0f} s on {plan['workers']} worker processes ({plan['basis']})"
    )
    _print_other_code(console, plan["other_code"])


def _print_other_code(console: Console, count: int) -> None:
    if count:
        console.print(f"{count} finished points are of other code than this; --recompute computes them again")


def print_fit(record: dict[str, Any], confidence: float) -> None:
    """Print the parameters that ``circuitmem fit`` found."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in ("parameter", "value", f"{confidence:.4g} interval", "unit"):
        table.add_column(heading, justify="left" if heading in ("parameter", "unit") else "right", no_wrap=True)
    for row in record["parameters"]:
        interval = row["interval"]
        span = "not determined" if interval is None else f"{interval[0]:.5g} to {interval[1]:.5g}"
        mark = " (end of the range searched)" if row["at_bound"] else ""
        table.add_row(row["name"], f"{row['value']:.6g}", span, f"{row['unit']}{mark}")
    for name, value in record["derived"].items():
        table.add_row(name, f"{value:.6g}", "", "")
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    console.print(
        f"residual: {record['relative_residual']:.3g} of the largest measured value, root mean square of "
        f"{record['points']} points; {record['agreeing_starts']} of {record['starts']} starts found this fit"
    )
    if record["weak"]:
        console.print(f"hardly determined by these data: {', '.join(record['weak'])}; hold some of them with --fix")
    console.print(f"written: {record['toml']}, {record['figure']}")


def print_findings(findings: dict[str, Any]) -> None:
    """Print what ``circuitmem doctor`` found."""
    console = Console(soft_wrap=True, highlight=False)
    for name, value in findings.items():
        if name in ("missing", "essential"):
            continue
        if isinstance(value, dict):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        if isinstance(value, list):
            value = ", ".join(value)
        console.print(f"{name:16} {value if value is not None else 'not found'}", markup=False)
    for name, command in findings["missing"].items():
        weight = "missing and essential" if name in findings["essential"] else "missing"
        console.print(f"{weight}: {name}: {command}", markup=False)
    if not findings["missing"]:
        console.print("nothing is missing")
