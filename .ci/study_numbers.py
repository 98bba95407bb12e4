#!/usr/bin/env python3
"""Write numbers of studies into pages, where these are marked; with --check only say which differ, and exit with 1.

A number in a sentence stands between two comments, ``<!-- = STUDY WHAT [WORD ...] [FORMAT] -->91.04<!-- / -->``. STUDY
is ``.`` for the study whose README it is. WHAT is a method, or two: ``METHOD-METHOD`` for the paired difference, or
``METHOD/METHOD`` for the ratio of the means, in per cent for accuracies. The words are

* ``AXIS=LEVEL`` (or ``seed=1``), or ``AXIS=LEVEL|LEVEL``: which rows of the study's table; a level with a space stands
  in quotes;
* ``of=COLUMN``: another column than the accuracy, in the unit of the reports (``UNITS``);
* ``at=time`` or ``at=pulses``: a difference at equal cost instead of at equal epochs;
* ``range``, ``least`` or ``most``: of the means at all levels that were chosen, the smallest and the largest, or one;
* ``+-``: with FORMAT, the 95 % interval too.

Without FORMAT a mean has its 95 % interval; with one, such as ``:.0f``, it is the mean alone.

Between ``<!-- studies -->`` and ``<!-- / -->`` stands the list of all studies: title, maps, date, and whether methods
were tuned as the study declares.

The table after ``<!-- table STUDY [AXIS=LEVEL ...] -->`` has a row for each method, by its title: the columns test
accuracy, simulated time, energy and pulses are written, the others stay.
"""

from __future__ import annotations

import functools
import json
import math
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from circuitmem.config import ComparisonSpec
from circuitmem.report.markdown import interval
from circuitmem.report.study_plots import SCALES
from circuitmem.report.study_report import compared
from circuitmem.study.spec import Study, load_study
from circuitmem.study.statistics import Mean, mean, paired
from circuitmem.study.store import load_table
from circuitmem.training import METHODS

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/*.md", "studies/README.md", "studies/*/README.md")

NUMBER = re.compile(r"(<!-- = (?P<study>\S+) (?P<rest>[^>]*?) -->)(?P<text>.*?)(<!-- / -->)", re.S)
TABLE = re.compile(r"(<!-- table (?P<study>\S+) ?(?P<rest>[^>]*?) ?-->\n)(?P<text>(?:\|.*\n)+)")
LIST = re.compile(r"(?P<head><!-- studies -->\n)(?P<text>.*?)(?=<!-- / -->)", re.S)
UNITS = SCALES | {"pulses": 1.0} | dict.fromkeys(("digital_products", "mac_error_raw", "mac_error"), 100.0)
"""Factors of the columns to the units of the reports: ms, mJ, us and nJ of an inference, per cent."""
COLUMNS = {
    "test accuracy": ("accuracy_percent", "{:.2f} %"),
    "simulated time": ("simulated_time_s", "{:.2f} ms"),
    "energy": ("energy_j", "{:.3f} mJ"),
    "pulses": ("pulses", "{:,.0f}"),
}
TITLES = {recipe.title: name for name, recipe in METHODS.items()} | {"digital network": "digital"}


class WrongMarkError(Exception):
    """A mark that no number can be found for."""


SPANS = {"range": (min, max), "least": (min,), "most": (max,)}

Row = dict[str, Any]


@functools.cache
def known_rows(study: str) -> tuple[Row, ...]:
    """Return all rows of a study's table."""
    folder = ROOT / "studies" / study
    if not (folder / "results.parquet").is_file():
        raise WrongMarkError(f"{study} has no results")
    return tuple(load_table(folder)[0])


def rows_of(study: str, words: list[str]) -> list[Row]:
    """Return the rows of a study's table that the words choose, with every test of an epoch."""
    rows = list(known_rows(study))
    for word in words:
        axis, _, levels = word.partition("=")
        if rows and axis not in rows[0]:
            raise WrongMarkError(f"{study} has no axis {axis}")
        rows = [row for row in rows if str(row[axis]) in levels.split("|")]
    if not rows:
        raise WrongMarkError(f"{study} has no rows of {' '.join(words)}")
    return rows


def value(study: str, what: str, rows: list[Row], column: str, at: str) -> Mean:
    """Return what a mark names, of rows at the same levels."""
    known = {row["method"] for row in rows}
    sign = "" if what in known else "-" if "-" in what else "/"
    names = what.split(sign) if sign else [what]
    if at != "end" and (sign != "-" or column != "accuracy_percent"):
        raise WrongMarkError(f"{study}: only differences of accuracies are known at equal {at}")
    each = []
    for name in names:
        own = [row for row in rows if row["method"] == name and row["end"]]
        if not own:
            raise WrongMarkError(f"{study} has no method {name}")
        each.append({row["seed"]: UNITS[column] * row[column] for row in own if row[column] is not None})
        if len(each[-1]) != len(own):
            rule = "or several for a seed: say the levels of its axes"
            raise WrongMarkError(f"{study} has no {column} of {name}, {rule}")
    if sign == "-":
        spec = ComparisonSpec(method=names[0], against=names[1], at=at)
        pair = paired(*each) if at == "end" else compared(spec, rows)[0]
        if pair is None:
            raise WrongMarkError(f"{study} has no pairs of {what}")
        return pair.difference
    means = [mean(list(own.values())) for own in each]
    if sign == "/":
        ratio = means[0].mean / means[1].mean
        return Mean(100.0 * ratio if column == "accuracy_percent" else ratio, math.nan, means[0].count)
    return means[0]


def number(study: str, rest: str) -> str:
    """Return the text of a number in a sentence."""
    what, *words = shlex.split(rest)
    form = words.pop()[1:] if words and words[-1].startswith(":") else ""
    column, at, span, is_wide, chosen = "accuracy_percent", "end", "", False, []
    for word in words:
        if word.startswith("of="):
            column = word[3:]
        elif word.startswith("at="):
            at = word[3:]
        elif word in SPANS:
            span = word
        elif word == "+-":
            is_wide = True
        else:
            chosen.append(word)
    if column not in UNITS or at not in ("end", "time", "pulses"):
        raise WrongMarkError(f"{study} has no column {column} or no comparison at {at}")
    rows = rows_of(study, chosen)
    groups: dict[tuple[str, ...], list[Row]] = {(): rows}
    if span:
        axes, groups = load_study(ROOT / "studies" / study).spec.axes, {}
        for row in rows:
            groups.setdefault(tuple(str(row[axis]) for axis in axes), []).append(row)
    found = [value(study, what, own, column, at) for own in groups.values()]
    if span:
        found = [pick(found, key=lambda each: each.mean) for pick in SPANS[span]]
    sign = "+" if "-" in what else ""
    return " to ".join(written(each, form, is_wide, sign) for each in found)


def written(found: Mean, form: str, is_wide: bool, sign: str) -> str:
    """Return a mean as text."""
    if not form:
        return interval(found, sign)
    text = f"{found.mean:{form}}"
    text = text if float(text.replace(",", "")) else text.lstrip("+-")  # no -0.0
    return f"{text} ± {found.half_width:{form.lstrip('+')}}" if is_wide else text


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
