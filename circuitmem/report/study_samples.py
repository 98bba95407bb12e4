"""Test samples of the points of a study: how many a method has at its levels, and whether all maps share them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from circuitmem.config import DataSpec
from circuitmem.config.data import TEST_PARTS
from circuitmem.study.spec import Study
from circuitmem.study.statistics import select

__all__ = ["Tested", "samples_text", "sharing", "tested_with", "unseen_text"]

DIVIDED = ("penguins", "vowels")
"""Sources in the package without a test part: samples are drawn for it by seed, as from every table in a file."""
TABLES = (".csv", ".tsv", ".txt", ".parquet")
SHARING = {
    "own": "of which each map has its own",
    "unknown": "of which each map has its own unless the data have a test part",
    "shared": "which all maps share",
}
Sharing = Literal["own", "unknown", "shared"]


class Tested(NamedTuple):
    """What a method is tested with: source, number of samples (None if not known), and whether maps share them."""

    source: str
    samples: int | None
    sharing: Sharing


def sharing(data: DataSpec) -> Sharing:
    """Say whether all maps of a study are tested with the same samples, or each with those that its seed has drawn.

    ``unknown`` are files, folders and functions that may have a test part or not: the data are not loaded.
    """
    if data.validation and data.held_back:  # validation samples are drawn by the seed of the map
        return "own"
    if data.split_seed is not None or not data.may_be_split:
        return "shared"
    return "own" if data.source in DIVIDED or Path(data.source).suffix in TABLES else "unknown"


def tested_with(
    study: Study, groups: Iterable[dict[str, Any]], rows: Sequence[Any], smallest: int | None
) -> dict[tuple[Any, ...], dict[str, Tested]]:
    """Return what each method, and the digital network, is tested with, by levels in the order of the axes.

    A table has the numbers and the seeds of the splits, but not if it is of an older version: then numbers are those
    of the declaration, and no split has a seed. Where neither has a number it is ``smallest``, the smallest of all
    points, if these points are alike and all numbers that are known are larger.
    """
    found: dict[tuple[Any, ...], dict[str, Tested]] = {}
    kinds: dict[tuple[Any, ...], Any] = {}  # of the data where the number of test samples is not known
    for levels in groups:
        place = tuple(levels.values())
        found[place] = {}
        for method in ("digital", *study.spec.methods):
            own = select(rows, end=True, method=method, **levels)
            if not own:
                continue
            data = DataSpec(**study.run_values(levels, method).get("data", {}))
            data = data.model_copy(update={"split_seed": own[0].get("split_seed")})
            count = own[0].get("test_samples") or data.validation or data.test or TEST_PARTS.get(data.source)
            found[place][method] = Tested(data.source, count, sharing(data))
            if count is None:
                kinds[place, method] = data.source, data.target, data.task, data.split, data.ignore
    known = [each.samples for own in found.values() for each in own.values() if each.samples is not None]
    alike = set(kinds.values())
    if len(alike) == 1 and smallest is not None and smallest < min(known, default=math.inf):
        for place, method in kinds:
            found[place][method] = found[place][method]._replace(samples=smallest)
    return found


def samples_text(tested: Iterable[Tested]) -> str:
    """Say what the intervals in brackets of a table are of; nothing if no number of test samples is known."""
    every = set(tested)
    words = [f"{count:,}" for count in sorted({each.samples for each in every if each.samples is not None})]
    if not words:
        return ""
    sources = _by_sharing(every)
    whose = [SHARING[way] + (f" ({', '.join(names)})" if len(sources) > 1 else "") for way, names in sources.items()]
    what = "the same" if list(sources) == ["shared"] else "that of one map"
    is_known = all(each.samples is not None for each in every)
    unknown = "" if is_known else "; without brackets where their number is not known"
    return f"; in brackets {what} for other test samples than these {_either(words)}, {_either(whose)}{unknown}"


def unseen_text(tested: Iterable[Tested]) -> str:
    """Say that tuning came before the test samples were seen, if its maps had the same ones; else what they may be."""
    apart = {way: names for way, names in _by_sharing(tested).items() if way != "shared"}
    if not apart:
        return "before the test samples were seen."
    whose = ", ".join(name for names in apart.values() for name in names)
    unless = " unless the data have a test part" if "unknown" in apart else ""
    return (
        f"before the points were computed. Each map has its own test samples of {whose}{unless}; tuning maps may have "
        "used some of them for training or validation."
    )


def _by_sharing(tested: Iterable[Tested]) -> dict[str, list[str]]:
    """Return the sources by how maps share their test samples, in the order of ``SHARING``."""
    every = set(tested)
    ways = {way: sorted({each.source for each in every if each.sharing == way}) for way in SHARING}
    return {way: names for way, names in ways.items() if names}


def _either(words: Sequence[str]) -> str:
    """Return words with commas between them, and "or" before the last."""
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
