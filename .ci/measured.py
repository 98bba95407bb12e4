#!/usr/bin/env python3
"""Write into pages what validations and audits measured, where this is marked; with --check only say what differs.

The records are ``docs/measured/*.json``. ``--keep FOLDER ...`` takes them from what ``circuitmem validate --referee
all`` (``validation.json``) or ``circuitmem train`` (the run of one referee) has written, without plots.

A text of a record stands between two comments, ``<!-- @ RECORD WHAT [FORMAT] -->383<!-- / -->``: WHAT is a key of the
record, and FORMAT that of a number; without it a bound is rounded up to two digits. ``<!-- @ validation table -->`` has
the table of what is validated, with who computed it and when; ``<!-- @ recovery table -->`` how often the intervals of
fits held the truth, from what benchmarks/recovery.py writes.
"""

from __future__ import annotations

import json
import math
import re
import sys
from itertools import zip_longest
from pathlib import Path
from typing import Any

from circuitmem.engine import REFEREES, bound_text

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "docs" / "measured"
PAGES = ("README.md", "docs")

MARK = re.compile(r"(<!-- @ (?P<record>\S+) (?P<what>\S+)(?: (?P<form>:\S+))? -->)(?P<text>.*?)(<!-- / -->)", re.S)

ROWS: dict[str, tuple[str, ...]] = {
    "reads, linear cells, with every kind of defect": (
        "tile linear", "tile with defects", "tile, each defect", "large linear tiles",
    ),
    "reads, cells with a transistor": ("tile 1T1R",),
    "reads, sinh cells": ("tile sinh", "large sinh tiles"),
    "reads, cells with a selector": ("tile 1S1R",),
    "reads, random tiles of these four kinds of cells": ("thousand tiles",),
    "outputs of DACs and amplifiers": ("dac", "tia"),
    "delays of lines, to 63 %": ("line delay",),
    "what a read lacks at its end": ("settling",),
    "codes of ADCs, of the whole chain": ("adc codes", "large converters"),
    "codes of SAR ADCs, clock by clock": ("sar",),
    "states after a pulse, every ODE device, with defects": (
        "program VTEAM", "program Yakopcic", "program Stanford-PKU", "program ion drift", "large pulses VTEAM",
        "large pulses Yakopcic", "large pulses Stanford",
    ),
    "states after a pulse, Verilog-A device against its own model": ("program Verilog-A",),
    "states after all pulses of write-verify on a chip": (
        "chip VTEAM", "chip Yakopcic", "chip Stanford-PKU", "chip ion drift",
    ),
    "what a SET leaves in a cell with a MOSFET": ("1T1R compliance",),
    "outputs and labels of a network, end to end": ("network",),
    "20 steps in situ: outputs, labels, pulses, weights, cells": ("trajectory",),
}  # fmt: skip
"""What is validated, and the stages that do it."""

STAGE = "stage", "referee", "cases", "size", "worst", "bound", "pass", "wall_time_s", "seconds"
SOFTWARE = "circuitmem", "python", "numpy", "kernels", "platform", "ngspice", "vacask", "finished", "wall_time_s"


class WrongRecordError(Exception):
    """A record that a mark asks for and that is not there, or has no such thing."""


def load(name: str) -> dict[str, Any]:
    """Load a record."""
    path = RECORDS / f"{name}.json"
    if not path.is_file():
        raise WrongRecordError(f"there is no record {name}")
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def text_of(name: str, what: str, form: str | None) -> str:
    """Return what stands between two marks."""
    record = load(name)
    if what == "table":
        return recovery_table(record) if "models" in record else table(record)
    if what not in record:
        raise WrongRecordError(f"{name} has no {what}")
    value = record[what]
    if what == "fraction_bound" and form is None:
        return bound_text(value).replace("%", " %")
    return format(value, (form or ":")[1:])


