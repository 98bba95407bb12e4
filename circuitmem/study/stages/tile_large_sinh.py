"""Stage: large tiles of sinh cells, by VACASK alone: ngspice without KLU takes minutes to hours for them."""

from __future__ import annotations

from circuitmem.config import SinhCell
from circuitmem.study.stages.random_tiles import NON_LINEAR_BOUND, compare
from circuitmem.study.stages.stage import Context, Stage

NAME = "large sinh tiles"
REFEREE = "vacask"


def run(context: Context) -> Stage:
    """Compare node voltages and column currents."""
    shapes = [(48, 48)] if context.quick else [(64, 64), (128, 128)]
    return compare(context, NON_LINEAR_BOUND, SinhCell(a=2.0), shapes=shapes)
