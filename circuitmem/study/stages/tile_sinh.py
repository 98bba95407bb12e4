"""Stage: tiles of sinh cells."""

from __future__ import annotations

from circuitmem.config import SinhCell
from circuitmem.study.stages.random_tiles import NON_LINEAR_BOUND, compare
from circuitmem.study.stages.stage import Context, Stage

NAME = "tile sinh"


def run(context: Context) -> Stage:
    """Compare node voltages and column currents."""
    return compare(context, NON_LINEAR_BOUND, SinhCell(a=2.0))
