"""The number that a mark in a page names: what `study_numbers.py` writes between the two comments of a mark.

A mark is ``<!-- = STUDY WHAT [WORD ...] [FORMAT] -->91.04<!-- / -->``. STUDY is ``.`` for the study whose README it is.
WHAT is a method, or two: ``METHOD-METHOD`` for the paired difference, or ``METHOD/METHOD`` for the ratio of the means,
in per cent for accuracies; or several of these with commas, for a range over all of them. The words are

* ``AXIS=LEVEL`` (or ``seed=1``), or ``AXIS=LEVEL|LEVEL``: which rows of the study's table; a level with a space stands
  in quotes;
* ``-AXIS=LEVEL`` or ``/AXIS=LEVEL``: the difference from the same at another level, paired by seed, or the ratio to it;
  a range is over the levels of the other axes that both have;
* ``of=COLUMN``: another column than the accuracy, in the unit of the reports (``UNITS``);
* ``at=time`` or ``at=pulses``: a difference at equal cost instead of at equal epochs;
* ``less``: of a ratio, by how many per cent it is below one;
* ``per=1000``: the number divided by this;
* ``tuned=KEY``: the setting that tuning chose for the method, or what its trials cost (``simulated_time_s``, ...);
* ``p=holm``, ``p=t`` or ``p=ranks``: of a declared comparison, its probability without an effect, after Holm's
  correction over all tests of the report, or by itself;
* ``shown``: at how many of the levels that probability after Holm's correction is below 0.05, as "2 of 8";
* ``range``, ``least`` or ``most``: of the means at all levels that were chosen, the smallest and the largest, or one;
* ``each``: with one of these, single chips instead of means over chips;
* ``+-``: with FORMAT, the 95 % interval too.

Without FORMAT a mean has its 95 % interval; with one, such as ``:.0f``, it is the mean alone.
"""

from __future__ import annotations

import functools
import json
import math
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from circuitmem.config import ComparisonSpec
from circuitmem.report.markdown import interval
from circuitmem.report.study_plots import SCALES
from circuitmem.report.study_report import compared, tested
from circuitmem.study.spec import load_study
from circuitmem.study.statistics import Mean, mean, paired, select
from circuitmem.study.store import load_table

STUDIES = Path(__file__).resolve().parents[1] / "studies"
UNITS = SCALES | {"pulses": 1.0} | dict.fromkeys(("digital_products", "mac_error_raw", "mac_error"), 100.0)
"""Factors of the columns to the units of the reports: ms, mJ, us and nJ of an inference, per cent."""
SPANS = {"": (), "range": (min, max), "least": (min,), "most": (max,)}
FLAGS = {"+-": "is_wide", "less": "is_less", "shown": "is_count", "each": "is_each"}
P_VALUES = ("holm", "t", "ranks")
SHOWN = 0.05

Row = dict[str, Any]


class WrongMarkError(Exception):
    """A mark that no number can be found for."""


@dataclass
class Mark:
    """What a mark asks for, word by word as the module says."""

    study: str
    what: str
    column: str = "accuracy_percent"
    at: str = "end"
    span: str = ""
    is_wide: bool = False
    is_less: bool = False
    tuned: str = ""
    per: float = 1.0
    p: str = ""
    is_count: bool = False
    is_each: bool = False
    levels: list[str] = field(default_factory=list)
    other: str = ""
    form: str = ""

    def wrong(self, message: str) -> WrongMarkError:
        """Return the error that says what is wrong with this mark."""
        return WrongMarkError(f"{self.study}{message}")


