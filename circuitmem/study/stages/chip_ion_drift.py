"""Stage: write-verify on a chip of ion-drift devices, every kind of defect, final states relative to their range."""

from __future__ import annotations

from circuitmem.study.stages.chip_cells import compare_chips
from circuitmem.study.stages.stage import Context, Stage

NAME = "chip ion drift"


def run(context: Context) -> Stage:
    """Compare final states."""
    return compare_chips(context, {"kind": "ion-drift", "window": "biolek"})
