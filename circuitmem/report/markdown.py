"""Pieces of Markdown that reports are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence

from circuitmem.study.statistics import Mean

__all__ = ["duration", "interval", "table"]


def interval(found: Mean | None, sign: str = "") -> str:
    """Return a mean with the half-width of its interval, if it has one; nothing for None."""
    if found is None:
        return ""
    width = "" if math.isnan(found.half_width) else f" ± {found.half_width:.2f}"
    return f"{found.mean:{sign}.2f}{width}"


def duration(seconds: float) -> str:
    """Return a time in seconds, minutes or hours."""
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table, whose first column holds words and the others numbers; bars within cells are escaped."""
    rule = ["---", *["---:"] * (len(heads) - 1)]
    cells = ([cell.replace("|", r"\|").replace("\n", " ") for cell in each] for each in [heads, rule, *lines])
    return "\n".join("| " + " | ".join(each) + " |" for each in cells)
