"""What it brings and costs that waiting threads spin before they sleep (``GOMP_SPINCOUNT``, docs/performance.md).

A child for each count, in turns, measures with two threads the product of 1,000 vectors with a known matrix, and a step
of training without wires: on an idle machine, and beside two processes that are always busy. Writes
results/waiting.txt.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict

import numpy as np
from kernels import RESULTS, make_tile, medians

COUNTS = {"0": "sleep at once", "5000": "as circuitmem sets it", "20000": ""}
COLUMNS = "product", "step", "busy: product", "step"
TURNS, SIZE, VECTORS, BATCH = 5, 64, 1000, 64


def main() -> None:
    """Measure all counts in turns, idle and busy, and write the table."""
    load = os.getloadavg()[0]
    found: dict[tuple[str, str, bool], list[float]] = defaultdict(list)
    for is_busy in (False, True):
        others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 if is_busy else 0)]
        try:
            for _ in range(TURNS):
                for count in COUNTS:
                    for name, seconds in child(count).items():
                        found[count, name, is_busy].append(seconds)
        finally:
            for other in others:
                other.kill()
                other.wait()
    heads = [f"{'spin count':>10}", *(f"{name:>{16 if 'busy' in name else 9}}{'ratio':>7}" for name in COLUMNS)]
    lines = [
        f"two threads; ms by the clock, the median of {TURNS} processes in turns; load before {load:.1f}",
        "".join(heads),
    ]
    for count, what in COUNTS.items():
        cells = f"{count:>10}"
        for is_busy, width in ((False, 9), (True, 16)):
            for name in ("product", "step"):
                own, first = (float(np.median(found[each, name, is_busy])) for each in (count, "0"))
                cells += f"{1e3 * own:>{width if name == 'product' else 9}.2f}{own / first:>7.2f}"
        lines.append(f"{cells}  {what}".rstrip())
    print("\n".join(lines))
    (RESULTS / "waiting.txt").write_text("\n".join(lines) + "\n", "utf-8")


def child(count: str) -> dict[str, float]:
    """Return the times that a process with this count measures [s]."""
    own = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": count}
    own |= {"CIRCUITMEM_THREADS": "2", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--measure"]
    done = subprocess.run(command, env=os.environ | own, stdout=subprocess.PIPE, check=True)
    times: dict[str, float] = json.loads(done.stdout)
    return times


def measure() -> None:
    """Print the times of a product and of a step, as this process's environment has it."""
    from circuitmem.config import load_run
    from circuitmem.data import load_mnist
    from circuitmem.engine import BehavioralEngine
    from circuitmem.training import InSituTrainer, bring_up, build_network, train_epoch, train_ex_situ

    tile, engine = make_tile(SIZE), BehavioralEngine()
    vectors, matrix = np.random.default_rng(0).uniform(0.0, 0.2, (VECTORS, SIZE)), engine.transfer_matrix(tile)

    digits = load_mnist("bundled").first(BATCH, 100)
    sizes = ["network.layers=[784,256,10]", f"in_situ.batch={BATCH}", "in_situ.epochs=999", "ex_situ.epochs=1"]
    spec = load_run(None, [*sizes, f"data.train={BATCH}", "data.test=100"])
    inputs, targets = digits.train_inputs, digits.train_targets
    model = train_ex_situ(spec.ex_situ, spec.network, inputs, targets, 1, lambda *_: None)
    network = build_network(spec, model, digits)
    network.chip.run(bring_up(network, spec, digits, calibrate=False))
    trainer = InSituTrainer(spec.in_situ, network)
    rivals = {
        "product": lambda: engine.read(tile, vectors, matrix=matrix),
        "step": lambda: network.chip.run(train_epoch(network, trainer, inputs, targets, 1, 1)),
    }
    print(json.dumps(medians(rivals)))


if __name__ == "__main__":
    measure() if "--measure" in sys.argv else main()
