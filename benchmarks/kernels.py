"""Pairs of circuitmem's kernels and the best alternatives, measured in one process, with the goals beside.

``make bench`` writes results/kernels.txt and .json; it clears OPENBLAS_CORETYPE, so that the yardstick is the kernel
that OpenBLAS chooses by itself. Each time is the median of turns that the rivals take; a factorisation of a whole
transfer matrix is repeated for a second, and so measured but once where it takes longer. Ratios count, times belong to
the machine. ``--quick`` measures small tiles only.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from networks import Nodal, assemble, cholmod, klu, superlu
from peaks import peaks
from scipy.linalg.blas import daxpy

from circuitmem import Tile, TileSpec
from circuitmem.config import ChipSpec
from circuitmem.control import Chip
from circuitmem.engine import BehavioralEngine, SpiceEngine
from circuitmem.errors import CircuitmemError

RESULTS = Path(__file__).parent / "results"
GOAL_MATRIX = {128: 4.0, 256: 12.0, 512: 100.0, 1024: 550.0}
GOAL_SUPERLU = {128: 60, 256: 200, 512: 250, 1024: 500}
GOAL_VECTOR = {64: 0.1, 128: 0.4, 256: 3.0}
SECONDS = 2.0
"""For which rivals take turns, in each row."""
DIRECT = (("SuperLU", superlu), ("CHOLMOD", cholmod), ("KLU", klu))


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small tiles only, each for a moment")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the tables")
    options = parser.parse_args()
    global SECONDS
    SECONDS = 0.1 if options.quick else SECONDS
    sizes = (32, 64) if options.quick else (32, 64, 128, 256, 512, 1024)
    vector_sizes = (32, 64) if options.quick else (64, 128, 256)
    record: dict[str, Any] = {
        "about": about(),
        "memory": triad(1 << 16 if options.quick else 1 << 25),
        "transfer_matrix": [matrix_row(size) for size in sizes],
        "peaks": [{"size": size, **peaks(size)} for size in sizes if size in (64, 256, 512)],
        "vector": [vector_row(size, spice=size <= 64) for size in vector_sizes],
        "plan": [plan_row(size, ohms) for size in sizes if 32 < size < 1024 for ohms in (0.1, 1.0, 10.0)],
        "batch": [batch_row(size) for size in (64, 128, 256) if size <= max(sizes)],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    text = table(record)
    print(text)
    (options.out / "kernels.txt").write_text(text + "\n", "utf-8")
    (options.out / "kernels.json").write_text(json.dumps(record, indent=2) + "\n", "utf-8")


def medians(rivals: dict[str, Callable[[], Any]], share: float = 1.0) -> dict[str, float]:
    """Return the median time of each rival [s]; they take turns, at least three each, of 5 ms or one call."""
    found: dict[str, list[float]] = {name: [] for name in rivals}
    calls = {}
    for name, run in rivals.items():
        run()
        began = time.perf_counter()
        run()
        calls[name] = max(1, round(5e-3 / (time.perf_counter() - began)))
    end = time.perf_counter() + share * SECONDS
    while time.perf_counter() < end or min(map(len, found.values())) < 3:
        for name, run in rivals.items():
            run()  # brings back into the caches what the rivals pushed out
            began = time.perf_counter()
            for _ in range(calls[name]):
                run()
            found[name].append((time.perf_counter() - began) / calls[name])
    return {name: statistics.median(times) for name, times in found.items()}


def make_tile(size: int, ohms: float = 1.0) -> Tile:
    """Return a square tile, cells of 1 to 100 uS."""
    spec = TileSpec(rows=size, columns=size, word_line_resistance=ohms, bit_line_resistance=ohms)
    return Tile(spec, np.random.default_rng(size).uniform(1e-6, 1e-4, (size, size)))


def difference(ours: Any, theirs: Any) -> float:
    """Return the largest difference relative to the largest value."""
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def matrix_row(size: int) -> dict[str, Any]:
    """Compare the whole transfer matrix: ours in both precisions, and a factorisation with one solution a row."""
    tile, engine = make_tile(size), BehavioralEngine()
    row: dict[str, Any] = {"size": size, "goal_ms": GOAL_MATRIX.get(size), "goal_superlu": GOAL_SUPERLU.get(size)}
    times = medians({t: lambda t=t: engine.transfer_matrix(tile, t) for t in ("float64", "float32")})
    row |= {"float64_ms": 1e3 * times["float64"], "float32_ms": 1e3 * times["float32"]}
    ours = engine.transfer_matrix(tile)
    row["float32_error"] = difference(engine.transfer_matrix(tile, np.float32), ours)
    few = np.arange(size)[:: max(1, size // 8)]  # of the many solutions a few are timed, and compared
    nodal = assemble(tile.conductance)
    for name, factor in DIRECT:
        try:
            factored, each, answer = factor_and_solve(factor, nodal, few)
        except (ImportError, OSError) as reason:
            row[name] = {"missing": str(reason)}
            continue
        row[name] = {
            "ms": 1e3 * (factored + size * each),
            "factor_ms": 1e3 * factored,
            "solve_ms": 1e3 * each,
            "ratio": (factored + size * each) / times["float64"],
            "difference": difference(ours[:, few], answer),
        }
    return row


def factor_and_solve(factor: Any, nodal: Nodal, few: Any) -> tuple[float, float, Any]:
    """Return the median times of a factorisation and of a solution, one of ``few``, [s], and their column currents."""
    factored, each, right = [], [], nodal.inputs[:, few].toarray()
    end = time.perf_counter() + 1.0
    while not factored or time.perf_counter() < end:
        began = time.perf_counter()
        solve = factor(nodal)
        factored.append(time.perf_counter() - began)
        began = time.perf_counter()
        answer = solve(right)
        each.append((time.perf_counter() - began) / len(few))
    return statistics.median(factored), statistics.median(each), answer[-nodal.columns :]


def plan_row(size: int, ohms: float) -> dict[str, Any]:
    """Measure on one thread from how many vectors on a transfer matrix pays, and ask the plan."""
    tile = make_tile(size, ohms)
    engine = BehavioralEngine(threads=1, method="conjugate gradients")
    vectors = np.random.default_rng(0).uniform(0.0, 0.2, (8, size))
    times = medians({"vectors": lambda: engine.read(tile, vectors), "tree": lambda: engine.transfer_matrix(tile)}, 0.5)
    return {
        "size": size,
        "ohms": ohms,
        "tree_ns_per_cell": 1e9 * times["tree"] / size**2,
        "vector_ns_per_cell": 1e9 * times["vectors"] / len(vectors) / size**2,
        "measured": times["tree"] / (times["vectors"] / len(vectors)),
        "planned": engine.plan(tile).break_even,
    }


def vector_row(size: int, spice: bool) -> dict[str, Any]:
    """Compare one vector on a tile that was never seen before: assemble, factor and solve, or ours."""
    tile, engine = make_tile(size), BehavioralEngine(method="conjugate gradients")
    voltages = np.random.default_rng(0).uniform(0.0, 0.2, size)
    row: dict[str, Any] = {"size": size, "goal_ms": GOAL_VECTOR.get(size)}
    ours = engine.read(tile, voltages)
    rivals: dict[str, Callable[[], Any]] = {"ours": lambda: engine.read(tile, voltages)}
    for name, factor in DIRECT:

        def solve(factor: Any = factor) -> Any:
            nodal = assemble(tile.conductance)
            return factor(nodal)(nodal.inputs @ voltages)[-nodal.columns :]

        try:
            row[name] = {"difference": difference(ours, solve())}
            rivals[name] = solve
        except (ImportError, OSError) as reason:
            row[name] = {"missing": str(reason)}
    try:
        peer = badcrossbar(tile, voltages)
        row["badcrossbar"] = {"difference": difference(ours, peer())}
        rivals["badcrossbar"] = peer
    except ImportError as reason:
        row["badcrossbar"] = {"missing": str(reason)}
    times = medians(rivals)
    row["ours_ms"] = 1e3 * times.pop("ours")
    for name, each in times.items():
        row[name] |= {"ms": 1e3 * each, "ratio": 1e3 * each / row["ours_ms"]}
    if spice:
        row |= ngspice(tile, voltages, ours, row["ours_ms"])
    return row


def badcrossbar(tile: Tile, voltages: Any) -> Callable[[], Any]:
    """Return a call of the published simulator of the same geometry (Joksas and Mehonic, SoftwareX 12:100617, 2020)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it insists on saying that its plots lack pycairo
        import badcrossbar as peer
    logging.disable(logging.INFO)
    resistance = 1.0 / tile.conductance
    return lambda: peer.compute(voltages[:, None], resistance, 1.0, node_voltages=False).currents.output[0]


