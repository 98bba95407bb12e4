"""One vector on a fresh tile of sinh cells: ours, and the circuit simulators that are installed, each in a process.

The simulators compute the same circuit to tolerances that are as tight. By the clock only their analysis counts, not
the netlist, its parsing or the way of the results; of ours all of the call. Beside it is CPU time, theirs with parsing
and results, ours on one thread: others who use the machine only ever add to the clock, and most to the longest call.
Each rival is called twice, ours for some seconds between: the shortest time of each counts. VACASK's has its start in
it, of 40 ms, for it is a program that is called anew. What took too long is not tried on larger tiles. The load of the
machine before each row is in the table.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from kernels import about, difference

from circuitmem import SinhCell, Tile, TileSpec
from circuitmem.engine import REFEREES, BehavioralEngine
from circuitmem.errors import CircuitmemError

RESULTS = Path(__file__).parent / "results"
SIDES, GOAL = (32, 64, 128, 256), 500
CALLS = 2


def make_tile(side: int) -> Tile:
    """Return a tile of sinh cells of 1 to 300 uS, wires of 1 ohm."""
    cell = SinhCell(a=2.0)
    spec = TileSpec(rows=side, columns=side, word_line_resistance=1.0, bit_line_resistance=1.0, cell=cell)
    return Tile(spec, np.random.default_rng(side).uniform(1e-6, 3e-4, (side, side)))


def measure(side: int, limit: float, seconds: float, given_up: dict[str, str]) -> dict[str, Any]:
    """Return the times of a vector [ms] and how far the answers are apart; what took too long or failed says so."""
    tile, voltages = make_tile(side), np.random.default_rng(1).uniform(0.0, 0.2, side)
    row: dict[str, Any] = {"size": side, "load_before": round(os.getloadavg()[0], 2), "ours_ms": np.inf}
    row["ours_cpu_ms"] = np.inf
    ours = BehavioralEngine().read(tile, voltages)
    engines: dict[str, Any] = {name: REFEREES[name](time_limit=limit) for name in REFEREES if name not in given_up}
    if "vacask" in engines:
        engines["vacask"].largest_tile = 4 * side * side  # it takes a quarter where cells are not linear
    row |= {name: {"missing": reason} for name, reason in given_up.items()}
    for _ in range(CALLS):
        end = time.perf_counter() + seconds / CALLS
        while time.perf_counter() < end:
            for key, threads, clock in (("ours_ms", None, time.perf_counter), ("ours_cpu_ms", 1, time.process_time)):
                fresh, began = BehavioralEngine(threads=threads, kept_bytes=0), clock()
                fresh.read(tile, voltages)
                row[key] = min(row[key], 1e3 * (clock() - began))
        for name, engine in engines.items():
            before = row.setdefault(name, {"ms": np.inf, "cpu_ms": np.inf})
            if "missing" in before:
                continue
            try:
                engine.read(make_tile(2), np.zeros(2))  # the worker starts
                busy = cpu_time(engine)
                answer = engine.read(tile, voltages)
            except CircuitmemError as reason:
                row[name] = {"missing": str(reason)}
                given_up[name] = f"not tried: {reason}"
                continue
            before["ms"] = min(before["ms"], 1e3 * engine.seconds["solve"])
            before["cpu_ms"] = min(before["cpu_ms"], 1e3 * (cpu_time(engine) - busy))
            before["difference"] = difference(ours, answer)
    for engine in engines.values():
        engine.close()
    for name in engines:
        if "ms" in row[name]:
            row[name]["ratio"] = row[name]["ms"] / row["ours_ms"]
            row[name]["cpu_ratio"] = row[name]["cpu_ms"] / row["ours_cpu_ms"]
    return row


def cpu_time(engine: Any) -> float:
    """Return the CPU time of an engine's worker, and of the programs that it has called [s]."""
    (worker,) = engine._runner.process_ids()
    fields = Path(f"/proc/{worker}/stat").read_text("utf-8").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def table(record: dict[str, Any]) -> str:
    """Return the measurements as text."""
    facts = record["about"]
    lines = [
        f"{facts['date']}  {facts['processor']}, {facts['cores']} cores",
        f"{', '.join(f'{name}: {version}' for name, version in record['simulators'].items())}",
        f"one vector on a fresh tile of sinh cells; goal: {GOAL} times the fastest simulator",
        f"{'n':>5}{'ours ms':>9}{'CPU':>8}"
        + "".join(f"{name + ' ms':>12}{'ratio':>9}{'of CPU':>9}{'difference':>12}" for name in REFEREES)
        + f"{'load':>7}",
    ]
    for row in record["rows"]:
        each = [
            f"{'-':>12}{'-':>9}{'-':>9}{'-':>12}"
            if "missing" in row[name]
            else f"{row[name]['ms']:>12.1f}{row[name]['ratio']:>8.0f}x{row[name]['cpu_ratio']:>8.0f}x"
            f"{row[name]['difference']:>12.1e}"
            for name in REFEREES
        ]
        ours = f"{row['ours_ms']:>9.3f}{row['ours_cpu_ms']:>8.3f}"
        lines.append(f"{row['size']:>5}{ours}{''.join(each)}{row['load_before']:>7.2f}")
    for row in record["rows"]:
        lines += [f"{name} at {row['size']}: {row[name]['missing']}" for name in REFEREES if "missing" in row[name]]
    return "\n".join(lines)


def versions() -> dict[str, str]:
    """Return the simulators and what solves their matrices."""
    found = {}
    for name, engine in REFEREES.items():
        try:
            library = engine.probe()
            found[name] = f"{library.version} {library.solver}".strip()
        except CircuitmemError as reason:
            found[name] = str(reason)
    return found


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES, help="sides of the tiles")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds that a simulator may take")
    parser.add_argument("--seconds", type=float, default=4.0, help="for ours, in each row")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the table")
    options = parser.parse_args()
    given_up: dict[str, str] = {}
    rows = [measure(side, options.limit, options.seconds, given_up) for side in options.sides]
    record = {"about": about(), "simulators": versions(), "rows": rows}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "nonlinear.json").write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    text = table(record)
    (options.out / "nonlinear.txt").write_text(text + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
