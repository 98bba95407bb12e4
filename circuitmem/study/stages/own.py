"""Stages of a chip that the user declares: its own tile, and its own devices if they have a circuit."""

from __future__ import annotations

from functools import partial

import numpy as np

from circuitmem.config import ChipSpec, IonDriftSpec, TabulatedSpec
from circuitmem.config.ode_cells import OdeCellSpec
from circuitmem.engine import BehavioralEngine, RefereeName
from circuitmem.study.benches import bench_of
from circuitmem.study.random_tile import random_tile
from circuitmem.study.stages.chip_cells import WRITE_BOUND, compare_chips
from circuitmem.study.stages.programming import compare_programs
from circuitmem.study.stages.random_tiles import LINEAR_BOUND, NON_LINEAR_BOUND, answer, tile_difference
from circuitmem.study.stages.stage import Stage, StageContext, StageResult

__all__ = ["own_stages"]


def own_stages(chip: ChipSpec) -> list[Stage]:
    """Return the stages of a chip: reads of its tile and, for devices that follow an ODE, pulses."""
    tile = Stage(
        "own tile",
        "the declared tile, its devices at random conductances of their working range, with its stuck ones.",
        partial(_compare_tile, chip=chip),
    )
    if not isinstance(chip.device, OdeCellSpec):
        return [tile]
    model = chip.device.model
    if isinstance(model, TabulatedSpec) and not model.referees:
        return [tile]
    # A limit of Joglekar's window holds a state, and amplifies any difference when the state leaves it.
    anew = isinstance(model, IonDriftSpec) and model.window == "joglekar"
    ends = "states after each pulse, begun alike (Joglekar's window)" if anew else "final states"
    only: RefereeName | None = "vacask" if isinstance(model, TabulatedSpec) else None  # ngspice has no Verilog-A
    return [
        tile,
        Stage(
            "own pulses",
            "SET and RESET pulses on tiles of the declared devices, final states relative to their range.",
            # Within the bound of writes: a declared device may be steeper than published ones.
            partial(compare_programs, bench=bench_of(chip.device), bound=WRITE_BOUND),
            only,
        ),
        Stage(
            "own chip",
            f"write-verify on a chip of the declared devices with every kind of defect, {ends}.",
            partial(compare_chips, device=chip.device.model_dump(), anew=anew),
            only,
        ),
    ]


def _compare_tile(context: StageContext, chip: ChipSpec) -> StageResult:
    """Compare node voltages and column currents of two inputs."""
    first, one = random_tile(chip, context.seed)
    voltages = np.stack([one, one[::-1]])
    with context.timed("behavioral"):
        ours = BehavioralEngine().solve(first, voltages)
    with context.timed("referee"):
        theirs = context.referee.solve(first, voltages)
    context.report(1, 1)
    return StageResult(
        [tile_difference(ours, theirs)],
        LINEAR_BOUND if first.spec.cell.linear else NON_LINEAR_BOUND,
        worst_case=(first, voltages, ours.column_current, theirs.column_current),
        answers=[answer(ours, theirs)],
        size=first.spec.shape,
    )
