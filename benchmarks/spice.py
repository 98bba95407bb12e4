"""How fast the referees are, and where the time of ngspice goes. Writes results/spice.txt.

First one fresh vector, of linear cells and of sinh cells, by our kernels, by ngspice with the solver that it has here
(KLU, or Sparse 1.3) and by VACASK: seconds of the whole call, netlist and process included, the best of several. Then
the phases of a call of ngspice: netlist, way to the worker, parsing, solution, results. Goals: the netlist of 64x64
cells in 0.2 s, its results as arrays in 0.1 s.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from circuitmem import LinearCell, SinhCell, Tile, TileSpec
from circuitmem.config import Cell
from circuitmem.engine import BehavioralEngine, SpiceEngine, VacaskEngine
from circuitmem.errors import SpiceUnavailableError

PHASES = ("build", "transfer", "load", "solve", "fetch")
GOALS = {"build": 0.2, "fetch": 0.1}
"""Seconds for 64x64 cells."""


CELLS: dict[str, Cell] = {"linear": LinearCell(), "sinh": SinhCell(a=2.0)}
SPARSE = {"linear": 64, "sinh": 32}
"""Largest side with which ngspice without KLU is done in seconds."""


def make_tile(side: int, seed: int = 0, cell: Cell = CELLS["linear"]) -> Tile:
    """Return a tile of random cells with wires of 1 ohm."""
    spec = TileSpec(rows=side, columns=side, word_line_resistance=1.0, bit_line_resistance=1.0, cell=cell)
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


def clocked(
    engine: BehavioralEngine | SpiceEngine | VacaskEngine, tile: Tile, voltages: np.ndarray, rounds: int
) -> tuple[np.ndarray, float]:
    """Return the currents of a read, and how long the shortest of some takes [s]."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        currents = engine.read(tile, voltages)
        best = min(best, time.perf_counter() - began)
    return currents, best


def one_vector(kind: str, side: int, engines: dict[str, SpiceEngine | VacaskEngine]) -> str:
    """Return a line of the table of referees; a dash where a tile is too large for one."""
    tile = make_tile(side, cell=CELLS[kind])
    voltages = np.random.default_rng(1).uniform(0.2, 1.0, side)
    # A matrix that is kept from the vectors before would not be a fresh one.
    kernels = BehavioralEngine(threads=1, kept_bytes=0)
    ours, best = clocked(kernels, tile, voltages, 50)
    cells = ""
    for name, engine in engines.items():
        if name == "ngspice" and side > SPARSE[kind] and "KLU" not in SpiceEngine.probe().solver:
            cells += f"{'-':>10}{'-':>9}{'-':>9}"
            continue
        theirs, seconds = clocked(engine, tile, voltages, 2)
        off = float(np.abs(theirs - ours).max() / np.abs(ours).max())
        cells += f"{seconds:>10.3f}{seconds / best:>8.0f}x{off:>9.0e}"
    return f"{kind:<8}{side:>4}x{side:<4}{1e3 * best:>9.3f}{cells}"


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
    options.add_argument("--vector-sides", type=int, nargs="+", default=[16, 32, 64, 128], help="of single vectors")
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder for spice.txt")
    chosen = options.parse_args()
    library = SpiceEngine.probe()
    engines: dict[str, SpiceEngine | VacaskEngine] = {"ngspice": SpiceEngine()}
    try:
        second = VacaskEngine.probe().version
        engines["VACASK"] = VacaskEngine()
    except SpiceUnavailableError as reason:  # an extra: the table says why it is not there
        second = f"no VACASK ({reason})"
    lines = [
        (
            f"{library.version}, {library.solver}; {second}; "
            f"load {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} processors when it began"
        ),
        "one fresh vector, best of several calls; ours in ms, one thread; ratio to ours, difference of currents",
        f"{'cells':<8}{'tile':>9}{'ours':>9}"
        + "".join(f"{name + ' s':>10}{'ratio':>9}{'diff':>9}" for name in engines),
    ]
    print("\n".join(lines), flush=True)
    for kind in CELLS:
        for side in chosen.vector_sides:
            lines.append(one_vector(kind, side, engines))
            print(lines[-1], flush=True)
    for one in engines.values():
        one.close()
    shown = len(lines)
    lines += [
        "",
        "phases of a call of ngspice, seconds, best of two calls",
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
    print("\n".join(lines[shown:]))


if __name__ == "__main__":
    main()
