"""Random tiles, and the difference between the engines on them: the common part of the stages of tiles."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import Cell, LinearCell, TileSpec
from circuitmem.engine import BehavioralEngine
from circuitmem.engine.base import Solution
from circuitmem.study.plots import HeatMap, Lines, Plot, Series, Views
from circuitmem.study.stages.stage import StageContext, StageResult
from circuitmem.tile import DefectMap, Tile

__all__ = [
    "LINEAR_BOUND",
    "NON_LINEAR_BOUND",
    "answer",
    "compare",
    "every_defect",
    "largest_size",
    "random_case",
    "tile_difference",
]

Floats = NDArray[np.float64]
LINEAR_BOUND = 1e-9
"""Bound of node voltages and currents of linear tiles, relative to the largest (design: physics.md, section 9)."""
NON_LINEAR_BOUND = 1e-7
"""The same for non-linear cells."""

MAPPED = 64 * 64
"""Most cells of a tile that is shown cell by cell: a page of larger ones would have megabytes of numbers."""

SHOWN = 50
"""Number of tiles whose currents are shown; all are compared."""

DrawDefects = Callable[[np.random.Generator, TileSpec], DefectMap]


def compare(
    context: StageContext,
    bound: float,
    cell: Cell | Sequence[Cell] | None = None,
    defects: DrawDefects | None = None,
    shapes: Sequence[tuple[int, int]] = (),
    many: tuple[int, int] | None = None,
    last: tuple[int, int] | None = None,
) -> StageResult:
    """Solve random tiles in both engines; one difference per tile.

    Parameters
    ----------
    context : StageContext
        The stage's.
    bound : float
        Largest difference allowed.
    cell : Cell or sequence of Cell, optional
        Kind of cell; linear when left out, in turn if there are several.
    defects : callable, optional
        Draws a tile's defects; none when left out.
    shapes : sequence of (int, int), optional
        Rows and columns of the tiles; twenty up to 32x32 (quick: four up to 12x12) when left out.
    many : (int, int), optional
        Another number of tiles, and their largest side.
    last : (int, int), optional
        Rows and columns of one more tile.
    """
    cases, side = many or ((4, 12) if context.quick else (20, 32))
    drawn: list[tuple[int, int] | None] = [*shapes] or [None] * cases
    drawn += [last] if last else []
    cases = len(drawn)
    cells = cell if isinstance(cell, Sequence) else (cell or LinearCell(),)
    pairs, tiles = [], []
    for case in range(cases):
        tile, voltages = random_case(context.stream(case), side, cells[case % len(cells)], defects, drawn[case])
        with context.timed("behavioral"):
            ours = BehavioralEngine().solve(tile, voltages)
        with context.timed("referee"):
            theirs = context.referee.solve(tile, voltages)
        pairs.append((ours, theirs))
        tiles.append((tile, voltages))
        context.report(case + 1, cases)
    differences = [tile_difference(*pair) for pair in pairs]
    worst = int(np.argmax(differences))
    currents = [solution.column_current for solution in pairs[worst]]
    plots: list[Plot] = _currents(pairs[:SHOWN], context.simulator)
    if tiles[worst][0].conductance.size <= MAPPED:
        plots.append(_maps(*pairs[worst]))
    return StageResult(
        differences,
        bound,
        plots=plots,
        worst_case=(*tiles[worst], currents[0], currents[1]),
        answers=[answer(*pair) for pair in pairs],
        size=largest_size(tile for tile, _ in tiles),
    )


def _currents(pairs: Sequence[tuple[Solution, Solution]], simulator: str) -> list[Plot]:
    """Show the column currents of all tiles, one engine against the other, and their differences."""
    ours, theirs = (np.concatenate([pair[k].column_current.ravel() for pair in pairs]) for k in (0, 1))
    largest = np.concatenate([np.full(pair[1].column_current.size, _largest(pair[1].column_current)) for pair in pairs])
    scatter = Series("column currents", theirs * 1e6, ours * 1e6, "points")
    residuals = Series("column currents", theirs * 1e6, np.abs(ours - theirs) / largest, "points")
    return [
        Lines(f"Behavioral against {simulator}", f"{simulator} (uA)", "behavioral (uA)", (scatter,)),
        Lines("Difference of each current", f"{simulator} (uA)", "relative to the tile's largest", (residuals,), "y"),
    ]


def _maps(ours: Solution, theirs: Solution) -> Views:
    """Show the worst tile: its voltages, and where on it the engines differ most."""
    scale = _largest(theirs.word_line_voltage)
    pairs = ((ours.word_line_voltage, theirs.word_line_voltage), (ours.bit_line_voltage, theirs.bit_line_voltage))
    error = np.max([np.abs(a - b).max(axis=0) for a, b in pairs], axis=0) / scale
    return Views(
        "The tile with the largest difference",
        (
            HeatMap("Difference of node voltages", error, "relative to the largest voltage"),
            HeatMap("Word-line voltages, first input", theirs.word_line_voltage[0] * 1e3, "mV"),
            HeatMap("Bit-line voltages, first input", theirs.bit_line_voltage[0] * 1e3, "mV"),
        ),
    )


def random_case(
    rng: np.random.Generator,
    largest: int,
    cell: Cell,
    defects: DrawDefects | None = None,
    shape: tuple[int, int] | None = None,
) -> tuple[Tile, Floats]:
    """Draw a tile of 2 to ``largest`` a side, with resistances from 0 to 20 ohm, and two input vectors (2, rows) V.

    ``shape`` is that of the tile, if it is not drawn.
    """
    rows, columns = shape or (int(n) for n in rng.integers(2, largest + 1, 2))
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


def tile_difference(ours: Solution, theirs: Solution) -> float:
    """Return the largest difference of node voltages and column currents, relative to the largest of each.

    NaN if any of them is NaN: unlike Python's max, NumPy's keeps it.
    """
    differences = []
    for name in ("word_line_voltage", "bit_line_voltage", "column_current"):
        a, b = getattr(ours, name), getattr(theirs, name)
        scale = _largest(theirs.word_line_voltage if "voltage" in name else b)
        differences.append(float(np.abs(a - b).max()) / scale)
    return float(np.max(differences))


def largest_size(tiles: Iterable[Tile]) -> tuple[int, int]:
    """Return rows and columns of the tile with the most cells."""
    return max((tile.spec.shape for tile in tiles), key=math.prod)


def answer(ours: Solution, theirs: Solution) -> Floats:
    """Return node voltages and column currents of a referee, each relative to the largest of the kernels'."""
    volts, amperes = _largest(ours.word_line_voltage), _largest(ours.column_current)
    lines = (theirs.word_line_voltage.ravel() / volts, theirs.bit_line_voltage.ravel() / volts)
    return np.concatenate([*lines, theirs.column_current.ravel() / amperes])


def _largest(values: Floats) -> float:
    return max(float(np.abs(values).max()), 1e-300)


def every_defect(rng: np.random.Generator, spec: TileSpec) -> DefectMap:
    """Draw defects at random, but at least one of every kind."""
    stuck, stuck_conductance = rng.random(spec.shape) < 0.2, rng.choice([0.0, 1e-8, 1e-3, 0.1], spec.shape)
    word_cut, bit_cut = rng.random(spec.shape) < 0.02, rng.random(spec.shape) < 0.02
    dead = rng.random(spec.rows) < 0.05
    row, column = int(rng.integers(spec.rows - 1)), int(rng.integers(spec.columns))
    stuck[row, column] = word_cut[row + 1, column] = bit_cut[row, column] = dead[row + 1] = True
    stuck_conductance[row, column] = 0.0
    word_cut[0, 0] = bit_cut[-1, 0] = dead[0] = False  # at least one driver and one sense amplifier stay connected
    return DefectMap(
        stuck=stuck,
        stuck_conductance=stuck_conductance,
        open_word_segments=word_cut,
        open_bit_segments=bit_cut,
        bridges=[(("word", row, column), ("word", row + 1, column), 50.0)],
        dead_drivers=dead,
    )
