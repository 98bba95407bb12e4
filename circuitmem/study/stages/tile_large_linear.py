"""Stage: large tiles of linear cells, by VACASK alone: ngspice without KLU takes minutes to hours for them."""

from __future__ import annotations

from circuitmem.study.stages.random_tiles import LINEAR_BOUND, compare
from circuitmem.study.stages.stage import Context, Stage
from circuitmem.study.stages.tile_defects import every_defect

NAME = "large linear tiles"
REFEREE = "vacask"


def run(context: Context) -> Stage:
    """Compare node voltages and column currents, every kind of defect included."""
    shapes = [(64, 64)] if context.quick else [(64, 64), (100, 128), (256, 256)]
    return compare(context, LINEAR_BOUND, defects=every_defect, shapes=shapes)
