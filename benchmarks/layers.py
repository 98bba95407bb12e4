"""Seconds a training step takes where whole layers are one job, and where each operation is an event, beside it.

Both are the same run: an observer of single operations is all that makes the difference, and what is computed is equal
to the last bit. CPU time of the process, one thread: other programs on the machine count less than on a clock. The
rules for devices that count pulses have the chip of the study ``algorithms``.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from circuitmem.config import load_run
from circuitmem.control import Holding
from circuitmem.data import Dataset, load_mnist
from circuitmem.training import InSituTrainer, bring_up, build_network, train_epoch, train_ex_situ

BATCH, RULE_BATCH, STEPS, ROUNDS = 64, 20, 5, 4
RULES = "pulse-count", "mixed-precision", "tiki-taka", "chopped-tiki-taka", "agad"
RESULTS = Path(__file__).parent / "results"


class Nobody:
    """Observes, and does nothing about it."""

    def began(self, holding: Holding) -> None:
        """Hear of an operation."""

    def ended(self, holding: Holding) -> None:
        """Hear of an operation."""


def of_layers(layers: list[int], ohms: float) -> dict[str, Any]:
    """Measure a network of two-pulse cells."""
    wires = [f"chip.tile.{line}_line_resistance={ohms}" for line in ("word", "bit")]
    size = [f"network.layers={layers}", f"in_situ.batch={BATCH}", "ex_situ.epochs=1"]
    settings = [*wires, *size, "chip.defects.device_yield=0.8"]
    return measure(f"{'-'.join(map(str, layers))}, {ohms:g} ohm", None, settings, load_mnist("bundled"))


def of_rule(rule: str) -> dict[str, Any]:
    """Measure a rule on devices that count pulses."""
    device = ["chip.device.states=100", "chip.device.potentiation=5.0", "chip.device.depression=-5.0"]
    chip = ["chip.defects.device_yield=0.95", "chip.programming.deadband=0.0"]
    size = ["network.layers=[64, 32, 10]", "data.side=8", "ex_situ.epochs=0", f"in_situ.batch={RULE_BATCH}"]
    steps = ["in_situ.optimiser=sgd", "in_situ.ranges=follow", "in_situ.learning_rate=0.1", f"in_situ.rule={rule}"]
    return measure(f"64-32-10, {rule}", "epiram", [*device, *chip, *size, *steps], load_mnist("bundled").resized(8))


def measure(name: str, preset: str | None, settings: list[str], data: Dataset) -> dict[str, Any]:
    """Train in situ, some steps as whole layers and some as events in turn; returns the best of each [s a step]."""
    spec = load_run(preset, [*settings, "data.test=100", f"in_situ.epochs={2 * ROUNDS}"])
    images = spec.in_situ.batch * STEPS
    digits = data.first(images, 100)
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
    return {"name": name, **best}


def main() -> None:
    """Measure all cases and write the table."""
    with threadpool_limits(limits=1, user_api="blas"):
        rows = [of_layers(layers, ohms) for layers in ([784, 100, 10], [784, 256, 10]) for ohms in (0.0, 1.0)]
        rows += [of_rule(rule) for rule in RULES]
    lines = [
        f"batch {BATCH}, of rules {RULE_BATCH}, 64x64 tiles, ms of CPU a step: layers as one job, an event each, ratio"
    ]
    for row in rows:
        ratio = row["events"] / row["layers"]
        lines.append(f"{row['name']:<32}{1e3 * row['layers']:8.1f}{1e3 * row['events']:8.1f}{ratio:8.2f}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "layers.json").write_text(json.dumps(rows, indent=2) + "\n")
    (RESULTS / "layers.txt").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
