"""Stage: SET and RESET pulses on large tiles of Stanford-PKU devices, by VACASK alone, final states."""

from __future__ import annotations

from circuitmem.study.benches import BENCHES
from circuitmem.study.stages.programming import compare_programs
from circuitmem.study.stages.stage import Context, Stage

NAME = "large pulses Stanford"
REFEREE = "vacask"


def run(context: Context) -> Stage:
    """Compare final states."""
    return compare_programs(context, BENCHES["stanford:1.0"], plans=[(12 if context.quick else 32, "v/2")])
