"""Stage: a thousand random tiles of every kind of cell, with every kind of defect, by VACASK, within 1e-9."""

from __future__ import annotations

from circuitmem.config import LinearCell, SelectorCell, SinhCell, TransistorCell
from circuitmem.study.stages.random_tiles import LINEAR_BOUND, compare
from circuitmem.study.stages.stage import Context, Stage
from circuitmem.study.stages.tile_defects import every_defect

NAME = "thousand tiles"
REFEREE = "vacask"
CELLS = (
    LinearCell(),
    SinhCell(a=2.0),
    TransistorCell(on_resistance=2e3),
    SelectorCell(threshold=0.25, swing=0.08),
)


def run(context: Context) -> Stage:
    """Compare node voltages and column currents; VACASK is as exact for cells that are not linear as for others."""
    return compare(context, LINEAR_BOUND, CELLS, every_defect, many=(20, 8) if context.quick else (1000, 16))
