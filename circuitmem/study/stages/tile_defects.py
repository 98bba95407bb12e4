"""Stage: linear tiles with every kind of defect."""

from __future__ import annotations

import numpy as np

from circuitmem.config import TileSpec
from circuitmem.study.stages.random_tiles import LINEAR_BOUND, compare
from circuitmem.study.stages.stage import Context, Stage
from circuitmem.tile import DefectMap

NAME = "tile with defects"


def run(context: Context) -> Stage:
    """Compare node voltages and column currents."""
    return compare(context, LINEAR_BOUND, defects=every_defect, last=None if context.quick else (64, 64))


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
