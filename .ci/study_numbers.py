#!/usr/bin/env python3
"""Write numbers of studies into pages, where these are marked; with --check only say which differ, and exit with 1.

A number in a sentence stands between two comments, ``<!-- = STUDY WHAT [WORD ...] [FORMAT] -->91.04<!-- / -->``;
`study_marks.py` says what the words mean.

Between ``<!-- studies -->`` and ``<!-- / -->`` stands the list of all studies: title, maps, date, and whether methods
were tuned as the study declares.

The table after ``<!-- table STUDY [AXIS=LEVEL ...] -->`` has a row for each method, by its title: the columns test
accuracy, simulated time, energy and pulses are written, the others stay.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

from study_marks import UNITS, WrongMarkError, number, rows_of

from circuitmem.study.spec import Study, load_study
from circuitmem.training import METHODS

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/*.md", "studies/README.md", "studies/*/README.md")

NUMBER = re.compile(r"(<!-- = (?P<study>\S+) (?P<rest>[^>]*?) -->)(?P<text>.*?)(<!-- / -->)", re.S)
TABLE = re.compile(r"(<!-- table (?P<study>\S+) ?(?P<rest>[^>]*?) ?-->\n)(?P<text>(?:\|.*\n)+)")
LIST = re.compile(r"(?P<head><!-- studies -->\n)(?P<text>.*?)(?=<!-- / -->)", re.S)
COLUMNS = {
    "test accuracy": ("accuracy_percent", "{:.2f} %"),
    "simulated time": ("simulated_time_s", "{:.2f} ms"),
    "energy": ("energy_j", "{:.3f} mJ"),
    "pulses": ("pulses", "{:,.0f}"),
}
TITLES = {recipe.title: name for name, recipe in METHODS.items()} | {"digital network": "digital"}


def table(study: str, rest: str, text: str) -> str:
    """Return a table with the columns that are written."""
    by_method = {row["method"]: row for row in rows_of(study, shlex.split(rest)) if row["end"]}
    lines = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.splitlines()]
    heads = lines[0]
    for cells in lines[2:]:
        row = by_method.get(TITLES.get(cells[0], ""))
        if row is None:
            raise WrongMarkError(f"{study} has no row of {cells[0]!r}")
        for place, head in enumerate(heads):
            if head in COLUMNS:
                column, form = COLUMNS[head]
                cells[place] = form.format(UNITS[column] * row[column]) if row[column] is not None else ""
    written = ["|" + "|".join(f" {cell} " for cell in cells) + "|" for cells in lines]
    written[1] = text.splitlines()[1]
    return "\n".join(written) + "\n"


def state(study: Study) -> list[str]:
    """Return what the list says of a study: its title, the maps of its results, their date, and what they are worth."""
    path = study.folder / "provenance.json"
    if not path.is_file():
        return [study.spec.title, "", "", "not run yet"]
    found = json.loads(path.read_text("utf-8"))
    maps = f"{len(found['seeds'])} of {study.spec.repeats}"
    worth = "complete"
    if study.spec.protocol.tune:
        worth = "tuned" if found.get("tuning") else "withdrawn"
    return [study.spec.title, maps, found["written"][:10], worth]


def studies() -> str:
    """Return the table of all studies."""
    lines = ["| study | title | maps | run on | results |", "|---|---|---|---|---|"]
    for path in sorted(ROOT.glob("studies/*/study.toml")):
        name = path.parent.name
        lines.append(f"| [`{name}`]({name}/README.md) | " + " | ".join(state(load_study(path.parent))) + " |")
    return "\n".join(lines) + "\n"


def renewed(text: str, own: str = "") -> tuple[str, list[str]]:
    """Return a page, of study ``own``, with its numbers as the studies have them, and what was another."""
    changes: list[str] = []

    def write(match: re.Match[str]) -> str:
        is_number, study = match.re is NUMBER, own if match["study"] == "." else match["study"]
        found = number(study, match["rest"]) if is_number else table(study, *match.group("rest", "text"))
        if found != match["text"]:
            changes.append(f"{match['study']} {match['rest']}: {match['text'].strip()!r} should be {found.strip()!r}")
        return match[1] + found + (match[5] if is_number else "")

    def list_all(match: re.Match[str]) -> str:
        found = studies()
        known = set(match["text"].splitlines())
        changes.extend(f"studies: should have {line!r}" for line in found.splitlines() if line not in known)
        return match["head"] + found

    return LIST.sub(list_all, TABLE.sub(write, NUMBER.sub(write, text))), changes


def main(arguments: list[str]) -> int:
    """Write or check all pages; returns the exit code."""
    wrong = 0
    for name in PAGES:
        for page in sorted(ROOT.glob(name)):
            old = page.read_text("utf-8")
            try:
                new, changes = renewed(old, page.parent.name)
            except WrongMarkError as error:
                print(f"{page.relative_to(ROOT)}: {error}", file=sys.stderr)
                return 2
            for change in changes:
                print(f"{page.relative_to(ROOT)}: {change}")
            wrong += len(changes)
            if new != old and "--check" not in arguments:
                page.write_text(new, "utf-8")
    return 1 if wrong and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
