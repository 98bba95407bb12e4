"""Stage: SET and RESET pulses on tiles of ion-drift devices, Biolek's window, final states relative to their range."""

from __future__ import annotations

from circuitmem.study.benches import BENCHES
from circuitmem.study.stages.programming import compare_programs
from circuitmem.study.stages.stage import Context, Stage

NAME = "program ion drift"


def run(context: Context) -> Stage:
    """Compare final states."""
    return compare_programs(context, BENCHES["ion-drift:Biolek"])
