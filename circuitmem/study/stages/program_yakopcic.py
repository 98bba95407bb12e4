"""Stage: SET and RESET pulses on tiles of Yakopcic's devices, final states relative to their range."""

from __future__ import annotations

from circuitmem.config import YakopcicSpec
from circuitmem.study.stages.programming import Bench, compare_programs
from circuitmem.study.stages.stage import Context, Stage

NAME = "program Yakopcic"


def run(context: Context) -> Stage:
    """Compare final states."""
    return compare_programs(context, Bench(YakopcicSpec.preset("Oblea"), 0.8, -0.8, 2e-4, 2e-4, 20.0))
