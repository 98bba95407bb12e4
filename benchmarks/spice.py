"""Where the time of ngspice goes: netlist, way to the worker, parsing, solution, results. Writes results/spice.txt.

Goals: the netlist of 64x64 cells in 0.2 s, its results as arrays in 0.1 s.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from circuitmem import Tile, TileSpec
from circuitmem.engine import SpiceEngine

PHASES = ("build", "transfer", "load", "solve", "fetch")
GOALS = {"build": 0.2, "fetch": 0.1}
"""Seconds for 64x64 cells."""


def make_tile(side: int, seed: int = 0) -> Tile:
    """Return a tile of random cells with wires of 1 ohm."""
    spec = TileSpec(rows=side, columns=side, word_line_resistance=1.0, bit_line_resistance=1.0)
    return Tile(spec, np.random.default_rng(seed).uniform(1e-6, 3e-4, (side, side)))


def phases(engine: SpiceEngine, side: int, vectors: int, what: str) -> str:
    """Return a line of the table: the best of two calls, phase by phase."""
    tile, voltages = make_tile(side), np.random.default_rng(1).uniform(0.0, 0.2, (vectors, side))
    call = engine.read if what == "read" else engine.solve
    found = []
    for _ in range(2):
        call(tile, voltages)
        found.append(engine.seconds)
    best = {phase: min(one[phase] for one in found) for phase in PHASES}
    times = "".join(f"{best[phase]:>10.4f}" for phase in PHASES)
    met = ""
    if side == 64:
        met = "  " + ", ".join(
            f"{phase} {'within' if best[phase] <= goal else 'BEYOND'} {goal:g} s" for phase, goal in GOALS.items()
        )
    return f"{what:<8}{side:>4}x{side:<4}{vectors:>8}{times}{met}"


def side_by_side(side: int, jobs: int) -> list[str]:
    """Return how long jobs take on one worker and on one for each processor."""
    lines = []
    for workers in sorted({1, len(os.sched_getaffinity(0))}):
        with SpiceEngine(workers=workers) as engine, ThreadPoolExecutor(workers) as threads:
            list(threads.map(lambda _: engine.read(make_tile(2), np.ones(2)), range(2 * workers)))  # workers start
            began = time.perf_counter()
            list(threads.map(lambda seed: engine.read(make_tile(side, seed), np.full(side, 0.1)), range(jobs)))
            lines.append(f"{jobs} reads of {side}x{side}, {workers} workers: {time.perf_counter() - began:.2f} s")
    return lines


def main() -> None:
    """Measure, print and write."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sides", type=int, nargs="+", default=[16, 32, 64], help="sides of the tiles")
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder for spice.txt")
    chosen = options.parse_args()
    library = SpiceEngine.probe()
    lines = [
        (
            f"{library.version}, {library.solver}; seconds, best of two calls; "
            f"load {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} processors when it began"
        ),
        f"{'call':<8}{'tile':>9}{'vectors':>8}" + "".join(f"{phase:>10}" for phase in PHASES),
    ]
    with SpiceEngine() as engine:
        for side in chosen.sides:
            lines += [
                phases(engine, side, 1, "read"),
                phases(engine, side, 10, "read"),
                phases(engine, side, 1, "solve"),
            ]
    lines += side_by_side(min(32, max(chosen.sides)), 8)
    (chosen.out / "spice.txt").write_text("\n".join(lines) + "\n", "utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
