"""What ``circuitmem validate`` compares: one file a stage, listed here in the order in which they run."""

from circuitmem.study.stages import (
    chip_stanford,
    chip_vteam,
    chip_yakopcic,
    codes,
    compliance,
    dac,
    line_delay,
    network,
    program_stanford,
    program_verilog,
    program_vteam,
    program_yakopcic,
    sar,
    settling,
    tia,
    tile_defects,
    tile_each_defect,
    tile_large_linear,
    tile_large_sinh,
    tile_linear,
    tile_selector,
    tile_sinh,
    tile_thousand,
    tile_transistor,
    trajectory,
)
from circuitmem.study.stages.own import own_stages
from circuitmem.study.stages.stage import Context, Stage, StageModule, apart

__all__ = ["STAGES", "Context", "Stage", "StageModule", "apart", "own_stages"]

STAGES: tuple[StageModule, ...] = (
    tile_linear,
    tile_defects,
    tile_each_defect,
    tile_sinh,
    tile_transistor,
    tile_selector,
    tile_large_linear,
    tile_large_sinh,
    tile_thousand,
    dac,
    tia,
    line_delay,
    settling,
    codes,
    sar,
    program_vteam,
    program_yakopcic,
    program_stanford,
    program_verilog,
    chip_vteam,
    chip_yakopcic,
    chip_stanford,
    compliance,
    network,
    trajectory,
)
"""Each has a NAME, as the table shows it, and ``run(context)``, which returns its :class:`Stage`."""
