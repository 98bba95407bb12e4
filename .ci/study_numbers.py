#!/usr/bin/env python3
"""Write numbers of studies into pages, where these are marked; with --check only say which differ, and exit with 1.

A number in a sentence stands between two comments, ``<!-- = STUDY WHAT [AXIS=LEVEL ...] [FORMAT] -->91.04<!-- / -->``:
WHAT is a method, or two as ``METHOD-METHOD`` for the paired difference; what is given of AXIS=LEVEL (or seed=1) chooses
rows of the study's ``results.csv``; a level with a space stands in quotes. Without FORMAT a mean has its 95 % interval;
with one, such as ``:.0f``, the mean alone.

Between ``<!-- studies -->`` and ``<!-- / -->`` stands the list of all studies: title, maps, date, and whether methods
were tuned as the study declares.

The table after ``<!-- table STUDY [AXIS=LEVEL ...] -->`` has a row for each method, by its title: the columns test
accuracy, simulated time, energy and pulses are written, the others stay.
"""

from __future__ import annotations

import csv
import json
import re
import shlex
import sys
from pathlib import Path

from circuitmem.report.markdown import interval
from circuitmem.study.spec import Study, load_study
from circuitmem.study.statistics import mean, paired
from circuitmem.training import METHODS

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs", "studies/README.md")

NUMBER = re.compile(r"(<!-- = (?P<study>\S+) (?P<rest>[^>]*?) -->)(?P<text>.*?)(<!-- / -->)", re.S)
TABLE = re.compile(r"(<!-- table (?P<study>\S+) ?(?P<rest>[^>]*?) ?-->\n)(?P<text>(?:\|.*\n)+)")
LIST = re.compile(r"(?P<head><!-- studies -->\n)(?P<text>.*?)(?=<!-- / -->)", re.S)
COLUMNS = {
    "test accuracy": ("accuracy_percent", "{:.2f} %", 1.0),
    "simulated time": ("simulated_time_s", "{:.2f} ms", 1e3),
    "energy": ("energy_j", "{:.3f} mJ", 1e3),
    "pulses": ("pulses", "{:,.0f}", 1.0),
}
TITLES = {recipe.title: name for name, recipe in METHODS.items()} | {"digital network": "digital"}


class WrongMarkError(Exception):
    """A mark that no number can be found for."""


def rows_of(study: str, words: list[str]) -> list[dict[str, str]]:
    """Return the rows of a study's table that the words choose."""
    path = ROOT / "studies" / study / "results.csv"
    if not path.is_file():
        raise WrongMarkError(f"{study} has no results.csv")
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for word in words:
        axis, _, level = word.partition("=")
        if rows and axis not in rows[0]:
            raise WrongMarkError(f"{study} has no axis {axis}")
        rows = [row for row in rows if row[axis] == level]
    if not rows:
        raise WrongMarkError(f"{study} has no rows of {' '.join(words)}")
    return rows


def number(study: str, rest: str) -> str:
    """Return the text of a number in a sentence."""
    what, *words = shlex.split(rest)
    form = words.pop() if words and words[-1].startswith(":") else ""
    rows = rows_of(study, words)
    known = {row["method"] for row in rows}
    names = [what] if what in known else what.split("-")
    values = []
    for name in names:
        if name not in known:
            raise WrongMarkError(f"{study} has no method {name}")
        own = [row for row in rows if row["method"] == name]
        values.append({row["seed"]: float(row["accuracy_percent"]) for row in own})
        if len(values[-1]) != len(own):
            raise WrongMarkError(f"{study} has several rows of {name} for a seed: say the levels of its axes")
    found = mean(list(values[0].values()))
    if len(values) == 2:
        pair = paired(*values)
        if pair is None:
            raise WrongMarkError(f"{study} has no pairs of {what}")
        found = pair.difference
    return f"{found.mean:{form[1:]}}" if form else interval(found, "+" if len(values) == 2 else "")


def table(study: str, rest: str, text: str) -> str:
    """Return a table with the columns that are written."""
    by_method = {row["method"]: row for row in rows_of(study, shlex.split(rest))}
    lines = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.splitlines()]
    heads = lines[0]
    for cells in lines[2:]:
        row = by_method.get(TITLES.get(cells[0], ""))
        if row is None:
            raise WrongMarkError(f"{study} has no row of {cells[0]!r}")
        for place, head in enumerate(heads):
            if head in COLUMNS:
                column, form, scale = COLUMNS[head]
                cells[place] = form.format(scale * float(row[column])) if row[column] else ""
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


def renewed(text: str) -> tuple[str, list[str]]:
    """Return a page with its numbers as the studies have them, and what was another."""
    changes: list[str] = []

    def write(match: re.Match[str]) -> str:
        is_number = match.re is NUMBER
        found = number(match["study"], match["rest"]) if is_number else table(*match.group("study", "rest", "text"))
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
        path = ROOT / name
        for page in sorted(path.glob("*.md")) if path.is_dir() else [path]:
            old = page.read_text("utf-8")
            try:
                new, changes = renewed(old)
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
