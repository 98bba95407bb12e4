"""Groups of tiles of the conformance suite: one group for each thing that a simulator can get wrong.

The suite is always the same: its streams have their own seed, and drawn numbers are rounded to four digits. Every
change of a tile must raise :data:`VERSION`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import Cell, LinearCell, SelectorCell, SinhCell, TileSpec, TransistorCell
from circuitmem.tile import DefectMap, Tile

__all__ = ["GROUPS", "VERSION", "Group"]

Floats = NDArray[np.float64]
Random = np.random.Generator

VERSION = 1

CELLS: tuple[Cell, ...] = (
    LinearCell(),
    TransistorCell(on_resistance=2e3),
    SinhCell(a=2.0),
    SelectorCell(threshold=0.4, threshold_current=1e-6, swing=0.08),
)
"""One of every kind; groups use them in turn."""


class Group(NamedTuple):
    """Tiles that test one thing."""

    name: str
    purpose: str
    """What a simulator that fails here has got wrong."""
    tiles: int
    make: Callable[[Random, int], tuple[Tile, Floats]]
    """Returns tile number ``k`` of the group and its voltages, (vectors, rows) V."""


def round_to(values: Floats, digits: int = 4) -> Floats:
    """Round to significant digits, so that a file holds the exact numbers in few characters."""
    return np.asarray(np.vectorize(lambda x: float(f"{x:.{digits - 1}e}"), otypes=[np.float64])(values))


def sides(rng: Random, low: int = 2, high: int = 12) -> tuple[int, int]:
    """Draw rows and columns."""
    return int(rng.integers(low, high + 1)), int(rng.integers(low, high + 1))


def siemens(rng: Random, shape: tuple[int, int], low: float = 1e-6, high: float = 3e-4) -> Floats:
    """Draw conductances [S], uniform in their logarithm."""
    return round_to(np.exp(rng.uniform(np.log(low), np.log(high), shape)))


def volts(rng: Random, rows: int, vectors: int = 2, low: float = 0.1, high: float = 0.8) -> Floats:
    """Draw voltages of the drivers, (vectors, rows) V."""
    return round_to(rng.uniform(low, high, (vectors, rows)))


def make(
    rng: Random, shape: tuple[int, int], cell: Cell, defects: dict[str, Any] | None = None, /, **wires: Any
) -> tuple[Tile, Floats]:
    """Return a tile with wires of a few ohms, unless ``wires`` says otherwise, and two input vectors."""
    usual = {
        "word_line_resistance": 2.5, "bit_line_resistance": 1.5, "driver_resistance": 20.0, "sense_resistance": 10.0,
    }  # fmt: skip
    spec = TileSpec(rows=shape[0], columns=shape[1], cell=cell, **usual | wires)
    return Tile(spec, siemens(rng, shape), DefectMap(**defects or {})), volts(rng, shape[0])


def _in_turn(k: int) -> Cell:
    return CELLS[k % len(CELLS)]


def _single(rng: Random, k: int) -> tuple[Tile, Floats]:
    tile, voltages = make(rng, (1, 1), _in_turn(k))
    return tile, voltages * (1.0 if k < len(CELLS) else -1.0)


def _line(rng: Random, k: int) -> tuple[Tile, Floats]:
    length = (2, 7, 24)[k // 2 % 3]
    return make(rng, (1, length) if k % 2 else (length, 1), CELLS[0] if k < 6 else CELLS[2])


def _plain(index: int) -> Callable[[Random, int], tuple[Tile, Floats]]:
    return lambda rng, _: make(rng, sides(rng), CELLS[index])


def _ideal(rng: Random, k: int) -> tuple[Tile, Floats]:
    wires = (
        {"word_line_resistance": 0.0, "driver_resistance": 0.0},
        {"bit_line_resistance": 0.0, "sense_resistance": 0.0},
    )
    chosen = (wires[0] | wires[1], wires[0], wires[1])[k % 3]
    return make(rng, sides(rng), CELLS[k // 3 % len(CELLS)], **chosen)


def _segments(rng: Random, k: int) -> tuple[Tile, Floats]:
    shape = sides(rng)
    own = {f"{line}_line_resistance": round_to(rng.uniform(0.1, 30.0, shape)) for line in ("word", "bit")}
    return make(rng, shape, _in_turn(k), **own)


def _both(rng: Random, k: int) -> tuple[Tile, Floats]:
    ends = (
        {"word_line_drive": "both"},
        {"bit_line_sense": "both"},
        {"word_line_drive": "both", "bit_line_sense": "both"},
    )
    return make(rng, sides(rng), _in_turn(k), **ends[k % 3])


def _range(rng: Random, k: int) -> tuple[Tile, Floats]:
    shape, ohms = sides(rng), 10.0 ** (k % 6 - 2)
    tile, voltages = make(rng, shape, _in_turn(k), word_line_resistance=ohms, bit_line_resistance=ohms)
    return Tile(tile.spec, siemens(rng, shape, 1e-8, 3e-3)), voltages


def _signs(rng: Random, k: int) -> tuple[Tile, Floats]:
    tile, _ = make(rng, sides(rng, 4), _in_turn(k))
    rows = tile.spec.rows
    one = np.zeros(rows)
    one[int(rng.integers(rows))] = 0.5
    return tile, np.stack([round_to(rng.uniform(-0.8, 0.8, rows)), one])


def _steep(rng: Random, k: int) -> tuple[Tile, Floats]:
    cell = SinhCell(a=8.0) if k % 2 else SelectorCell(threshold=0.6, threshold_current=1e-5, swing=0.04)
    return make(rng, sides(rng, 4, 8), cell)


def _stuck(values: tuple[float, ...]) -> Callable[[Random, int], tuple[Tile, Floats]]:
    def draw(rng: Random, k: int) -> tuple[Tile, Floats]:
        shape = sides(rng, 3)
        stuck = rng.random(shape) < 0.25
        stuck[tuple(rng.integers(shape))] = True
        return make(rng, shape, _in_turn(k), {"stuck": stuck, "stuck_conductance": rng.choice(values, shape)})

    return draw


def _cut(lines: tuple[str, ...]) -> Callable[[Random, int], tuple[Tile, Floats]]:
    def draw(rng: Random, k: int) -> tuple[Tile, Floats]:
        shape, defects = sides(rng, 4), {}
        for line in lines:
            cut = np.zeros(shape, dtype=bool)
            cut[int(rng.integers(1, shape[0] - 1)), int(rng.integers(1, shape[1] - 1))] = True
            defects[f"open_{line}_segments"] = cut
        return make(rng, shape, _in_turn(k), defects)

    return draw


def _island(rng: Random, k: int) -> tuple[Tile, Floats]:
    """Cut a word line and a bit line so that their floating parts cross; in each third tile cells behind are open."""
    shape = sides(rng, 4, 8)
    row, column = int(rng.integers(shape[0] - 1)), int(rng.integers(1, shape[1]))
    cuts = {"open_word_segments": np.zeros(shape, dtype=bool), "open_bit_segments": np.zeros(shape, dtype=bool)}
    cuts["open_word_segments"][row, column] = cuts["open_bit_segments"][row, column] = True
    open_cells = np.zeros(shape, dtype=bool)
    open_cells[row, column:] = k % 3 == 2
    return make(rng, shape, _in_turn(k), {**cuts, "stuck": open_cells, "stuck_conductance": np.zeros(shape)})


def _bridge(rng: Random, k: int) -> tuple[Tile, Floats]:
    shape = sides(rng, 4)
    row, column = (int(rng.integers(side - 1)) for side in shape)
    ends = (
        (("word", row, column), ("word", row + 1, column)),
        (("bit", row, column), ("bit", row, column + 1)),
        (("word", row, column), ("bit", row, column + 1)),
    )[k % 3]
    return make(rng, shape, CELLS[k // 3 % len(CELLS)], {"bridges": [(*ends, round_to(np.exp(rng.uniform(2.0, 8.0))))]})


def _floating_bridge(rng: Random, k: int) -> tuple[Tile, Floats]:
    shape = sides(rng, 4)
    row, cut = int(rng.integers(shape[0] - 1)), np.zeros(shape, dtype=bool)
    cut[row, shape[1] - 2] = True
    ends = ("word", row, shape[1] - 1), ("word", row + 1, shape[1] - 1)
    return make(rng, shape, _in_turn(k), {"open_word_segments": cut, "bridges": [(*ends, 200.0)]})


def _dead(rng: Random, k: int) -> tuple[Tile, Floats]:
    shape = sides(rng, 3)
    dead = rng.random(shape[0]) < 0.3
    dead[0], dead[1] = True, False
    senses = np.arange(shape[1]) == 0
    return make(rng, shape, _in_turn(k), {"dead_drivers": dead, "dead_senses": senses})


def _everything(rng: Random, k: int, shape: tuple[int, int] | None = None) -> tuple[Tile, Floats]:
    shape = shape or sides(rng, 6, 14)
    stuck, values = rng.random(shape) < 0.2, rng.choice([0.0, 1e-8, 1e-3, 0.1], shape)
    cuts = [rng.random(shape) < 0.02 for _ in range(2)]
    cuts[0][:, 0] = cuts[1][-1] = False  # a driver and a sense amplifier stay connected
    cuts[0][2, 3] = cuts[1][1, 2] = stuck[0, 1] = True
    defects = {
        "stuck": stuck, "stuck_conductance": values, "open_word_segments": cuts[0], "open_bit_segments": cuts[1],
        "bridges": [(("word", 3, 1), ("word", 4, 1), 50.0)], "dead_drivers": np.arange(shape[0]) == 5,
    }  # fmt: skip
    return make(rng, shape, _in_turn(k), defects)


def _large(rng: Random, k: int) -> tuple[Tile, Floats]:
    if k < 6:
        shape, cell = ((64, 64), (64, 64), (32, 32), (32, 32), (1, 64), (64, 3))[k], CELLS[(0, 2, 1, 3, 0, 3)[k]]
        tile, voltages = make(rng, shape, cell)
    else:
        tile, voltages = _everything(rng, 0, (48, 20))
    return tile, voltages[:1]


GROUPS = (
    Group("single-cell", "one cell of every kind between its driver and its sense amplifier, both signs", 8, _single),
    Group("line", "a ladder: one word line or one bit line of 2 to 24 cells", 10, _line),
    Group("linear", "cells that obey Ohm's law, wires of a few ohms", 12, _plain(0)),
    Group("transistor", "a memristor in series with the resistance of its transistor", 12, _plain(1)),
    Group("sinh", "cells whose current is a sinh of the voltage", 12, _plain(2)),
    Group("selector", "a memristor in series with an exponential selector: a node within each cell", 12, _plain(3)),
    Group("steep", "steep non-linear cells, where Newton's method without a limit to its steps diverges", 6, _steep),
    Group("ideal-wires", "lines of exactly 0 ohm, of the one kind, of the other, of both", 12, _ideal),
    Group("own-segments", "a different resistance for every segment of a line", 8, _segments),
    Group("both-ends", "word lines driven, bit lines sensed, at both ends", 9, _both),
    Group("wide-range", "wires of 0.01 to 1000 ohms, cells over five decades", 12, _range),
    Group("signs", "inputs of both signs, whose currents nearly cancel; one line alone", 8, _signs),
    Group("stuck", "stuck cells of high, low and middle conductance", 10, _stuck((3e-4, 1.2e-3, 1e-8, 1e-6, 5e-5))),
    Group("open-cells", "cells of exactly 0 S", 8, _stuck((0.0,))),
    Group("shorted-cells", "cells of 50 ohm and of 2 ohm, which tie a word line to a bit line", 8, _stuck((0.02, 0.5))),
    Group(
        "cut-word-line",
        "a cut word line: the part behind the cut is connected through its cells only",
        8,
        _cut(("word",)),
    ),
    Group("cut-bit-line", "a cut bit line", 8, _cut(("bit",))),
    Group(
        "crossing-cuts",
        "parts of a word line and of a bit line that cross and both float, in some cases with all cells open",
        6,
        _island,
    ),
    Group("bridges", "a resistance between two word lines, two bit lines, or one of each", 12, _bridge),
    Group("floating-bridge", "a bridge to a part of a word line that a cut left floating", 4, _floating_bridge),
    Group("dead-drivers", "drivers that hold 0 V; a dead sense channel, through which current still flows", 4, _dead),
    Group("everything", "all kinds of defects at once, with every kind of cell", 4, _everything),
    Group("large", "up to 64x64 cells; a row and a column of 64", 7, _large),
)
"""Together 200 tiles."""
