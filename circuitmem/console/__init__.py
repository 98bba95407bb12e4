"""Tables and progress bars on a terminal; elsewhere plain text and a few lines of progress."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from rich.console import Console

from circuitmem.console.progress import Progress
from circuitmem.console.table import print_table, terminal
from circuitmem.validation import time_of

__all__ = [
    "Progress",
    "print_ages",
    "print_array",
    "print_calibrations",
    "print_data",
    "print_findings",
    "print_fit",
    "print_inference",
    "print_names",
    "print_points",
    "print_replay",
    "print_results",
    "print_stages",
    "print_study",
    "print_verilog",
]


def print_results(results: dict[str, Any], folder: Path, figures: list[Path]) -> None:
    """Print the table and the audit line of a run."""
    from circuitmem.report.costs import precision_note, product_costs
    from circuitmem.report.prefixes import column
    from circuitmem.training import method_title

    rows = []
    audit = results["audit"]
    values = "rmse" in results
    times, energies = (
        dict(zip(results[key], column(results[key].values(), unit, decimals), strict=True))
        for key, unit, decimals in (("simulated_time_s", "s", 2), ("energy_j", "J", 3))
    )
    for name, reached in results["rmse" if values else "accuracy_percent"].items():
        error = audit.get("methods", {}).get(name, {}).get("largest_relative_error")
        cost = [""] * 5
        if name in results["pulses"]:
            cost = [times[name], energies[name], f"{results['pulses'][name]:,}"]
            cost += product_costs(results.get("calibration", {}).get(name, {}))
        score = f"{reached:.4g}, {results['r2'][name]:.3f}" if values else f"{reached:.2f} %"
        rows.append((method_title(name), score if error is None else f"{score}, {error:.0e}", *cost))
    headings = (
        "method",
        "RMSE, R2, error" if values else "accuracy, error",
        "simulated time",
        "energy",
        "pulses",
        "reads a product",
        "digital products",
    )
    print_table(headings, rows, {0})
    _print_targets(results)
    console = terminal()
    _print_product_errors(console, results.get("product_errors", {}))
    _print_saturation(console, results.get("saturated_codes", {}))  # a run of an older version has none
    if results.get("precision", "double") != "double":
        console.print(precision_note(results["reuse"]))
    gain = results.get("calibration_and_in_situ_against_in_situ")
    if gain:
        line = f"calibration + in-situ against in-situ only: {gain['equal_epochs_points']:+.2f} points at equal epochs"
        if gain["equal_pulses_points"] is not None:  # None: one method had spent as many before its first epoch ended
            pulses = gain["equal_pulses"]
            count = f"{pulses / 1e6:.2f} million" if pulses >= 1e6 else f"{pulses:,.0f}"
            line += f", {gain['equal_pulses_points']:+.2f} at equal pulses ({count})"
        console.print(line)
    longest = max(results["simulated_time_s"], key=results["simulated_time_s"].__getitem__)
    used = results.get("utilisation", {}).get(longest, {})  # a run of an older version has none
    if used:
        shares = ", ".join(f"{name} {entry['fraction']:.0%}" for name, entry in used.items())
        console.print(f"busy in {method_title(longest)}, the bottleneck first: {shares}")
    _print_audit(console, audit, folder)
    console.print(f"run folder: {folder}  figures: {', '.join(path.name for path in figures)}")


def _print_targets(results: dict[str, Any]) -> None:
    """Print RMSE and R2 of each of several targets; nothing for one."""
    from circuitmem.training import method_title

    rows = []
    for name, found in results.get("rmse_of_targets", {}).items():
        pairs = zip(found.values(), results["r2_of_targets"][name].values(), strict=True)
        words = [f"{rmse:.4g}, " + ("-" if r2 is None else f"{r2:.3f}") for rmse, r2 in pairs]
        rows.append((method_title(name), *words))
    if rows:
        print_table(("RMSE, R2", *results["rmse_of_targets"]["digital"]), rows, {0})


def _print_audit(console: Console, audit: dict[str, Any], folder: Path) -> None:
    """Print what the audit of a run found, on which its accuracies rest."""
    from circuitmem.engine import audit_sentences

    for sentence in audit_sentences(audit):
        console.print(sentence)
    if audit["skipped_reason"]:
        console.print(f"not audited: {audit['skipped_reason']}")
    for failure in audit["failures"]:
        console.print(f"audit failed: {failure}")
    for file in audit.get("files", []):
        command = f"circuitmem replay {shlex.quote(str(folder / file))}"
        console.print(f"beyond the limit of {audit['limit']:.0e}: {command}")


def print_array(found: dict[str, Any], unit: str, files: list[str]) -> None:
    """Print the errors of an array and the read of one cell, in a few lines."""
    console = terminal()
    error, cell = found["mac_error"], found["cell_read"]
    console.print(f"{found['rows']}x{found['columns']} cells, conductances in {unit}; {found['vectors']} input vectors")
    console.print(
        f"products: off by {error['rms']:.3%} of full scale (root mean square), at most {error['largest']:.3%}; "
        f"the worst column is {max(range(found['columns']), key=found['column_error']['largest'].__getitem__)}"
    )
    sneak = "" if cell["sneak_a"] is None else f", sneak current {cell['sneak_a']:.3g} A with other lines floating"
    console.print(
        f"cell {cell['row']},{cell['column']} by itself: {cell['high_a']:.3g} A at its highest conductance, "
        f"{cell['low_a']:.3g} A at its lowest: read margin {cell['margin']:.1%}{sneak}"
    )
    if cell["sneak_path"] is not None:
        places = ", ".join(f"{row},{column}" for row, column in cell["sneak_path"])
        console.print(f"worst sneak path: {cell['sneak_path_a']:.3g} A through the cells {places}")
    console.print(f"page: {files[0]}  netlist: {files[-1]}")


def print_replay(found: dict[str, Any]) -> None:
    """Print the result of an operation that was replayed."""
    console = terminal()
    saved, error = ("infinite" if found[key] is None else f"{found[key]:.3g}" for key in ("saved_error", "error"))
    what = found["kind"].replace("_", " ")
    parts = "reads" if found["kind"] == "read" else "pulses"
    origin = ", ".join(f"{key} {value}" for key, value in found["provenance"].items() if not isinstance(value, dict))
    console.print(f"{what} of {found['size']} {parts} ({origin})")
    console.print(f"the circuit simulator is {found['referee']}")
    console.print(f"difference in the file {saved}, now {error}; limit {found['limit']:.3g}")
    console.print("it agrees now" if found["agrees"] else "it STILL DIFFERS")


def _print_product_errors(console: Console, errors: dict[str, Any]) -> None:
    """Print errors of products before and after calibration, layer by layer; methods with equal ones share a line."""
    from circuitmem.report.costs import rms_errors
    from circuitmem.training import method_title

    lines: dict[str, list[str]] = {}
    for name, found in errors.items():
        if "after" in found:
            before, after = (rms_errors(found[when]) for when in ("before", "after"))
            lines.setdefault(f"{before} before calibration, {after} after", []).append(method_title(name))
    for line, names in lines.items():
        console.print(f"error of products, rms, layer by layer: {line} ({', '.join(names)})")


def _print_saturation(console: Console, counts: dict[str, dict[str, int]]) -> None:
    """Print how many codes were at an end of their range, method by method, if any were."""
    from circuitmem.training import method_title

    saturated = {name: count for name, count in counts.items() if any(count.values())}
    if saturated:
        words = ", ".join(f"{method_title(name)} {n['adc']:,} / {n['dac']:,}" for name, n in saturated.items())
        console.print(f"saturated codes, of ADCs / of DACs: {words}")


def print_inference(found: dict[str, Any]) -> None:
    """Print throughput, latency, accuracy and upkeep of a chip in use."""
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
    print_table(("", ""), rows, {0})
    shares = ", ".join(f"{name} {share:.0%}" for name, share in found["utilisation"].items())
    terminal().print(f"busy, the bottleneck first: {shares}")


def print_ages(found: dict[str, Any]) -> None:
    """Print the accuracy of a chip at some ages, and the cost of its upkeep until then."""
    headings = ("age", "accuracy", "checks", "calibrations", "refreshes", "pulses", "upkeep, time", "energy")
    rows = []
    for each in found["ages"]:
        upkeep = each["upkeep"]
        counts = [f"{upkeep[name]:,}" for name in ("checks", "calibrations", "refreshes", "refresh_pulses")]
        cost = [f"{upkeep['time_s'] * 1e3:.4g} ms", f"{upkeep['energy_j'] * 1e6:.4g} uJ"]
        rows.append((time_of(each["age_s"]), f"{each['accuracy_percent']:.2f} %", *counts, *cost))
    print_table(headings, rows, {0})


def print_calibrations(found: dict[str, Any]) -> None:
    """Print the table of a comparison of calibrations."""
    headings = ("calibration", "layer", "rms %", "max. %", "acc. %", "reads", "ms", "uJ", "words")
    rows = []
    for name, entry in found.items():
        for number, layer in enumerate(entry["layers"]):
            errors = [f"{100 * layer[f'{which}_after']:.2f}" for which in ("rmse", "largest")]
            rest = [""] * 5
            if number == 0:
                costs = [f"{entry['time_s'] * 1e3:.2f}", f"{entry['energy_j'] * 1e6:.1f}", str(entry["stored_words"])]
                rest = [f"{entry['accuracy_percent']:.2f}", str(entry["reads"]), *costs]
            rows.append((name, str(number), *errors, *rest))
    print_table(headings, rows, {0})
    terminal().print("errors of products are relative to the largest magnitude of the ideal one")


def print_data(found: dict[str, Any]) -> None:
    """Print what a configuration loads."""
    console, samples = terminal(), found["samples"]
    console.print(f"{found['name']}: {', '.join(f'{count:,} {part}' for part, count in samples.items())} samples")
    for words, key in (("licence", "licence"), ("made by", "credit"), ("sha256", "sha256")):
        console.print(f"{words}: {found[key] or 'not said'}")
    shape = " x ".join(map(str, found["shape"]))
    names = f": {', '.join(found['features'])}" if found["features"] else ""
    console.print(f"inputs of a sample: {shape}{names}")
    console.print(f"training inputs: {found['lowest']:.6g} to {found['highest']:.6g}, mean {found['mean']:.6g}")
    if found["constant"]:
        console.print(f"the same in all training samples, and so of no use: {', '.join(found['constant'])}")
    if found["task"] == "values":
        console.print("targets are values to predict")
        return
    rows = [(label, *(str(counts[part]) for part in samples)) for label, counts in found["classes"].items()]
    print_table(("class", *samples), rows, {0})


def print_stages(record: dict[str, Any], page: Path) -> None:
    """Print the table of a validation."""
    rows = []
    for stage in record["stages"]:
        verdict = {"fail": "FAIL"}.get(stage["verdict"], stage["verdict"])
        worst = "not finite" if stage["worst"] is None else f"{stage['worst']:.1e}"
        size = "x".join(map(str, stage["size"] or ()))
        figures = str(stage["cases"]), size, worst, f"{stage['bound']:.0e}"
        rows.append((stage["stage"], stage["referee"], *figures, verdict))
    print_table(("stage", "referee", "cases", "largest tile", "worst", "bound", "verdict"), rows, {0, 1})
    console = terminal()
    for stage in record["stages"]:
        if stage.get("undecided"):
            console.print(
                f"{stage['stage']}, {stage['referee']}: {_share(stage['undecided'])} of the cells are undecided after"
                f" the worst pulse, {_share(stage['undecided_of_all'])} after all: 1e-5 of their state at its beginning"
                " makes more than the bound, and no engine can be held against another"
            )
    if record["between_referees"]:
        pairs = ("behavioral_ngspice", "behavioral_vacask", "ngspice_vacask")
        lines = [
            (line["stage"], *("not finite" if line[pair] is None else f"{line[pair]:.1e}" for pair in pairs))
            for line in record["between_referees"]
        ]
        print_table(("stage", "kernels - ngspice", "kernels - VACASK", "ngspice - VACASK"), lines, {0})
    changes = [line for line in record.get("baseline", []) if line["change"] != "same"]
    for line in changes:
        numbers = " to ".join("none" if line[key] is None else f"{line[key]:.1e}" for key in ("before", "after"))
        console.print(f"{line['change']}: {line['stage']}, {numbers}")
    if "baseline" in record and not changes:
        console.print("no stage became better or worse than the baseline")
    computed, drawn = record["wall_time_s"], record["drawing_s"]
    console.print(f"took {computed + drawn:.1f} s: {computed:.1f} s to compute, {drawn:.1f} s to draw")
    console.print(f"written to {page}; the numbers are in {page.with_name('validation.json')}")


def print_study(summary: dict[str, Any]) -> None:
    """Print how many points of a study are finished, and which failed."""
    console = terminal()
    tuned = f", tuned in {summary['trials']} trials" if summary["trials"] else ""
    of_them = "points and trials" if summary["trials"] else "of them"
    console.print(
        f"{summary['study']}: {summary['finished']} of {summary['points']} points finished{tuned}, "
        f"{summary['computed']} {of_them} computed now in {summary['wall_time_s']:.0f} s"
    )
    for entry in summary["failed"]:
        console.print(f"failed: {_place(entry)}: {entry['type']}: {entry['message']}")
    for entry in summary["failed_trials"]:
        console.print(f"failed trial: {_place(entry)}, {_tried(entry)}: {entry['type']}: {entry['message']}")
    if summary["failed"] or summary["failed_trials"]:
        points = "trials" if not summary["failed"] else "points and trials" if summary["failed_trials"] else "points"
        console.print(f"the same command with --retry computes the failed {points} again")
    _print_other_code(console, summary["other_code"])
    for name in ("table", "report", "readme"):
        if summary.get(name):
            console.print(f"{name}: {summary[name]}")
    if summary.get("figures"):
        console.print(f"figures: {', '.join(summary['figures'])}")


def _place(point: dict[str, Any]) -> str:
    """Return a point of a study in words: its levels and its seed."""
    return ", ".join([*(f"{axis} {level}" for axis, level in point["levels"].items()), f"seed {point['seed']}"])


def _tried(trial: dict[str, Any]) -> str:
    """Return a trial of a method in words: its settings."""
    return ", ".join([trial["method"], *(f"{key} = {value}" for key, value in trial["settings"].items())])


def print_points(plan: dict[str, Any]) -> None:
    """Print the points of a study, and how long they will take."""
    rows = [(p["id"], p["status"], f"{p['seconds']:.1f} s", _place(p)) for p in plan["points"]]
    tried = [(t["id"], t["status"], f"{t['seconds']:.1f} s", f"{_place(t)}, {_tried(t)}") for t in plan["trials"]]
    print_table(("point", "status", "time", "where"), [*tried, *rows], {0, 1, 3})
    console = terminal()
    trials = f"{len(tried)} trials first, and " if tried else ""
    console.print(
        f"{trials}{len(plan['points'])} points of {', '.join(plan['methods'])}; {plan['missing']} are to be computed: "
        f"about {plan['seconds']:.0f} s on {plan['workers']} worker processes ({plan['basis']})"
    )
    _print_other_code(console, plan["other_code"])
    if plan["other_inputs"]:
        others = f"{plan['other_inputs']} finished points are of data, weights or modules that have changed since"
        console.print(f"{others}: they are refused, and --recompute computes them again")


def _print_other_code(console: Console, count: int) -> None:
    if count:
        console.print(f"{count} finished points are of other code than this; --recompute computes them again")


def print_fit(record: dict[str, Any], confidence: float) -> None:
    """Print the parameters that ``circuitmem fit`` found."""
    headings = ("parameter", "value", f"{confidence:.4g} interval", "unit", "note")
    rows = []
    for row in record["parameters"]:
        span = _span(row["low"], row["high"])
        mark = "end of the range searched" if row["at_bound"] else ""
        rows.append((row["name"], f"{row['value']:.6g}", span, row["unit"], mark))
    rows += [(name, f"{value:.6g}", "", "", "") for name, value in record["derived"].items()]
    print_table(headings, rows, {0, 3, 4})
    console = terminal()
    console.print(
        f"residual: {record['relative_residual']:.3g} of the largest measured value, root mean square of "
        f"{record['points']} points" + _found_by(record["agreeing_starts"], record["starts"])
    )
    if record["weak"]:
        console.print(f"hardly determined by these data: {', '.join(record['weak'])}; hold some of them with --fix")
    for item in record["assumed"]:
        console.print(f"assumed: {item}")
    for note in record["notes"]:
        console.print(f"note: {note}")
    console.print(f"written: {record['toml']}, {record['figure']}")


def _found_by(agreeing: int, starts: int) -> str:
    """Return how many starts of a search ended at a fit, after a semicolon; an empty text if there were no starts."""
    if not starts:
        return ""
    none = f"; none of {starts} starts, but the search for an interval, found this fit: look at its figure"
    return f"; {agreeing} of {starts} starts found this fit" if agreeing else none


def _share(part: float) -> str:
    """Return a fraction in percent; values just above 0 and just below 1 are not rounded to 0 % and 100 %."""
    return f"{min(max(100.0 * part, 0.1 if part else 0.0), 99.9 if part < 1.0 else 100.0):.3g} %"


def _span(low: float | None, high: float | None) -> str:
    """Return an interval in words; None stands for an end that the data do not determine."""
    if low is None:
        return "not determined" if high is None else f"at most {high:.5g}"
    return f"at least {low:.5g}" if high is None else f"{low:.5g} to {high:.5g}"


def print_verilog(found: dict[str, Any]) -> None:
    """Print the properties of a Verilog-A device, and the accuracy of its tables."""
    print(f"{found['file']}  sha256 {found['sha256'][:16]}...")
    print(f"conducts {found['lowest']:.6g} to {found['highest']:.6g} S at small voltages")
    print(
        f"tables of {found['points']} points: currents and rates within {found['error']:.2g} of VACASK's at random"
        " points"
    )
    print(
        f"{found['pulses']} pulses on a tile, which move states by up to {found['moved']:.3g} of their range:"
        f" tables and the model in VACASK end {found['state_difference']:.2g} apart"
    )
    print(
        f"reads take cells for ohmic: at {found['read_voltage']:.3g} V their currents are up to"
        f" {100.0 * found['curvature']:.2g} % off that"
    )


def print_names(found: dict[str, list[dict[str, Any]]]) -> None:
    """Print all known names, kind by kind, with their packages and descriptions."""
    rows = [(kind, each["name"], each["package"], each["description"]) for kind, own in found.items() for each in own]
    print_table(("kind", "name", "package", "what it is"), rows, {0, 1, 2, 3})


def print_findings(findings: dict[str, Any]) -> None:
    """Print what ``circuitmem doctor`` found."""
    rows = []
    for name, value in findings.items():
        if name in ("missing", "essential"):
            continue
        if isinstance(value, dict):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        if isinstance(value, list):
            value = ", ".join(value)
        rows.append((name, str(value) if value is not None else "not found"))
    print_table(("", ""), rows, {0, 1})
    console = terminal()
    for name, command in findings["missing"].items():
        weight = "missing and essential" if name in findings["essential"] else "missing"
        console.print(f"{weight}: {name}: {command}")
    if not findings["missing"]:
        console.print("nothing is missing")
