"""Seconds a training step takes where whole layers are one job, and where each operation is an event, beside it.

Both are the same run: an observer of single operations is all that makes the difference, and what is computed is equal
to the last bit. CPU time of the process, one thread: other programs on the machine count less than on a clock.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from circuitmem.config import load_run
from circuitmem.control import Train
from circuitmem.data import load_mnist
from circuitmem.training import InSituTrainer, bring_up, build_network, train_epoch, train_ex_situ

BATCH, STEPS, ROUNDS = 64, 5, 4
RESULTS = Path(__file__).parent / "results"


class Nobody:
    """Observes, and does nothing about it."""

    def began(self, train: Train, now: int) -> None:
        """Hear of a train."""

    def ended(self, train: Train, now: int) -> None:
        """Hear of a train."""


def measure(layers: list[int], ohms: float) -> dict[str, Any]:
    """Train in situ, some steps as whole layers and some as events in turn; returns the best of each [s a step]."""
    wires = [f"chip.tile.{line}_line_resistance={ohms}" for line in ("word", "bit")]
    images = BATCH * STEPS
    size = [f"network.layers={layers}", f"in_situ.batch={BATCH}", "ex_situ.epochs=1", f"data.train={images}"]
    spec = load_run(None, [*wires, *size, "data.test=100", "chip.defects.device_yield=0.8"])
    digits = load_mnist("bundled").first(images, 100)
    model = train_ex_situ(spec.ex_situ, spec.network, digits.train_inputs, digits.train_targets, 1, lambda *_: None)
    network = build_network(spec, model, digits)
    network.chip.run(bring_up(network, spec, digits, calibrate=False))
    trainer = InSituTrainer(spec.in_situ, network)
    best = {"layers": float("inf"), "events": float("inf")}
    for epoch in range(2 * ROUNDS):
        kind = "events" if epoch % 2 else "layers"
        network.chip.arbiter.observer = Nobody() if kind == "events" else None
        began = time.process_time()
        network.chip.run(train_epoch(network, trainer, digits.train_inputs, digits.train_targets, 1, epoch))
        best[kind] = min(best[kind], (time.process_time() - began) / STEPS)
    return {"network": "-".join(map(str, layers)), "ohms": ohms, **best}


def main() -> None:
    """Measure all cases and write the table."""
    with threadpool_limits(limits=1, user_api="blas"):
        rows = [measure(layers, ohms) for layers in ([784, 100, 10], [784, 256, 10]) for ohms in (0.0, 1.0)]
    lines = [f"batch {BATCH}, 64x64 tiles, ms of CPU a step: layers as one job, an event each, ratio"]
    for row in rows:
        name = f"{row['network']}, {row['ohms']:g} ohm"
        ratio = row["events"] / row["layers"]
        lines.append(f"{name:<24}{1e3 * row['layers']:8.1f}{1e3 * row['events']:8.1f}{ratio:8.2f}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "layers.json").write_text(json.dumps(rows, indent=2) + "\n")
    (RESULTS / "layers.txt").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
