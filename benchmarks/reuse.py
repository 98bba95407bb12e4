"""What ``reuse_error`` brings: time and errors with exact transfer matrices, and with those kept up to date.

784-256-10 on the default chip, once while cells drift and digits are classified in batches of 8, and once in training,
where pulses move cells by much more. Writes results/reuse.txt.
"""

from __future__ import annotations

import time
from pathlib import Path

from threadpoolctl import threadpool_limits

from circuitmem.config import load_run
from circuitmem.data import load_mnist
from circuitmem.training import InSituTrainer, bring_up, build_network, train_epoch, train_ex_situ

IMAGES, ERROR = 1280, 4e-4  # a tenth of a step of an 8-bit converter
DRIFT = [f"chip.retention.drift_{name}" for name in ("exponent=0.02", "spread=0.5", "time=1e-3")]

COLUMNS = {"exact": 9, "cells": 7, "scaled": 8, "checks": 8, "refused": 9, "largest": 10}


def measure(kind: str, side: int, error: float) -> str:
    """Return a line of the table."""
    size = [f"chip.tile.{name}={side}" for name in ("rows", "columns")]
    how = ["network.layers=[784,256,10]", "in_situ.batch=64", "ex_situ.epochs=1", f"data.train={IMAGES}"]
    spec = load_run(None, [*size, *how, "data.test=100", f"reuse_error={error}", *(DRIFT if kind == "drift" else [])])
    digits = load_mnist("bundled").first(IMAGES, 100)
    images, labels = digits.train_inputs, digits.train_targets
    with threadpool_limits(limits=1, user_api="blas"):
        model = train_ex_situ(spec.ex_situ, spec.network, images, labels, 1, lambda *_: None)
        network = build_network(spec, model, digits)
        chip = network.chip
        chip.run(bring_up(network, spec, digits, calibrate=False))
        trainer = InSituTrainer(spec.in_situ, network)
        for turn in range(2):  # the first warms up
            began = time.perf_counter()
            if kind == "drift":
                chip.run(network.classify(images, 8))
            else:
                chip.run(train_epoch(network, trainer, images, labels, 1, turn))
            taken = time.perf_counter() - began
    batches = IMAGES / (8 if kind == "drift" else 64)
    found = chip.electrics.transfers.record
    return (
        f"{kind:<10}{side:>6}{error:>9.0e}{1e3 * taken / batches:>12.1f}{found.exact:>9}"
        f"{found.cells:>7}{found.scaled:>8}{found.checks:>8}{found.refused:>9}{found.largest_error:>10.1e}"
    )


def main() -> None:
    """Measure, print and write."""
    lines = [
        f"{'':<10}{'tile':>6}{'allowed':>9}{'ms a batch':>12}"
        + "".join(f"{name:>{width}}" for name, width in COLUMNS.items())
    ]
    cases = [(kind, side, error) for kind in ("drift", "training") for side in (64, 128) for error in (0.0, ERROR)]
    lines += [measure(*case) for case in cases]
    (Path(__file__).parent / "results" / "reuse.txt").write_text("\n".join(lines) + "\n", "utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
