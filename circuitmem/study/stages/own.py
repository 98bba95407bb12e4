"""Stages of a chip that the user declares: its own tile, and its own devices if they have a circuit."""

from __future__ import annotations

import numpy as np

from circuitmem.config import ChipSpec, OdeDevice, TabulatedSpec
from circuitmem.config.ode_cells import OdeCellSpec
from circuitmem.engine import BehavioralEngine
from circuitmem.study.benches import bench_of
from circuitmem.study.random_tile import random_tile
from circuitmem.study.stages.chip_cells import WRITE_BOUND, compare_chips
from circuitmem.study.stages.programming import compare_programs
from circuitmem.study.stages.random_tiles import LINEAR_BOUND, NON_LINEAR_BOUND, answer, difference
from circuitmem.study.stages.stage import Context, Stage, StageModule

__all__ = ["own_stages"]


class _Own:
    """A stage of a declared chip."""

    NAME: str

    def __init__(self, chip: ChipSpec) -> None:
        self.chip = chip


class _Moved(_Own):
    """A stage that moves the devices: those of a Verilog-A model VACASK alone has."""

    def __init__(self, chip: ChipSpec) -> None:
        super().__init__(chip)
        if isinstance(_model(chip), TabulatedSpec):
            self.REFEREE = "vacask"


class _Tile(_Own):
    """Stage: the declared tile, its devices at random conductances of their working range, with its stuck ones."""

    NAME = "own tile"

    def run(self, context: Context) -> Stage:
        """Compare node voltages and column currents of two inputs."""
        first, one = random_tile(self.chip, context.seed)
        voltages = np.stack([one, one[::-1]])
        with context.timed("behavioral"):
            ours = BehavioralEngine().solve(first, voltages)
        with context.timed("referee"):
            theirs = context.referee.solve(first, voltages)
        context.report(1, 1)
        return Stage(
            [difference(ours, theirs)],
            LINEAR_BOUND if first.spec.cell.linear else NON_LINEAR_BOUND,
            worst_case=(first, voltages, ours.column_current, theirs.column_current),
            answers=[answer(ours, theirs)],
            size=first.spec.shape,
        )


class _Pulses(_Moved):
    """Stage: SET and RESET pulses on tiles of the declared devices, final states relative to their range."""

    NAME = "own pulses"

    def run(self, context: Context) -> Stage:
        """Compare final states, within the bound of writes: a declared device may be steeper than published ones."""
        assert isinstance(self.chip.device, OdeCellSpec)
        return compare_programs(context, bench_of(self.chip.device), WRITE_BOUND)


class _Chip(_Moved):
    """Stage: write-verify on a chip of the declared devices with every kind of defect, final states."""

    NAME = "own chip"

    def run(self, context: Context) -> Stage:
        """Compare final states."""
        return compare_chips(context, self.chip.device.model_dump())


def own_stages(chip: ChipSpec) -> list[StageModule]:
    """Return the stages of a chip: reads of its tile and, for devices that follow an ODE, pulses."""
    model = _model(chip)
    known = model is not None and not (isinstance(model, TabulatedSpec) and not model.referees)
    return [_Tile(chip), _Pulses(chip), _Chip(chip)] if known else [_Tile(chip)]


def _model(chip: ChipSpec) -> OdeDevice | None:
    return chip.device.model if isinstance(chip.device, OdeCellSpec) else None
