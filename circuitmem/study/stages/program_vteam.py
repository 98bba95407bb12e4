"""Stage: SET and RESET pulses on tiles of VTEAM devices, final states relative to their range."""

from __future__ import annotations

from circuitmem.config import VteamSpec
from circuitmem.study.stages.programming import Bench, compare_programs
from circuitmem.study.stages.stage import Context, Stage

NAME = "program VTEAM"


def run(context: Context) -> Stage:
    """Compare final states."""
    return compare_programs(context, Bench(VteamSpec.preset("A"), -2.0, 1.0, 1e-9, 1e-9, 1e3))
