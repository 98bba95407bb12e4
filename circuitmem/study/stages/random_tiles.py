"""Random tiles, and the difference between the engines on them: what the stages of the tile have in common."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import Cell, LinearCell, TileSpec
from circuitmem.engine import BehavioralEngine
from circuitmem.engine.base import Engine
from circuitmem.study.stages.stage import Context, Stage
from circuitmem.tile import DefectMap, Tile

__all__ = ["LINEAR_BOUND", "NON_LINEAR_BOUND", "compare", "difference", "random_case"]

Floats = NDArray[np.float64]
LINEAR_BOUND = 1e-9
"""Node voltages and currents of linear tiles, relative to the largest (design: physics.md, section 9)."""
NON_LINEAR_BOUND = 1e-7
"""The same for non-linear cells."""

DrawDefects = Callable[[np.random.Generator, TileSpec], DefectMap]


def compare(context: Context, bound: float, cell: Cell | None = None, defects: DrawDefects | None = None) -> Stage:
    """Solve random tiles in both engines; one difference a tile.

    Parameters
    ----------
    context : Context
        The stage's.
    bound : float
        Largest difference allowed.
    cell : Cell, optional
        Kind of cell; linear when left out.
    defects : callable, optional
        Draws a tile's defects; none when left out.
    """
    cases, side = (4, 12) if context.quick else (20, 32)
    differences = []
    for case in range(cases):
        tile, voltages = random_case(context.stream(case), side, cell or LinearCell(), defects)
        differences.append(difference(BehavioralEngine(), context.spice, tile, voltages))
        context.report(case + 1, cases)
    return Stage(differences, bound)


def random_case(
    rng: np.random.Generator, largest: int, cell: Cell, defects: DrawDefects | None = None
) -> tuple[Tile, Floats]:
    """Draw a tile, 2 to ``largest`` a side, with resistances from 0 to 20 ohm, and two input vectors (2, rows) V."""
    rows, columns = (int(n) for n in rng.integers(2, largest + 1, 2))
    word, bit, driver, sense = (float(r) for r in rng.uniform(0.0, 20.0, 4) * (rng.random(4) < 0.8))
    spec = TileSpec(
        rows=rows,
        columns=columns,
        word_line_resistance=word,
        bit_line_resistance=bit,
        driver_resistance=driver,
        sense_resistance=sense,
        cell=cell,
    )
    defect_map = defects(rng, spec) if defects else DefectMap()
    return Tile(spec, rng.uniform(1e-6, 300e-6, spec.shape), defect_map), rng.uniform(-0.5, 0.5, (2, rows))


def difference(behavioral: Engine, spice: Engine, tile: Tile, voltages: Floats) -> float:
    """Return the largest difference of node voltages and column currents, relative to the largest of each.

    NaN if any of them is NaN: unlike Python's max, NumPy's keeps it.
    """
    ours, theirs = behavioral.solve(tile, voltages), spice.solve(tile, voltages)
    differences = []
    for name in ("word_line_voltage", "bit_line_voltage", "column_current"):
        a, b = getattr(ours, name), getattr(theirs, name)
        scale = max(float(np.abs(theirs.word_line_voltage if "voltage" in name else b).max()), 1e-300)
        differences.append(float(np.abs(a - b).max()) / scale)
    return float(np.max(differences))
