"""What ``precision = "single"`` brings where wires have resistance: steps of training in both, in turns, and the error.

One thread, by its CPU time, so that others on the machine disturb little. Writes results/precision.txt.
"""

from __future__ import annotations

import os
import time

import numpy as np
from kernels import RESULTS
from threadpoolctl import threadpool_limits

from circuitmem.config import load_run
from circuitmem.data import load_mnist
from circuitmem.training import InSituTrainer, bring_up, build_network, train_epoch, train_ex_situ

BATCH, STEPS, TURNS = 64, 4, 6


def main() -> None:
    """Measure tiles of two sizes, and write the table."""
    os.environ["CIRCUITMEM_THREADS"] = "1"
    lines = [
        f"784-256-10, batch {BATCH}, wires of 1 ohm: CPU time of a training step, load {os.getloadavg()[0]:.1f}",
        f"{'tiles':>9}{'double':>10}{'single':>10}{'ratio':>8}{'largest error':>15}{'compared':>10}",
    ]
    with threadpool_limits(limits=1, user_api="blas"):
        for size in (64, 128):
            double, single, record = measure(size)
            lines.append(
                f"{f'{size}x{size}':>9}{1e3 * double:>7.1f} ms{1e3 * single:>7.1f} ms{double / single:>8.2f}"
                f"{record['largest_error']:>15.1e}{record['checks']:>10}"
            )
    print("\n".join(lines))
    (RESULTS / "precision.txt").write_text("\n".join(lines) + "\n", "utf-8")


def measure(size: int) -> tuple[float, float, dict[str, float]]:
    """Return the shortest CPU time of a step in double and in single precision [s], and what was found of the error."""
    count = BATCH * STEPS
    digits = load_mnist("bundled").first(2 * count, 100)
    shape = [f"chip.tile.{name}={size}" for name in ("rows", "columns")]
    both = {}
    for precision in ("double", "single"):
        settings = [
            "network.layers=[784,256,10]",
            f"in_situ.batch={BATCH}",
            f"in_situ.epochs={TURNS}",
            "ex_situ.epochs=1",
            f"data.train={2 * count}",
        ]
        spec = load_run(None, [*shape, *settings, "data.test=100", f"precision={precision}"])
        inputs, targets = digits.train_inputs, digits.train_targets
        model = train_ex_situ(spec.ex_situ, spec.network, inputs, targets, 1, lambda *_: None)
        network = build_network(spec, model, digits)
        network.chip.run(bring_up(network, spec, digits, calibrate=False))
        both[precision] = network, InSituTrainer(spec.in_situ, network)
    best = dict.fromkeys(both, np.inf)
    for turn in range(TURNS):
        for precision, (network, trainer) in both.items():
            began = time.process_time()
            images, labels = digits.train_inputs[:count], digits.train_targets[:count]
            network.chip.run(train_epoch(network, trainer, images, labels, 1, turn))
            best[precision] = min(best[precision], (time.process_time() - began) / STEPS)
    record = both["single"][0].chip.electrics.transfers.record
    return best["double"], best["single"], record.as_dict()


if __name__ == "__main__":
    main()