def read_mark(study: str, rest: str) -> Mark:
    """Return the mark that stands after the study's name."""
    what, *words = shlex.split(rest)
    mark = Mark(study, what)
    if words and words[-1].startswith(":"):
        mark.form = words.pop()[1:]
    for word in words:
        key, _, value = word.partition("=")
        if key in ("of", "at", "tuned", "p"):
            setattr(mark, {"of": "column"}.get(key, key), value)
        elif key == "per":
            mark.per = float(value)
        elif word in SPANS:
            mark.span = word
        elif word in FLAGS:
            setattr(mark, FLAGS[word], True)
        elif word[0] in "-/":
            mark.other = word
        else:
            mark.levels.append(word)
    if mark.column not in UNITS or mark.at not in ("end", "time", "pulses"):
        raise mark.wrong(f" has no column {mark.column} or no comparison at {mark.at}")
    if mark.p not in ("", *P_VALUES):
        raise mark.wrong(f" has no probability {mark.p}, only {', '.join(P_VALUES)}")
    if mark.is_each and not mark.span:
        raise mark.wrong(": each needs range, least or most")
    if mark.is_less and not {"/"} & {*mark.what, *mark.other[:1]}:
        raise mark.wrong(": only a ratio can be less")
    return mark


def number(study: str, rest: str) -> str:
    """Return the text of a number in a sentence."""
    mark = read_mark(study, rest)
    if mark.is_count:
        found = list(_probabilities(mark))
        return f"{sum(one.mean < SHOWN for one in found)} of {len(found)}"
    find = _settings if mark.tuned else _probabilities if mark.p else _values
    means = [one for what in mark.what.split(",") for one in find(replace(mark, what=what))]
    if not means:
        raise mark.wrong(f" has nothing of {mark.what} to compare")
    if mark.span:
        means = [pick(means, key=lambda each: each.mean) for pick in SPANS[mark.span]]
    elif len(means) > 1:
        raise mark.wrong(f" has several of {mark.what}: say the levels of its axes, or which of them")
    has_sign = "-" in mark.what + mark.other[:1] and not mark.p and not mark.is_less and "/" not in mark.other[:1]
    # Two bounds that round to the same are one number.
    return " to ".join(dict.fromkeys(_written(each, mark.form, mark.is_wide, "+" * has_sign) for each in means))


def _written(found: Mean, form: str, is_wide: bool, sign: str) -> str:
    """Return a mean as text."""
    if not form:
        return interval(found, sign)
    text = f"{found.mean:{form}}"
    text = text if float(text.replace(",", "")) else text.lstrip("+-")  # no -0.0
    return f"{text} ± {found.half_width:{form.lstrip('+')}}" if is_wide else text


@functools.cache
def known_rows(study: str) -> tuple[Row, ...]:
    """Return all rows of a study's table."""
    folder = STUDIES / study
    if not (folder / "results.parquet").is_file():
        raise WrongMarkError(f"{study} has no results")
    return tuple(load_table(folder)[0])


def rows_of(study: str, words: Iterable[str]) -> list[Row]:
    """Return the rows of a study's table that the words choose, with every test of an epoch."""
    words, rows = list(words), list(known_rows(study))
    for word in words:
        axis, _, levels = word.partition("=")
        if rows and axis not in rows[0]:
            raise WrongMarkError(f"{study} has no axis {axis}")
        rows = [row for row in rows if str(row[axis]) in levels.split("|")]
    if not rows:
        raise WrongMarkError(f"{study} has no rows of {' '.join(words)}")
    return rows


def _values(mark: Mark) -> Iterable[Mean]:
    """Yield the values of a mark at all levels that it chose, or the one of all chosen rows if it names no range."""
    rows = rows_of(mark.study, mark.levels)
    axis = mark.other[1:].partition("=")[0]
    others = []
    if mark.other:
        kept = [word for word in mark.levels if not word.startswith(f"{axis}=")]
        others = rows_of(mark.study, [*kept, mark.other[1:]])
    axes = [*load_study(STUDIES / mark.study).spec.axes, *["seed"] * mark.is_each] if mark.span else []
    same = [own for own in axes if own != axis]  # in the rows that a mark compares with
    for levels in dict.fromkeys(tuple(row[own] for own in axes) for row in rows):
        here = dict(zip(axes, levels, strict=True))
        there = select(others, **{own: here[own] for own in same})
        if there or not mark.other:
            yield _value(mark, select(rows, **here), there)


