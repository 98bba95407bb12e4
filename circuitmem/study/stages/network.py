"""Stage: a network of two layers on real digits, end to end: chip, converters, calibration and all."""

from __future__ import annotations

from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from circuitmem.config import load_run
from circuitmem.engine import BehavioralEngine
from circuitmem.study.plots import Lines, Series
from circuitmem.study.stages.stage import EngineRole, StageContext, StageResult
from circuitmem.training import bring_up, build_network, load_data, train_ex_situ

NAME = "network"
SETTINGS = (
    "data.side=8",
    "data.train=500",
    "network.layers=[64, 16, 10]",
    "chip.tile.rows=32",
    "chip.tile.columns=16",
    "chip.programming.verify_tries=0",
    "calibration.method=affine",
    "calibration.vectors=10",
    "ex_situ.epochs=5",
)


def run(context: StageContext) -> StageResult:
    """Classify digits in both engines; one case per digit: its differing outputs, plus 1 for another label."""
    count = 5 if context.quick else 20
    spec = load_run(None, [*SETTINGS, f"data.test={count}", f"seed={context.seed}"])
    digits = load_data(spec.data, spec.network, spec.seed)
    # One BLAS thread: the digital part must do the same sums for both.
    with threadpool_limits(limits=1, user_api="blas"):
        model = train_ex_situ(
            spec.ex_situ, spec.network, digits.train_inputs, digits.train_targets, spec.seed, lambda *_: None
        )
        found = {}
        engines: dict[EngineRole, Any] = {"behavioral": BehavioralEngine(), "referee": context.referee}
        for name, engine in engines.items():
            with context.timed(name):
                network = build_network(spec, model, digits, engine)
                network.chip.run(bring_up(network, spec, digits, True))
                found[name] = network.chip.run(network.outputs(digits.test_inputs))
            context.report(len(found) * count // 2, count)
    ours, theirs = found["behavioral"], found["referee"]
    # Equal codes give equal outputs to the last bit: the digital part is the same.
    different = (ours != theirs).sum(axis=1) + (ours.argmax(axis=1) != theirs.argmax(axis=1))
    right = int(np.count_nonzero(ours.argmax(axis=1) == digits.test_targets))
    outputs = Series("outputs", theirs.ravel(), ours.ravel(), "points")
    plot = Lines("Outputs of the network", f"{context.simulator} (logit)", "behavioral (logit)", (outputs,))
    return StageResult(
        [float(n) for n in different],
        0.0,
        {"right_labels": right},
        [plot],
        answers=list(theirs),
        size=spec.chip.tile.shape,
    )
