"""Write-verify on a tile of a chip of ODE devices, in both engines: what the stages of the devices have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import ChipSpec, DefectSpec, ProgrammingSpec, PulseTrain, TabulatedSpec, TileSpec
from circuitmem.control import Chip
from circuitmem.device import OdeCells, state_of
from circuitmem.engine import BehavioralEngine, ProgrammingResult, program_netlist
from circuitmem.network.layer import HardwareLayer
from circuitmem.network.partition import Partition
from circuitmem.study.plots import Lines, Series
from circuitmem.study.stages.random_tiles import every_defect
from circuitmem.study.stages.stage import StageContext, StageResult
from circuitmem.tile import PairMapping, Tile

__all__ = ["WRITE_BOUND", "compare_chips"]

Floats = NDArray[np.float64]
Scheme = Literal["v/2", "v/3", "1t1r"]

WRITE_BOUND = 1e-3
"""Of the state's range, after all pulses of a write: their differences add up (design: physics.md, section 9)."""

TRIES = 2
"""How often rows are read back, and what is off is programmed again."""


class _Both(BehavioralEngine):
    """Gives each pulse of a chip to a second tile too, whose states only the referee has moved."""

    def __init__(self, context: StageContext) -> None:
        super().__init__(threads=1)
        self._context, self._referee = context, context.referee
        self.theirs: Floats | None = None
        self.apart: list[float] = []
        self.last: tuple[Tile, PulseTrain] | None = None

    def program(self, tile: Tile, train: PulseTrain, **options: Any) -> ProgrammingResult:
        """Return what the kernels find, and note how far the referee's states are from theirs, of free cells."""
        with self._context.timed("behavioral"):
            ours = super().program(tile, train, **options)
        beside = Tile(tile.spec, tile.conductance if self.theirs is None else self.theirs, tile.defects)
        with self._context.timed("referee"):
            theirs = self._referee.program(beside, train)
        self.theirs, self.last = theirs.conductance, (beside, train)
        self.apart.append(float(np.abs(ours.state - theirs.state)[~tile.stuck].max(initial=0.0)))
        return ours


def compare_chips(context: StageContext, device: Mapping[str, Any]) -> StageResult:
    """Program and verify tiles with every kind of defect; one difference of states at the end a case.

    The chip decides which pulses to give by what its converters read; the referee gives the same pulses to the same
    tile. In the record ``pulses`` counts those on lines, and ``off`` has the shares of the free cells that were off by
    more than the tolerance, of the conductances that they have, after programming and after verifying.
    """
    plans: list[tuple[int, Scheme]] = [(3, "v/2")] if context.quick else [(6, "v/2"), (5, "v/3"), (5, "1t1r")]
    differences, off, answers, pulses = [], [], [], 0
    curves = []
    netlist = None
    for case, (side, scheme) in enumerate(plans):
        both = _Both(context)
        chip, shares = _write(context, both, {**device, "scheme": scheme}, side, case)
        assert both.theirs is not None
        assert both.last is not None
        differences.append(both.apart[-1])
        devices = chip.units[0].devices
        assert isinstance(devices, OdeCells)
        free = ~chip.units[0].tile.stuck
        answers.append(state_of(devices.model, both.theirs[free]))
        off.append(shares)
        pulses += len(both.apart)
        number = np.arange(1.0, len(both.apart) + 1.0)
        curves.append(Series(f"{side}x{side}, {scheme}", number, np.array(both.apart)))
        beside, train = both.last
        if not isinstance(train.device, TabulatedSpec):  # ngspice has no Verilog-A
            netlist = netlist or program_netlist(beside, train.device, train.pulses[0])
        context.report(case + 1, len(plans))
    side = plans[0][0]
    size = side, side + side % 2
    plot = Lines("Difference of states after each pulse", "pulse", "of the range", tuple(curves))
    return StageResult(
        differences, WRITE_BOUND, {"pulses": pulses, "off": off}, [plot], netlist=netlist, answers=answers, size=size
    )


def _write(
    context: StageContext, engine: _Both, device: dict[str, Any], side: int, case: int
) -> tuple[Chip, list[float]]:
    """Write random weights to a chip of one tile, and verify; return it, and the shares of cells that were off."""
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
