"""Stage: SET and RESET pulses on tiles of Stanford-PKU devices, final states relative to their range."""

from __future__ import annotations

from circuitmem.config import StanfordSpec
from circuitmem.study.stages.programming import Bench, compare_programs
from circuitmem.study.stages.stage import Context, Stage

NAME = "program Stanford-PKU"


def run(context: Context) -> Stage:
    """Compare final states."""
    return compare_programs(context, Bench(StanfordSpec.preset("1.0"), 1.8, -1.8, 2e-8, 1e-7, 200.0))
