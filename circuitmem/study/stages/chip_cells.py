"""Write-verify on a tile of a chip of ODE devices, in both engines: the common part of the stages of devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import ChipSpec, DefectSpec, ProgrammingSpec, PulseTrain, TabulatedSpec, TileSpec
from circuitmem.control import Chip
from circuitmem.device import OdeCells, conductance, state_of
from circuitmem.engine import BehavioralEngine, ProgrammingResult, program_netlist
from circuitmem.network.layer import HardwareLayer
from circuitmem.network.partition import Partition
from circuitmem.study.plots import Lines, Series
from circuitmem.study.stages.programming import Scheme
from circuitmem.study.stages.random_tiles import every_defect
from circuitmem.study.stages.stage import StageContext, StageResult
from circuitmem.tile import PairMapping, Tile

__all__ = ["WRITE_BOUND", "compare_chips"]

Floats = NDArray[np.float64]

WRITE_BOUND = 1e-3
"""Fraction of the state's range, after all pulses of a write: differences add up (design: physics.md, section 9)."""

TRIES = 2
"""How often rows are read back, and cells outside the tolerance are programmed again."""


NEAR = 1e-5
"""Fraction of the state's range by which two engines differ where nothing amplifies the difference."""


class _Both(BehavioralEngine):
    """Gives each pulse of a chip also to a second tile, whose states only the referee changes.

    Parameters
    ----------
    context : StageContext
        What the stage works with.
    anew : bool
        Whether the second tile begins each pulse with the states of the first, and is compared with the range of states
        that the kernels reach from up to ``NEAR`` around them.
    """

    def __init__(self, context: StageContext, anew: bool) -> None:
        super().__init__(threads=1)
        self._context, self._referee, self._anew = context, context.referee, anew
        self.theirs: Floats | None = None
        self.apart: list[float] = []
        self.undecided: list[float] = []
        self.last: tuple[Tile, PulseTrain] | None = None

    def program(self, tile: Tile, train: PulseTrain, **options: Any) -> ProgrammingResult:
        """Return the result of the kernels, and note how far the referee's states of free cells are from it."""
        with self._context.timed("behavioral"):
            ours = super().program(tile, train, **options)
        begun = tile.conductance if self._anew or self.theirs is None else self.theirs
        beside = Tile(tile.spec, begun, tile.defects)
        with self._context.timed("referee"):
            theirs = self._referee.program(beside, train)
        self.theirs, self.last = theirs.conductance, (beside, train)
        lowest = highest = ours.state
        if self._anew:
            near = [super(_Both, self).program(_moved(tile, train, off), train).state for off in (-NEAR, NEAR)]
            lowest, highest = np.minimum(lowest, near).min(axis=0), np.maximum(highest, near).max(axis=0)
        beyond = np.maximum(lowest - theirs.state, theirs.state - highest)[~tile.stuck]
        self.apart.append(float(beyond.max(initial=0.0)))
        self.undecided.append(float((highest - lowest > WRITE_BOUND)[~tile.stuck].mean()))
        return ours


def _moved(tile: Tile, train: PulseTrain, off: float) -> Tile:
    """Return a tile whose free cells' states are shifted by ``off`` of their range, but not beyond a limit."""
    cells, moved = ~tile.stuck, tile.conductance.copy()
    moved[cells] = conductance(train.device, np.clip(state_of(train.device, moved[cells]) + off, 0.0, 1.0))
    return Tile(tile.spec, moved, tile.defects)