def _value(mark: Mark, rows: list[Row], others: list[Row]) -> Mean:
    """Return what a mark names: of rows at the same levels, and of those at another level if it names one."""
    known = {row["method"] for row in rows}
    sign = "" if mark.what in known else "-" if "-" in mark.what else "/" if "/" in mark.what else ""
    names = mark.what.split(sign) if sign else [mark.what]
    if mark.at != "end" and (sign != "-" or mark.other or mark.column != "accuracy_percent"):
        raise mark.wrong(f": only differences of accuracies are known at equal {mark.at}")
    each = [_by_seed(mark, name, rows) for name in names]
    if mark.at != "end":
        pair = compared(ComparisonSpec(method=names[0], against=names[1], at=mark.at), rows)[0]
        if pair is None:
            raise mark.wrong(f" has no pairs of {mark.what}")
        return pair.difference
    if mark.other:
        if sign == "/":
            raise mark.wrong(f": {mark.what} is a ratio already")
        each = [_difference(each), _difference([_by_seed(mark, name, others) for name in names])]
        sign = mark.other[0]
    if sign == "/":
        first, second = (mean(list(own.values())).mean for own in each)
        if mark.is_less:
            return Mean(100.0 * (1.0 - first / second), math.nan, len(each[0]))
        return Mean((100.0 if mark.column == "accuracy_percent" else 1.0) * first / second, math.nan, len(each[0]))
    if sign == "-":
        pair = paired(*each)
        if pair is None:
            raise mark.wrong(f" has no pairs of {mark.what}")
        return pair.difference
    return mean(list(each[0].values()))


def _difference(each: list[dict[int, float]]) -> dict[int, float]:
    """Return the values of one method, or the differences of two, by seed."""
    if len(each) == 1:
        return each[0]
    return {seed: each[0][seed] - each[1][seed] for seed in each[0].keys() & each[1].keys()}


def _by_seed(mark: Mark, name: str, rows: list[Row]) -> dict[int, float]:
    own = [row for row in rows if row["method"] == name and row["end"]]
    if not own:
        raise mark.wrong(f" has no method {name}")
    unit = UNITS[mark.column] / mark.per
    found = {row["seed"]: unit * row[mark.column] for row in own if row[mark.column] is not None}
    if len(found) != len(own):
        raise mark.wrong(f" has no {mark.column} of {name}, or several for a seed: say the levels of its axes")
    return found


def _fits(levels: dict[str, Any], words: list[str]) -> bool:
    return all(str(levels.get(axis)) in known.split("|") for axis, _, known in (word.partition("=") for word in words))


def _settings(mark: Mark) -> Iterable[Mean]:
    """Yield the settings that tuning chose for a method, or the cost of its trials, at the levels of a mark."""
    provenance = json.loads((STUDIES / mark.study / "provenance.json").read_text("utf-8"))
    chosen = [one for one in provenance["tuning"] if one["method"] == mark.what and _fits(one["levels"], mark.levels)]
    if not chosen:
        raise mark.wrong(f" has not tuned {mark.what} at {' '.join(mark.levels) or 'any level'}")
    for one in chosen:
        known = one | one["settings"]
        if mark.tuned not in known:
            raise mark.wrong(f" has not tuned {mark.tuned} of {mark.what}")
        yield Mean(known[mark.tuned] / mark.per, math.nan, one["maps"])


def _probabilities(mark: Mark) -> Iterable[Mean]:
    """Yield the probabilities of a declared comparison without an effect, at the levels of a mark."""
    tests = tested(load_study(STUDIES / mark.study), known_rows(mark.study))
    declared = [own for spec, own, _ in tests if (f"{spec.method}-{spec.against}", spec.at) == (mark.what, mark.at)]
    found = [test for own in declared for test in own if test[1] is not None and _fits(test[0], mark.levels)]
    if not found:
        raise mark.wrong(f" does not declare {mark.what} at equal {mark.at}, or has no pairs there")
    for _, pair, corrected in found:
        by_name = {"t": pair.p_value, "ranks": pair.rank_p_value}
        yield Mean(by_name.get(mark.p, corrected), math.nan, pair.difference.count)
