"""How long one read of a fresh tile takes: simulators, a sparse direct solve, and the behavioral kernels."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from circuitmem.config import TileSpec
from circuitmem.engine import BehavioralEngine, Referee
from circuitmem.rng import Purpose, stream
from circuitmem.study.plots import Lines, Series
from circuitmem.tile import Tile

__all__ = ["LABELS", "measure_speed", "speed_plot"]

SIDES = (8, 16, 32, 64)
QUICK_SIDES = (8, 16)
REPEATS = 5
"""Reads, whose median counts; a circuit simulator reads tiles from ``LARGE`` on once, because 64x64 takes seconds."""
LARGE = 32
LABELS = {
    "ngspice": "ngspice, .op",
    "vacask": "VACASK, whole process",
    "direct": "sparse direct (SuperLU)",
    "behavioral": "circuitmem, one vector",
}


def measure_speed(
    referees: Mapping[Any, Referee], seed: int, quick: bool, progress: Callable[[str, int, int], None]
) -> list[dict[str, Any]]:
    """Time the read of one vector on tiles without anything computed in advance; a figure for this machine, not a test.

    Parameters
    ----------
    referees : dict of engine
        The simulators by their names, ``ngspice`` and ``vacask``, their workers running.
    seed : int
        Seed of the tiles, >= 0.
    quick : bool
        Small tiles only.
    progress : callable
        Called with (what, sides done, sides).

    Returns
    -------
    list of dict
        One row per side: ``side``, and seconds of each referee, ``direct`` (SuperLU) and ``behavioral``.
    """
    sides = QUICK_SIDES if quick else SIDES
    rows = []
    for done, side in enumerate(sides):
        rng = stream(seed, Purpose.VALIDATION, *b"speed", side)
        spec = TileSpec(rows=side, columns=side, word_line_resistance=1.0, bit_line_resistance=1.0)
        tile = Tile(spec, rng.uniform(1e-6, 100e-6, spec.shape))
        voltages = rng.uniform(0.0, 0.2, (1, side))
        ours, direct = BehavioralEngine(method="conjugate gradients"), BehavioralEngine(method="direct")
        row: dict[str, Any] = {"side": side}
        for name, engine in (*referees.items(), ("direct", direct), ("behavioral", ours)):
            repeats = 1 if name in referees and side >= LARGE else REPEATS
            row[name] = _median(partial(engine.read, tile, voltages), repeats)
        rows.append(row)
        progress("speed", done + 1, len(sides))
    return rows


def _median(call: Callable[[], Any], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def speed_plot(rows: list[dict[str, Any]]) -> Lines:
    """Show the measured times against the side of the tile."""
    names = {name: label for name, label in LABELS.items() if name in rows[0]}
    sides = [row["side"] for row in rows]
    series = tuple(Series(label, sides, [row[key] * 1e3 for row in rows], "both") for key, label in names.items())
    return Lines("One read of a fresh tile", "side of the tile (cells)", "time (ms)", series, "xy")
