"""Stage: linear tiles without defects."""

from __future__ import annotations

from circuitmem.study.stages.random_tiles import LINEAR_BOUND, compare
from circuitmem.study.stages.stage import Context, Stage

NAME = "tile linear"


def run(context: Context) -> Stage:
    """Compare node voltages and column currents."""
    return compare(context, LINEAR_BOUND)
