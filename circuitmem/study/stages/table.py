"""Every stage of ``circuitmem validate``, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from circuitmem.config import LinearCell, SelectorCell, SinhCell, TransistorCell, VerilogASpec
from circuitmem.study.benches import BENCHES, Bench
from circuitmem.study.stages import (
    codes,
    compliance,
    dac,
    line_delay,
    network,
    sar,
    settling,
    tia,
    tile_each_defect,
    trajectory,
)
from circuitmem.study.stages.chip_cells import compare_chips
from circuitmem.study.stages.codes import compare_codes
from circuitmem.study.stages.programming import compare_programs
from circuitmem.study.stages.random_tiles import LINEAR_BOUND, NON_LINEAR_BOUND, compare, every_defect
from circuitmem.study.stages.stage import Stage, StageContext, StageFunction, StageResult

__all__ = ["STAGES"]

SINH = SinhCell(a=2.0)
TRANSISTOR = TransistorCell(on_resistance=2e3)
SELECTOR = SelectorCell(threshold=0.25, swing=0.08)

TANTALUM_OXIDE = VerilogASpec(
    file="taox",
    state_range=(0.0, 0.2),
    positive_voltage=0.55,
    negative_voltage=0.7,
    time=1e-4,
    conductance=1e-4,
    error=1e-3,
)
"""Its channel is up to a fifth of the cell."""

LARGE, SMALLER = [(32, "v/2")], [(12, "v/2")]
"""Lines per side, and scheme, of the tiles that only VACASK programs; then those of a quick validation."""


def _of(module: ModuleType) -> Stage:
    """Return the stage that a module of this package declares: NAME, the text of its docstring, ``run``, and ONLY."""
    about = " ".join((module.__doc__ or "").partition(":")[2].split())
    return Stage(module.NAME, about, module.run, getattr(module, "ONLY", None))


def _with(comparison: Callable[..., StageResult], quick: dict[str, Any] | None = None, **options: Any) -> StageFunction:
    """Return the comparison with options, some of which ``quick`` replaces in a quick validation."""

    def run(context: StageContext) -> StageResult:
        return comparison(context, **(options | (quick or {}) if context.quick else options))

    return run


STAGES: tuple[Stage, ...] = (
    Stage("tile linear", "linear tiles without defects.", _with(compare, bound=LINEAR_BOUND)),
    Stage(
        "tile with defects",
        "linear tiles with every kind of defect.",
        _with(compare, {"last": None}, bound=LINEAR_BOUND, defects=every_defect, last=(64, 64)),
    ),
    _of(tile_each_defect),
    Stage("tile sinh", "tiles of sinh cells.", _with(compare, bound=NON_LINEAR_BOUND, cell=SINH)),
    Stage(
        "tile 1T1R",
        "tiles of memristors in series with their access transistors, stuck ones among them.",
        _with(compare, bound=LINEAR_BOUND, cell=TRANSISTOR, defects=every_defect),
    ),
    Stage(
        "tile 1S1R",
        "tiles of memristors behind selectors, with inputs below and above their threshold.",
        _with(compare, bound=NON_LINEAR_BOUND, cell=SELECTOR),
    ),
    Stage(
        "large linear tiles",
        "large tiles of linear cells, by VACASK alone: ngspice without KLU takes minutes to hours for them.",
        _with(
            compare,
            {"shapes": [(64, 64)]},
            bound=LINEAR_BOUND,
            defects=every_defect,
            shapes=[(64, 64), (100, 128), (256, 256)],
        ),
        "vacask",
    ),
    Stage(
        "large sinh tiles",
        "large tiles of sinh cells, by VACASK alone: ngspice without KLU takes minutes to hours for them.",
        _with(compare, {"shapes": [(48, 48)]}, bound=NON_LINEAR_BOUND, cell=SINH, shapes=[(64, 64), (128, 128)]),
        "vacask",
    ),
    Stage(
        "thousand tiles",
        "a thousand random tiles of every kind of cell, with every kind of defect, by VACASK, within 1e-9.",
        _with(
            compare,
            {"many": (20, 8)},
            bound=LINEAR_BOUND,  # VACASK is as exact for cells that are not linear as for others
            cell=(LinearCell(), SINH, TRANSISTOR, SELECTOR),
            defects=every_defect,
            many=(1000, 16),
        ),
        "vacask",
    ),
    *map(_of, (dac, tia, line_delay, settling, codes)),
    Stage(
        "large converters",
        "ADC codes of products on a large defective tile, converters and all, by VACASK alone.",
        _with(compare_codes, {"side": 32, "cases": 5}, side=64, cases=20),
        "vacask",
    ),
    _of(sar),
    Stage(
        "program VTEAM",
        "SET and RESET pulses on tiles of VTEAM devices, final states relative to their range.",
        _with(compare_programs, bench=BENCHES["vteam:A"]),
    ),
    Stage(
        "program Yakopcic",
        "SET and RESET pulses on tiles of Yakopcic's devices, final states relative to their range.",
        _with(compare_programs, bench=BENCHES["yakopcic:Oblea"]),
    ),
    Stage(
        "program Stanford-PKU",
        "SET and RESET pulses on tiles of Stanford-PKU devices, final states relative to their range.",
        _with(compare_programs, bench=BENCHES["stanford:1.0"]),
    ),
    Stage(
        "program ion drift",
        "SET and RESET pulses on tiles of ion-drift devices, Biolek's window, final states relative to their range.",
        _with(compare_programs, bench=BENCHES["ion-drift:Biolek"]),
    ),
    Stage(
        "large pulses VTEAM",
        "SET and RESET pulses on large tiles of VTEAM devices, by VACASK alone, final states.",
        _with(compare_programs, {"plans": SMALLER}, bench=BENCHES["vteam:A"], plans=LARGE),
        "vacask",
    ),
    Stage(
        "large pulses Yakopcic",
        "SET and RESET pulses on large tiles of Yakopcic devices, by VACASK alone, final states.",
        _with(compare_programs, {"plans": SMALLER}, bench=BENCHES["yakopcic:Oblea"], plans=LARGE),
        "vacask",
    ),
    Stage(
        "large pulses Stanford",
        "SET and RESET pulses on large tiles of Stanford-PKU devices, by VACASK alone, final states.",
        _with(compare_programs, {"plans": SMALLER}, bench=BENCHES["stanford:1.0"], plans=LARGE),
        "vacask",
    ),
    Stage(
        "program Verilog-A",
        "pulses on tiles of a Verilog-A device by its tables, against the model itself; VACASK alone has it.",
        _with(
            compare_programs,
            bench=Bench(TANTALUM_OXIDE, 0.5, -0.65, 2e-5, 1e-5, 50.0),
            bound=TANTALUM_OXIDE.error,
        ),
        "vacask",
    ),
    Stage(
        "chip VTEAM",
        "write-verify on a chip of VTEAM devices with every kind of defect, final states relative to their range.",
        _with(compare_chips, device={"kind": "vteam"}),
    ),
    Stage(
        "chip Yakopcic",
        "write-verify on a chip of Yakopcic devices with every kind of defect, final states relative to their range.",
        _with(compare_chips, device={"kind": "yakopcic"}),
    ),
    Stage(
        "chip Stanford-PKU",
        "write-verify on a chip of Stanford-PKU devices, every kind of defect, final states relative to their range.",
        _with(compare_chips, device={"kind": "stanford-pku"}),
    ),
    Stage(
        "chip ion drift",
        "write-verify on a chip of ion-drift devices, every kind of defect, final states relative to their range.",
        _with(compare_chips, device={"kind": "ion-drift", "window": "biolek"}),
    ),
    *map(_of, (compliance, network, trajectory)),
)