def ngspice(tile: Tile, voltages: Any, ours: Any, ours_ms: float) -> dict[str, Any]:
    """Time a first solution (a fresh circuit), and what a further vector costs in a .dc sweep of the same one."""
    try:
        with SpiceEngine() as engine:
            engine.read(make_tile(2), np.zeros(2))  # the process starts
            began = time.perf_counter()
            answer = engine.read(tile, voltages)
            first = time.perf_counter() - began
            many = np.random.default_rng(1).uniform(0.0, 0.2, (5, len(voltages)))
            began = time.perf_counter()
            engine.read(tile, many)
            each = (time.perf_counter() - began - first) / 4
    except CircuitmemError as reason:
        return {"ngspice": {"missing": str(reason)}}
    return {
        "ngspice": {"ms": 1e3 * first, "ratio": 1e3 * first / ours_ms, "difference": difference(ours, answer)},
        "ngspice .dc": {"ms": 1e3 * each, "ratio": 1e3 * each / ours_ms},
    }


def batch_row(size: int) -> dict[str, Any]:
    """Time 1,000 vectors: the product alone, ours, ours between converters, a tile unchanged, and a tile that is new.

    Converters of the default chip, noise included; with ``power`` the product with the input admittance is counted too.
    """
    geometry = TileSpec(rows=size, columns=size, word_line_resistance=1.0, bit_line_resistance=1.0)
    chip = Chip(ChipSpec(tile=geometry), 1, seed=1)
    unit, engine, rng = chip.units[0], chip.electrics.behavioral, np.random.default_rng(0)
    new = BehavioralEngine(kept_bytes=0)
    unit.tile.program(make_tile(size).conductance)
    tile = unit.tile
    voltages, codes = rng.uniform(0.0, 0.2, (1000, size)), rng.integers(0, 256, (1000, size))
    matrix, noise = engine.transfer_matrix(tile), unit.next_read(0)
    single, single_voltages = matrix.astype(np.float32), voltages.astype(np.float32)
    time.sleep(0.2)  # BLAS's threads wait for more work with both hands full, and so must not take turns with ours
    times = medians(
        {
            "known": lambda: engine.read(tile, voltages, matrix=matrix),
            "converters": lambda: unit.readout.read(codes, matrix, None, noise, threads=engine.threads),
            "power": lambda: chip.electrics.codes(unit, codes, noise),
            "again": lambda: engine.read(tile, voltages),
            "read": lambda: new.read(tile, voltages),
        }
    )
    times |= medians({"dgemm": lambda: voltages @ matrix.T, "sgemm": lambda: single_voltages @ single.T}, 0.5)
    flops = 2e-9 * 1000 * size**2
    found = {f"{name}_gflops": flops * (2 if name == "power" else 1) / taken for name, taken in times.items()}
    return {"size": size, **found}