def compare_chips(context: StageContext, device: Mapping[str, Any], *, anew: bool = False) -> StageResult:
    """Program and verify tiles with every kind of defect; one difference of final states per case.

    The chip chooses its pulses by what its converters read; the referee gives the same pulses to the same tile. In the
    record, ``pulses`` counts the pulses on lines, and ``off`` has the shares of free cells whose conductances missed
    their targets by more than the tolerance, after programming and after each verification.

    With ``anew`` the referee begins each pulse with the states that the kernels left. The difference of a pulse is then
    how far the referee ends outside the range of states that the kernels reach from up to ``NEAR`` around that start;
    the difference of a case is the largest after any pulse. This is for devices that amplify a difference when they
    leave a limit: after one pulse from there, two engines need not agree. In the record, ``undecided`` is the largest
    share of free cells, after any pulse, whose range is wider than the bound, and ``undecided_of_all`` the mean of that
    share over all pulses: of such cells the stage says next to nothing.
    """
    plans: list[tuple[int, Scheme]] = [(3, "v/2")] if context.quick else [(6, "v/2"), (5, "v/3"), (5, "1t1r")]
    differences, off, answers, curves = [], [], [], []
    undecided: list[float] = []
    netlist = None
    for case, (side, scheme) in enumerate(plans):
        both = _Both(context, anew)
        chip, shares = _write(context, both, {**device, "scheme": scheme}, side, case)
        assert both.theirs is not None
        assert both.last is not None
        differences.append(max(both.apart) if anew else both.apart[-1])
        devices = chip.units[0].devices
        assert isinstance(devices, OdeCells)
        free = ~chip.units[0].tile.stuck
        answers.append(state_of(devices.model, both.theirs[free]))
        off.append(shares)
        undecided += both.undecided
        number = np.arange(1.0, len(both.apart) + 1.0)
        curves.append(Series(f"{side}x{side}, {scheme}", number, np.array(both.apart)))
        beside, train = both.last
        if not isinstance(train.device, TabulatedSpec):  # ngspice has no Verilog-A
            netlist = netlist or program_netlist(beside, train.device, train.pulses[0])
        context.report(case + 1, len(plans))
    side = plans[0][0]
    size = side, side + side % 2
    plot = Lines("Difference of states after each pulse", "pulse", "of the range", tuple(curves))
    details: dict[str, Any] = {"pulses": len(undecided), "off": off}
    if anew:
        details |= {"undecided": max(undecided), "undecided_of_all": float(np.mean(undecided))}
    return StageResult(differences, WRITE_BOUND, details, [plot], netlist=netlist, answers=answers, size=size)


def _write(
    context: StageContext, engine: _Both, device: dict[str, Any], side: int, case: int
) -> tuple[Chip, list[float]]:
    """Write random weights to a chip of one tile, and verify; return it, and the shares of cells off their targets."""
    rng = context.stream(case)
    columns = side + side % 2
    word, bit = (float(ohms) for ohms in rng.uniform(0.5, 3.0, 2))
    spec = ChipSpec(
        tile=TileSpec(
            rows=side, columns=columns, driver_resistance=5.0, word_line_resistance=word, bit_line_resistance=bit
        ),
        device=device,  # type: ignore[arg-type]  # as a file declares them
        defects=DefectSpec(device_yield=1.0),
        programming=ProgrammingSpec(deadband=0.0, verify_tolerance=1e-12),
    )
    chip = Chip(spec, 1, context.seed, engine=engine)
    unit, low, high = chip.units[0], spec.device.minimum_conductance, spec.device.maximum_conductance
    unit.tile.damage(every_defect(rng, unit.tile.spec))
    span = high - low
    mapping = PairMapping(low, high, 1.0)
    layer = HardwareLayer(chip, chip.units, Partition(side, columns // 2, side, columns), mapping, 1.0)
    chip.run(layer.program(rng.uniform(-1.0, 1.0, (side, columns // 2)), 0.0))
    wanted = unit.asked.copy()
    shares = []
    for _ in range(TRIES):
        shares.append(_off(unit.tile, wanted, 0.05 * span))
        chip.run(layer.verify(1, 0.05 * span))
    return chip, [*shares, _off(unit.tile, wanted, 0.05 * span)]


def _off(tile: Tile, wanted: Floats, tolerance: float) -> float:
    return float((np.abs(tile.conductance - wanted) > tolerance)[~tile.stuck].mean())
