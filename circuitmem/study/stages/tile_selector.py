"""Stage: tiles of memristors behind selectors, with inputs below and above their threshold."""

from __future__ import annotations

from circuitmem.config import SelectorCell
from circuitmem.study.stages.random_tiles import NON_LINEAR_BOUND, compare
from circuitmem.study.stages.stage import Context, Stage

NAME = "tile 1S1R"


def run(context: Context) -> Stage:
    """Compare node voltages and column currents."""
    return compare(context, NON_LINEAR_BOUND, SelectorCell(threshold=0.25, swing=0.08))
