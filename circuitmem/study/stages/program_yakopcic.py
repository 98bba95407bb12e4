"""Stage: SET and RESET pulses on tiles of Yakopcic's devices, final states relative to their range."""

from __future__ import annotations

from circuitmem.study.benches import BENCHES
from circuitmem.study.stages.programming import compare_programs
from circuitmem.study.stages.stage import Context, Stage

NAME = "program Yakopcic"


def run(context: Context) -> Stage:
    """Compare final states."""
    return compare_programs(context, BENCHES["yakopcic:Oblea"])