def table(record: dict[str, Any]) -> str:
    """Return the table of what is validated, and the sentence about its run."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for line in record["stages"]:
        by_name.setdefault(line["stage"], []).append(line)
    rows = {name for names in ROWS.values() for name in names}
    if rows != set(by_name):
        differ = ", ".join(sorted(rows ^ set(by_name)))
        raise WrongRecordError(f"stages of the record and of the rows of .ci/measured.py are not the same: {differ}")
    failed = [line["stage"] for line in record["stages"] if not line["pass"]]
    if failed:
        raise WrongRecordError(f"stages that failed: {', '.join(failed)}")
    heads = ["largest difference of the kernels from", *(record[name] for name in REFEREES), "bound"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for title, names in ROWS.items():
        own = [line for name in names for line in by_name[name]]
        cells = [_cell([line for line in own if line["referee"] == referee]) for referee in REFEREES]
        bounds = {line["bound"] for line in own}
        bound = ", ".join("identical" if bound == 0.0 else f"{bound:.0e}" for bound in sorted(bounds))
        lines.append("| " + " | ".join([title, *cells, bound]) + " |")
    days = " and ".join(sorted({line["measured"] for line in record["stages"]}))
    about = (
        f"Measured by `circuitmem validate --referee all --seed {record['seed']}` of circuitmem"
        f" {record['circuitmem']} on {days},\non {record['platform']}; every stage is in\n"
        "[`docs/measured/validation.json`](docs/measured/validation.json). A cell has the largest tile, how many\n"
        "cases were compared, and the largest difference of all."
    )
    return "\n" + "\n".join(lines) + f"\n\n{about}\n"


def recovery_table(record: dict[str, Any]) -> str:
    """Return how often intervals of fits held what curves were made with, model by model."""
    heads = "model", "curves", "intervals", "held", "least often", "one end is open", "held", "none"
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, own in record["models"].items():
        keys = "both", "both_hold", "one", "one_hold", "none"
        every = {key: sum(each[key] for each in own["parameters"].values()) for key in keys}
        counted = {key: each for key, each in own["parameters"].items() if 2 * each["both"] >= own["curves"]}
        worst = min(counted, key=lambda key: counted[key]["both_hold"] / counted[key]["both"])
        least = f"`{worst}`, {_percent(counted[worst]['both_hold'], counted[worst]['both'])}"
        both, one = (_percent(every[f"{ends}_hold"], every[ends]) for ends in ("both", "one"))
        cells = name, own["curves"], every["both"], both, least, every["one"], one, every["none"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    days = " and ".join(sorted({own["measured"] for own in record["models"].values()}))
    failed = sum(own["failed"] for own in record["models"].values())
    about = (
        f"Counted by `benchmarks/recovery.py` of circuitmem {record['circuitmem']} on {days}; {failed} fits failed.\n"
        "Every parameter is in [`docs/measured/recovery.json`](measured/recovery.json)."
    )
    return "\n" + "\n".join(lines) + f"\n\n{about}\n"


def _percent(part: int, of: int) -> str:
    return f"{100.0 * part / of:.1f} %" if of else ""


def _cell(lines: list[dict[str, Any]]) -> str:
    """Return what a referee found in the stages of a row: the largest tile, cases, largest difference."""
    if not lines:
        return ""
    sizes = [line["size"] for line in lines if line["size"]]
    size = "x".join(map(str, max(sizes, key=math.prod))) if sizes else ""
    cases, worst = sum(line["cases"] for line in lines), max(line["worst"] for line in lines)
    exact = all(line["bound"] == 0.0 for line in lines)
    return ", ".join([*[size] * bool(sizes), f"{cases} cases: {'identical' if exact else format(worst, '.1e')}"])


def keep(folder: Path) -> str:
    """Take the record of a validation, or of the audit of a run, from a folder; returns its name."""
    if (folder / "validation.json").is_file():
        found = json.loads((folder / "validation.json").read_text("utf-8"))
        record = {key: found[key] for key in (*SOFTWARE, "seed", "quick", "between_referees") if key in found}
        stages = [{key: stage[key] for key in STAGE} for stage in found["stages"]]
        record["stages"] = [line | {"measured": record["finished"][:10]} for line in stages]
        name = "validation"
        if (RECORDS / f"{name}.json").is_file():
            record = _with_others(record, load(name))
    else:
        results, made = (json.loads((folder / f"{part}.json").read_text("utf-8")) for part in ("results", "provenance"))
        referees = list(results["audit"]["referees"])
        if len(referees) != 1:
            raise WrongRecordError(f"{folder} is not the run of one referee")
        record = {key: made[key] for key in SOFTWARE if key in made} | {"seed": results["seed"]} | results["audit"]
        name = f"audit-{referees[0]}"
    RECORDS.mkdir(exist_ok=True)
    (RECORDS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    return name


def _with_others(new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """Return a record with the stages of an older one that it does not have, if they are of the same software."""
    for part in ("stages", "between_referees"):
        fresh = {(line["stage"], line.get("referee")): line for line in new[part]}
        kept = {(line["stage"], line.get("referee")): line for line in old[part]}
        if part == "stages" and set(kept) - set(fresh):
            for key in ("circuitmem", "ngspice", "vacask", "platform", "seed", "quick"):
                if new.get(key) != old.get(key):
                    raise WrongRecordError(f"{key} is not that of the record: do all stages again")
        new = new | {part: list((kept | fresh).values())}
    return new


def renewed(text: str) -> tuple[str, list[str]]:
    """Return a page with its texts as the records have them, and what was another."""
    changes: list[str] = []

    def write(match: re.Match[str]) -> str:
        found = text_of(match["record"], match["what"], match["form"])
        if found != match["text"]:
            lines = zip_longest(match["text"].strip().splitlines(), found.strip().splitlines(), fillvalue="")
            old, new = next((pair for pair in lines if pair[0] != pair[1]), (match["text"], found))
            changes.append(f"{match['record']} {match['what']}: {old!r} should be {new!r}")
        return match[1] + found + match[6]

    return MARK.sub(write, text), changes


def main(arguments: list[str]) -> int:
    """Keep records, then write or check all pages; returns the exit code."""
    wrong = 0
    try:
        if arguments[:1] == ["--keep"]:
            for folder in arguments[1:]:
                print(f"docs/measured/{keep(Path(folder))}.json")
        for path in (path for name in PAGES for path in _pages(ROOT / name)):
            old = path.read_text("utf-8")
            new, changes = renewed(old)
            for change in changes:
                print(f"{path.relative_to(ROOT)}: {change}")
            wrong += len(changes)
            if new != old and "--check" not in arguments:
                path.write_text(new, "utf-8")
    except WrongRecordError as error:
        print(error, file=sys.stderr)
        return 2
    return 1 if wrong and "--check" in arguments else 0


def _pages(path: Path) -> list[Path]:
    return sorted(path.glob("*.md")) if path.is_dir() else [path]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
