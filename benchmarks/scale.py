"""What layers of growing size cost on 128x128 tiles with wires of 1 ohm: to build, program, read first, and for a step.

A step reads a batch of 64 and programs the weights of which 3 % changed: half of a training step is the transfer
matrices of the tiles that changed. Each size runs in a process of its own, for its peak memory; the load before says
what the machine did besides. ``--threads`` is how many the kernels may use.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from peaks import peak

from circuitmem.config import load_run
from circuitmem.control import Chip
from circuitmem.network import HardwareNetwork, Perceptron, partitions

RESULTS = Path(__file__).parent / "results"
SIZES = (512, 1024, 2048, 4096)
BATCH, CHANGED, STEPS, TILE = 64, 0.03, 3, 128
GOALS = {4096: "goals at 4096: a step <= 4 s, <= 2,048 MiB"}


def measure(size: int) -> dict[str, float]:
    """Measure one layer of so many inputs and outputs."""
    found: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = work()
        found[name] = min(found.get(name, np.inf), time.perf_counter() - began)
        return result

    wires = [f"chip.tile.{line}_line_resistance=1.0" for line in ("word", "bit")]
    spec = load_run(None, [*wires, f"chip.tile.rows={TILE}", f"chip.tile.columns={TILE}"])
    rng = np.random.default_rng(0)
    models = [Perceptron([rng.uniform(-1.0, 1.0, (size, size))], [np.zeros(size)])]
    tiles = partitions([(size, size)], spec.chip)[0].tiles
    network = timed("build_s", lambda: HardwareNetwork(Chip(spec.chip, tiles), models.pop(), [1.0]))
    chip, layer = network.chip, network.layers[0]
    weights = network.model.weights[0]  # which training changes in place
    deadband = spec.chip.programming.deadband
    timed("program_s", lambda: chip.run(layer.program(weights, deadband)))
    inputs = rng.random((BATCH, size)) * (rng.random((BATCH, size)) < 0.2)
    timed("first_read_s", lambda: chip.run(layer.forward(inputs)))
    for _ in range(STEPS):
        for row in weights:
            changed = rng.random(size) < CHANGED
            row[changed] = rng.uniform(-1.0, 1.0, int(changed.sum()))

        def step(weights: Any = weights) -> None:
            chip.run(layer.program(weights, deadband))
            chip.run(layer.forward(inputs))

        timed("step_s", step)
    return found | {"tiles": tiles, "peak_mib": peak()}


def main() -> None:
    """Measure all sizes in turn, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=int, help="measure this size here, and print it: what the others are run with")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the table")
    options = parser.parse_args()
    if options.only is not None:
        print(json.dumps(measure(options.only)))
        return
    record = []
    for size in options.sizes:
        load = round(os.getloadavg()[0], 2)
        command = [sys.executable, __file__, "--only", str(size)]
        given = os.environ | {"CIRCUITMEM_THREADS": str(options.threads)}
        answer = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            sys.exit(answer.stderr)
        record.append({"size": size, "threads": options.threads, "load_before": load, **json.loads(answer.stdout)})
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "scale.json").write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    text = table(record)
    (options.out / "scale.txt").write_text(text + "\n", "utf-8")
    print(text)


def table(record: list[dict[str, float]]) -> str:
    """Return the measurements as text."""
    lines = [
        f"layers of n inputs, n outputs on {TILE}x{TILE} tiles, 1 ohm a segment, batch {BATCH}, {CHANGED:.0%} changed",
        f"seconds with {record[0]['threads']} threads, peak memory, load of the machine before",
        f"{'n':>6}{'tiles':>7}{'build':>9}{'program':>9}{'first read':>12}{'step':>9}{'MiB':>8}{'load':>8}",
    ]
    for row in record:
        times = f"{row['build_s']:9.2f}{row['program_s']:9.2f}{row['first_read_s']:12.2f}{row['step_s']:9.2f}"
        lines.append(f"{row['size']:6}{row['tiles']:7}{times}{row['peak_mib']:8.0f}{row['load_before']:8.2f}")
        if row["size"] in GOALS:
            lines.append(GOALS[int(row["size"])])
    return "\n".join(lines)


if __name__ == "__main__":
    main()
