"""Stage: tiles of memristors in series with their access transistors, stuck ones among them."""

from __future__ import annotations

from circuitmem.config import TransistorCell
from circuitmem.study.stages.random_tiles import LINEAR_BOUND, compare
from circuitmem.study.stages.stage import Context, Stage
from circuitmem.study.stages.tile_defects import every_defect

NAME = "tile 1T1R"


def run(context: Context) -> Stage:
    """Compare node voltages and column currents."""
    return compare(context, LINEAR_BOUND, TransistorCell(on_resistance=2e3), every_defect)
