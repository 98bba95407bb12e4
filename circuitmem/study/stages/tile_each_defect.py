"""Stage: linear tiles with one kind of defect each, so that no kind hides behind another."""

from __future__ import annotations

import numpy as np

from circuitmem.config import LinearCell, TileSpec
from circuitmem.engine import BehavioralEngine
from circuitmem.study.plots import Bars
from circuitmem.study.stages.random_tiles import (
    LINEAR_BOUND,
    DrawDefects,
    answer,
    largest_size,
    random_case,
    tile_difference,
)
from circuitmem.study.stages.stage import StageContext, StageResult
from circuitmem.tile import DefectMap

NAME = "tile, each defect"


def run(context: StageContext) -> StageResult:
    """Compare node voltages and column currents; one case per tile, the worst of each kind in the record."""
    tiles, side = (1, 10) if context.quick else (4, 24)
    worst, differences, cases, answers = {}, [], [], []
    for number, (kind, draw) in enumerate(KINDS.items()):
        found = []
        for case in range(tiles):
            rng = context.stream(number, case)
            tile, voltages = random_case(rng, side, LinearCell(), draw)
            with context.timed("behavioral"):
                ours = BehavioralEngine().solve(tile, voltages)
            with context.timed("referee"):
                theirs = context.referee.solve(tile, voltages)
            found.append(tile_difference(ours, theirs))
            answers.append(answer(ours, theirs))
            cases.append((tile, voltages, ours.column_current, theirs.column_current))
            context.report(number * tiles + case + 1, len(KINDS) * tiles)
        differences += found
        worst[kind] = float(np.max(found))
    bars = Bars("Worst tile of each kind", tuple(worst), "relative difference", {"worst": list(worst.values())})
    kept, size = cases[int(np.argmax(differences))], largest_size(tile for tile, *_ in cases)
    return StageResult(differences, LINEAR_BOUND, {"worst_by_kind": worst}, [bars], kept, answers=answers, size=size)


def _stuck(values: tuple[float, float]) -> DrawDefects:
    def draw(rng: np.random.Generator, spec: TileSpec) -> DefectMap:
        return DefectMap(stuck=rng.random(spec.shape) < 0.3, stuck_conductance=rng.uniform(*values, spec.shape))

    return draw


def _word_cuts(rng: np.random.Generator, spec: TileSpec) -> DefectMap:
    cuts = rng.random(spec.shape) < 0.1
    cuts[0, 0] = False  # one driver stays connected
    return DefectMap(open_word_segments=cuts)


def _bit_cuts(rng: np.random.Generator, spec: TileSpec) -> DefectMap:
    cuts = rng.random(spec.shape) < 0.1
    cuts[-1, 0] = False  # one amplifier stays connected
    return DefectMap(open_bit_segments=cuts)


def _bridge(rng: np.random.Generator, spec: TileSpec) -> DefectMap:
    row, column = int(rng.integers(spec.rows - 1)), int(rng.integers(spec.columns - 1))
    word = (("word", row, column), ("word", row + 1, column), 100.0)
    bit = (("bit", row, column), ("bit", row, column + 1), 30.0)
    return DefectMap(bridges=[word, bit])


def _dead_drivers(rng: np.random.Generator, spec: TileSpec) -> DefectMap:
    dead = rng.random(spec.rows) < 0.3
    dead[0] = False
    return DefectMap(dead_drivers=dead)


KINDS: dict[str, DrawDefects] = {
    "stuck-on": _stuck((300e-6, 1200e-6)),
    "stuck-off": _stuck((0.01e-6, 1e-6)),
    "open cells": _stuck((0.0, 0.0)),
    "shorted cells": _stuck((0.1, 0.1)),
    "cut word lines": _word_cuts,
    "cut bit lines": _bit_cuts,
    "bridges": _bridge,
    "dead drivers": _dead_drivers,
}
"""How each kind is drawn. A dead sense channel changes no circuit: only its code is constant."""
