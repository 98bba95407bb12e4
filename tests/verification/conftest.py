"""Random tiles with everything that can be declared on them and everything that can be broken."""

import numpy as np
import pytest

from circuitmem import DefectMap, LinearCell, Tile, TileSpec

PROBABILITY_OF_A_KIND = 0.5


def _segments(rng, shape, kind):
    """Draw wire resistances: ideal (0), one value for all (1), or one for each, some of them ideal (2)."""
    if kind < 2:
        return 0.0 if kind == 0 else float(rng.uniform(0.01, 20.0))
    return np.where(rng.random(shape) < 0.1, 0.0, rng.uniform(0.01, 20.0, shape))


def _defects(rng, shape):
    rows, columns = shape
    chosen = rng.random(6) < PROBABILITY_OF_A_KIND
    stuck = rng.random(shape) < 0.2 * chosen[0]
    # Stuck-on, stuck-off, open, and shorted by 1 ohm.
    values = rng.choice([1000e-6, 0.1e-6, 0.0, 1.0], shape, p=[0.4, 0.4, 0.15, 0.05])
    open_word = rng.random(shape) < 0.1 * chosen[1]
    open_bit = rng.random(shape) < 0.1 * chosen[2]
    open_word[0, 0] = open_bit[-1, 0] = False  # the tile must stay connected
    bridges = []
    for _ in range(int(rng.integers(1, 5)) if chosen[3] else 0):
        ends = [(str(rng.choice(["word", "bit"])), int(rng.integers(rows)), int(rng.integers(columns))) for _ in "ab"]
        if ends[0] != ends[1]:
            bridges.append((*ends, float(10 ** rng.uniform(0, 4))))
    return DefectMap(
        stuck=stuck,
        stuck_conductance=values,
        open_word_segments=open_word,
        open_bit_segments=open_bit,
        bridges=bridges,
        dead_drivers=(rng.random(rows) < 0.2 * chosen[4]) & (np.arange(rows) > 0),
        dead_senses=rng.random(columns) < 0.2 * chosen[5],
    )


def make_tile(rng, shape, cell=None, wires=None):
    rows, columns = shape
    kinds = rng.integers(3, size=2) if wires is None else (wires, wires)
    both_driven, both_sensed = (bool(x) for x in rng.random(2) < 0.25)
    spec = TileSpec(
        rows=rows,
        columns=columns,
        word_line_resistance=_segments(rng, (rows, columns + both_driven), kinds[0]),
        bit_line_resistance=_segments(rng, (rows + both_sensed, columns), kinds[1]),
        driver_resistance=float(rng.choice([0.0, rng.uniform(0.1, 200.0)])),
        sense_resistance=float(rng.choice([0.0, rng.uniform(0.1, 200.0)])),
        cell=LinearCell() if cell is None else cell,
        word_line_drive="both" if both_driven else "left",
        bit_line_sense="both" if both_sensed else "bottom",
    )
    conductance = np.where(rng.random(shape) < 0.1, 0.0, rng.uniform(1e-6, 300e-6, shape))
    return Tile(spec, conductance, _defects(rng, shape))


@pytest.fixture
def random_tile():
    """A function of (generator, shape, cell, kind of wires) that makes a tile."""
    return make_tile