def triad(count: int) -> dict[str, float]:
    """Measure memory bandwidth by one pass of BLAS, a = a + s b: three transfers of each element, as STREAM's triad."""
    a, b = np.zeros(count), np.ones(count)
    return {"gigabytes_per_s": 3e-9 * 8 * count / medians({"triad": lambda: daxpy(b, a, a=3.0)}, 0.5)["triad"]}


def about() -> dict[str, Any]:
    """Say what was measured, on what."""
    versions = {}
    for package in ("circuitmem", "numpy", "scipy", "scikit-sparse", "badcrossbar"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    model = "unknown"
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": model,
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "versions": versions,
        "openblas_coretype": os.environ.get("OPENBLAS_CORETYPE"),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def against(row: dict[str, Any], name: str) -> str:
    """Say how many times longer a rival took, or that it was missing."""
    peer = row.get(name)
    if peer is None:
        return "-"
    return "missing" if "missing" in peer else f"{peer['ratio']:.0f}x"


PEAKS = ("ours", "SuperLU", "CHOLMOD", "KLU")
BATCH = ("dgemm", "sgemm", "known", "converters", "power", "again", "read")
HEADING = (
    f"{'n':>5}{'fp64 ms':>9}{'goal':>6}{'fp32 ms':>9}{'fp32 err':>10}"
    f"{'SuperLU':>9}{'goal':>6}{'CHOLMOD':>9}{'KLU':>9}{'difference':>12}"
)


def matrix_line(row: dict[str, Any]) -> str:
    """Return a line under :data:`HEADING`."""
    return (
        f"{row['size']:>5}{row['float64_ms']:>9.2f}{row['goal_ms'] or '-':>6}{row['float32_ms']:>9.2f}"
        f"{row['float32_error']:>10.1e}{against(row, 'SuperLU'):>9}{row['goal_superlu'] or '-':>6}"
        f"{against(row, 'CHOLMOD'):>9}{against(row, 'KLU'):>9}{row['SuperLU']['difference']:>12.1e}"
    )


def table(record: dict[str, Any]) -> str:
    """Return the tables as text."""
    facts = record["about"]
    lines = [
        f"{facts['date']}  {facts['processor']}, {facts['cores']} cores, load before {facts['load_before']}",
        "  ".join(f"{name} {number}" for name, number in facts["versions"].items()),
        f"triad {record['memory']['gigabytes_per_s']:.1f} GB/s",
        "",
        "transfer matrix of an n x n tile, all cores (a rival: factor once, solve n times, one core)",
        HEADING,
    ]
    lines += map(matrix_line, record["transfer_matrix"])
    lines += [
        "",
        "peak memory of a transfer matrix, MiB beyond what the process had (a rival: its factors; -: not installed)",
        f"{'n':>5}" + "".join(f"{name:>13}" for name in PEAKS),
    ]
    lines += [
        f"{row['size']:>5}" + "".join(f"{'-' if row[name] is None else format(row[name], '.1f'):>13}" for name in PEAKS)
        for row in record["peaks"]
    ]
    peers = ("SuperLU", "CHOLMOD", "KLU", "badcrossbar", "ngspice", "ngspice .dc")
    lines += [
        "",
        "one vector on a fresh tile (a rival: assemble, factor, solve; .dc: each further vector)",
        f"{'n':>5}{'ms':>9}{'goal':>6}" + "".join(f"{name:>13}" for name in peers) + f"{'difference':>12}",
    ]
    lines += [
        f"{row['size']:>5}{row['ours_ms']:>9.3f}{row['goal_ms'] or '-':>6}"
        + "".join(f"{against(row, name):>13}" for name in peers)
        + f"{row['SuperLU']['difference']:>12.1e}"
        for row in record["vector"]
    ]
    lines += [
        "",
        "1,000 vectors, GFLOP/s (again: an unchanged tile, read: a new one; goals: known 0.9, converters 0.5 of dgemm)",
        f"{'n':>5}" + "".join(f"{name:>12}" for name in BATCH) + f"{'known':>9}{'converters':>12}{'power':>9}",
    ]
    lines += [
        f"{row['size']:>5}"
        + "".join(f"{row[f'{name}_gflops']:>12.1f}" for name in BATCH)
        + f"{row['known_gflops'] / row['dgemm_gflops']:>8.2f}x{row['converters_gflops'] / row['dgemm_gflops']:>11.2f}x"
        + f"{row['power_gflops'] / row['dgemm_gflops']:>8.2f}x"
        for row in record["batch"]
    ]
    lines += [
        "",
        "from how many vectors on a transfer matrix pays, one thread",
        f"{'n':>5}{'ohm':>6}{'tree ns/cell':>14}{'vector ns/cell':>16}{'measured':>10}{'planned':>9}",
    ]
    lines += [
        f"{row['size']:>5}{row['ohms']:>6.1f}{row['tree_ns_per_cell']:>14.0f}{row['vector_ns_per_cell']:>16.0f}"
        f"{row['measured']:>10.1f}{row['planned']:>9}"
        for row in record["plan"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
