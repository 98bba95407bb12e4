"""Stage: ADC codes of products on a large defective tile, converters and all, by VACASK alone."""

from __future__ import annotations

from circuitmem.study.stages.codes import compare_codes
from circuitmem.study.stages.stage import Context, Stage

NAME = "large converters"
REFEREE = "vacask"


def run(context: Context) -> Stage:
    """Count the codes that differ, on a 64x64 tile."""
    return compare_codes(context, 32, 5) if context.quick else compare_codes(context, 64, 20)
