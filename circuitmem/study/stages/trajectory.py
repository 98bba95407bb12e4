"""Stage: steps of in-situ training, each engine on a chip of its own: the whole trajectory is refereed."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from circuitmem.config import NetworkSpec, RunSpec, load_run
from circuitmem.data import Dataset, load_mnist
from circuitmem.engine import BehavioralEngine
from circuitmem.study.plots import Lines, Series
from circuitmem.study.stages.stage import EngineRole, StageContext, StageResult
from circuitmem.training import InSituTrainer, bring_up, build_network, train_epoch, train_ex_situ

NAME = "trajectory"
LAYERS = (16, 8, 4)
BATCH = 10
TESTED = 8
OUTPUTS = slice(2, 2 + TESTED * (LAYERS[-1] + 1))
"""Where a step's outputs and labels of the test digits are, among all its values."""
SETTINGS = (
    "data.side=4",
    "network.layers=[16, 8, 10]",
    "chip.tile.rows=16",
    "chip.tile.columns=16",
    "chip.tile.word_line_resistance=1.0",
    "chip.tile.bit_line_resistance=1.0",
    "chip.defects.device_yield=0.8",
    "chip.programming.verify_tries=0",
    "calibration.vectors=10",
    "ex_situ.epochs=40",
    "ex_situ.batch=20",
    "ex_situ.learning_rate=0.02",
    f"in_situ.batch={BATCH}",
)


def run(context: StageContext) -> StageResult:
    """Count what differs after each step: outputs and labels of test digits, loss, pulses, weights, conductances."""
    steps = 4 if context.quick else 20
    spec = load_run(None, [*SETTINGS, f"in_situ.epochs={steps}", f"seed={context.seed}"])
    spec = spec.model_copy(update={"network": NetworkSpec(layers=LAYERS)})  # four digits, for a network of four outputs
    digits = _digits(steps)
    engines: dict[EngineRole, Any] = {"behavioral": BehavioralEngine(), "referee": context.referee}
    found: dict[EngineRole, list[NDArray[np.float64]]] = {}
    # One BLAS thread: the digital part must do the same sums for both.
    with threadpool_limits(limits=1, user_api="blas"):
        for number, (name, engine) in enumerate(engines.items()):
            with context.timed(name):
                found[name] = _trajectory(spec, digits, engine, steps)
            context.report((number + 1) * steps // 2, steps)
    pairs = list(zip(found["behavioral"], found["referee"], strict=True))
    differences = [float(np.count_nonzero(ours != theirs)) for ours, theirs in pairs]
    losses = {name: [float(step[0]) for step in states] for name, states in found.items()}
    pulses = [int(step[1]) for step in found["referee"]]
    shown = np.arange(1, steps + 1)
    plot = Lines(
        "Loss of each step",
        "step",
        "cross entropy",
        (
            Series("behavioral", shown, losses["behavioral"]),
            Series(context.simulator, shown, losses["referee"], "points"),
        ),
    )
    details = {
        "pulses": pulses[-1],
        "values_a_step": int(found["referee"][0].size),
        "steps": {name: [_said(step) for step in states] for name, states in found.items()},
    }
    return StageResult(differences, 0.0, details, [plot], answers=found["referee"], size=spec.chip.tile.shape)


def _said(step: NDArray[np.float64]) -> dict[str, Any]:
    """Return what is shown of a step: loss, pulses so far, labels of the test digits, and a digest of all values."""
    labels = step[OUTPUTS][TESTED * LAYERS[-1] :].astype(int).tolist()
    return {
        "loss": float(step[0]),
        "pulses": int(step[1]),
        "labels": labels,
        "digest": hashlib.sha256(step.tobytes()).hexdigest()[:12],
    }


def _digits(steps: int) -> Dataset:
    """Return digits 0 to 3 of the bundled set: as many as the steps need, and some for the test."""
    data = load_mnist().resized(4)
    train, test = (np.flatnonzero(labels < LAYERS[-1]) for labels in (data.train_targets, data.test_targets))
    train, test = train[: max(200, steps * BATCH)], test[:TESTED]
    return Dataset(data.train_inputs[train], data.train_targets[train], data.test_inputs[test], data.test_targets[test])


def _trajectory(spec: RunSpec, digits: Dataset, engine: Any, steps: int) -> list[NDArray[np.float64]]:
    """Train on a chip of its own; return all results of each step as one array, the loss first, then the pulses."""
    images, labels = digits.train_inputs, digits.train_targets
    model = train_ex_situ(spec.ex_situ, spec.network, images, labels, spec.seed, lambda *_: None)
    network = build_network(spec, model, digits, engine)
    chip, trainer = network.chip, InSituTrainer(spec.in_situ, network)
    chip.run(bring_up(network, spec, digits, False))
    left = []
    for step in range(steps):
        batch = slice(step * BATCH, (step + 1) * BATCH)
        loss = chip.run(train_epoch(network, trainer, images[batch], labels[batch], spec.seed, step))
        outputs = chip.run(network.outputs(digits.test_inputs))
        parts = [np.array([loss, chip.ledger.total.pulses]), outputs.ravel(), outputs.argmax(axis=1).astype(float)]
        parts += [values.ravel() for values in (*network.model.weights, *network.model.biases)]
        parts += [unit.tile.conductance.ravel() for unit in chip.units]
        left.append(np.concatenate(parts))
    return left
