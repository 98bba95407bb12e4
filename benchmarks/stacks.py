"""Transfer matrices of a stack of tiles in one call, beside products of matrices on as many threads.

Rivals take turns, and the shortest time of each counts, CPU time for one thread: others who use the machine only ever
add to it, though they empty the caches too. Two threads go by the clock, which means little beside a load; it is in the
first line of results/stacks.txt. OPENBLAS_CORETYPE is to be unset, so that the yardstick is the kernel that OpenBLAS
chooses by itself.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from kernels import RESULTS, about, make_tile
from threadpoolctl import threadpool_limits

from circuitmem import Tile
from circuitmem.allocation import keep_freed_memory
from circuitmem.engine import BehavioralEngine

TREE_FLOPS = 35.0
"""Multiplications and additions of a transfer matrix, over the cube of its tile's side, about."""
GOAL = 0.6
TILES = 96


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each row")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the tables")
    options = parser.parse_args()
    keep_freed_memory()  # as the commands do; else a third of the time goes into pages that the system clears
    rows = [measure(size, threads, options.seconds) for size in (32, 64, 96, 128) for threads in (1, 2)]
    record = {"about": about(), "rows": rows}
    options.out.mkdir(parents=True, exist_ok=True)
    text = table(record)
    print(text)
    (options.out / "stacks.txt").write_text(text + "\n", "utf-8")
    (options.out / "stacks.json").write_text(json.dumps(record, indent=2) + "\n", "utf-8")


def measure(size: int, threads: int, seconds: float) -> dict[str, Any]:
    """Return GFLOP/s of the transfer matrices in both precisions, and of products of matrices in both."""
    rng, geometry = np.random.default_rng(size), make_tile(size).spec
    tiles = [Tile(geometry, rng.uniform(1e-6, 1e-4, (size, size))) for _ in range(TILES)]
    engine, square = BehavioralEngine(threads=threads), rng.random((768, 768))
    single = square.astype(np.float32)
    work: dict[str, tuple[float, Callable[[], Any]]] = {
        "float64": (TREE_FLOPS * size**3 * TILES, lambda: engine.transfer(tiles)),
        "float32": (TREE_FLOPS * size**3 * TILES, lambda: engine.transfer(tiles, np.float32)),
        "dgemm": (2.0 * 768**3, lambda: square @ square),
        "sgemm": (2.0 * 768**3, lambda: single @ single),
    }
    best = dict.fromkeys(work, np.inf)
    clock = time.process_time if threads == 1 else time.perf_counter
    end = time.perf_counter() + seconds
    with threadpool_limits(limits=threads, user_api="blas"):
        while np.inf in best.values() or time.perf_counter() < end:  # once at least, however busy the machine is
            for name, (_, run) in work.items():
                run()
                for _ in range(3):
                    began = clock()
                    run()
                    best[name] = min(best[name], clock() - began)
    rates = {f"{name}_gflops": 1e-9 * flops / best[name] for name, (flops, _) in work.items()}
    return {"size": size, "threads": threads, "tiles": TILES, **rates}


def table(record: dict[str, Any]) -> str:
    """Return the table as text."""
    facts = record["about"]
    lines = [
        f"{facts['date']}  {facts['processor']}, {facts['cores']} cores, load {facts['load_before']:.1f}",
        f"transfer matrices of {TILES} tiles in one call, GFLOP/s at {TREE_FLOPS:.0f} n^3 each",
        f"one thread by its CPU time, two by the clock; goal: {GOAL:.2f} of dgemm",
        f"{'n':>5}{'threads':>9}{'fp64':>8}{'dgemm':>8}{'of dgemm':>10}{'fp32':>8}{'sgemm':>8}{'fp32 / fp64':>13}",
    ]
    lines += [
        f"{row['size']:>5}{row['threads']:>9}{row['float64_gflops']:>8.1f}{row['dgemm_gflops']:>8.1f}"
        f"{row['float64_gflops'] / row['dgemm_gflops']:>10.2f}{row['float32_gflops']:>8.1f}{row['sgemm_gflops']:>8.1f}"
        f"{row['float32_gflops'] / row['float64_gflops']:>12.2f}x"
        for row in record["rows"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
