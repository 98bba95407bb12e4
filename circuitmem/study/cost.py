"""How long a study will take: estimated from its finished points, or else from what each point has to compute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np

from circuitmem.config import DataSpec, ExSituSpec, NetworkSpec, RetrainingSpec, RunSpec
from circuitmem.network import positions, tile_counts
from circuitmem.registry import torch_room
from circuitmem.study.point import SISTERS
from circuitmem.study.spec import MethodAtPoint, Point
from circuitmem.training import load_data, load_source, recipe_of

__all__ = ["estimate_seconds", "point_seconds"]

READ, TREE, PULSE = 19e-9, (75e-9, 0.19e-9), 50e-9
"""Seconds to read one column; to compute the transfer matrix of a tile with wires, per cell, and per cell and line of
the longer side; to update one cell. Fitted to points of our studies (MNIST: most word lines are at rest) on one core of
the machine that ``benchmarks/results`` names, which did other work too: 486 of 563 took half to twice the estimate."""

SAMPLE, WEIGHT, INJECTED = 2.5e-6, 0.34e-9, 2e-9
"""Seconds of training off-line per sample; per sample and weight, without and with random defects. Measured as CPU time
on one core, with 784-10, 784-100-10 and 784-256-10 in batches of 50."""

FULL = 60_000, 10_000
"""Digits for training and for the test in the full MNIST."""


def estimate_seconds(points: Sequence[Point], records: Sequence[dict[str, Any]], workers: int = 1) -> dict[str, float]:
    """Return the seconds that each point takes on one process.

    Each worker trains the digital network of a seed once, so that points with the same network share that time. If some
    points are finished, the estimates of the others are scaled by the ratio of measured to estimated time of those.

    Parameters
    ----------
    points : sequence of Point
        All points.
    records : sequence of dict
        Records of the points that have one.
    workers : int
        Processes, >= 1.
    """
    rough = {point.id: point_seconds(point) for point in points}
    own = {point.id: {_network(job): job for job in point.jobs} for point in points}
    sharing = Counter(key for networks in own.values() for key in networks)
    for name, networks in own.items():
        for key, job in networks.items():
            rough[name] += _digital_seconds(job) * min(workers, sharing[key]) / sharing[key]
    known = {record["id"]: record["wall_time_s"] for record in records if record["status"] == "finished"}
    expected = sum(rough[name] for name in known)
    factor = sum(known.values()) / expected if expected > 0.0 else 1.0
    return {name: known.get(name, seconds * factor) for name, seconds in rough.items()}


def point_seconds(point: Point) -> float:
    """Return a rough estimate of the seconds that a point takes on one core."""
    names = {job.method for job in point.jobs if not job.run.data.held_back}
    return sum(_job_seconds(job) for job in point.jobs if SISTERS.get(job.method) not in names)


def _job_seconds(job: MethodAtPoint) -> float:
    run, tile = job.run, job.run.chip.tile
    rows, columns = tile.shape
    sizes = _sizes(run.network, run.data)
    tiles = tile_counts([(m, n) for m, n, _ in sizes], run.chip, [many > 1 for _, _, many in sizes])
    vectors = sum(tiles_of * n for tiles_of, (_, _, n) in zip(tiles, sizes, strict=True))
    train, watched, test = _samples(run.data, run.network)
    recipe = recipe_of(run, job.method)
    epochs = run.in_situ.epochs if recipe.train else 0
    groups = run.calibration.groups if "split-affine" in recipe.calibrations(run.calibration) else 1
    every = run.in_situ.evaluate_every
    looks = epochs + 1 + (epochs * ceil(train / run.in_situ.batch) // every if every else 0)
    reads = epochs * train + looks * watched + test + run.calibration.vectors
    updates = epochs * ceil(train / run.in_situ.batch) + 2
    lines = tile.word_line_resistance, tile.bit_line_resistance, tile.driver_resistance
    matrix = TREE[0] + TREE[1] * max(rows, columns) if any(np.any(each) for each in lines) else 0.0
    offline = 0.0
    for step, weight in (("retrain", WEIGHT), ("inject-defects", INJECTED)):
        spec = run.hardware_aware if step == "inject-defects" else run.retraining
        if recipe.word(step) is not None:
            offline += _offline_seconds(job, _epochs(spec.epochs, spec), weight)
    return (
        offline + vectors * reads * columns * groups * READ + sum(tiles) * updates * rows * columns * (matrix + PULSE)
    )


def _network(job: MethodAtPoint) -> Hashable:
    """Return everything on which the digital network of a method depends."""
    return job.run.ex_situ, job.run.network, job.run.data, job.run.seed


def _digital_seconds(job: MethodAtPoint) -> float:
    return _offline_seconds(job, _epochs(job.run.ex_situ.epochs, job.run.ex_situ), WEIGHT)


def _epochs(declared: int, spec: ExSituSpec | RetrainingSpec) -> int:
    """Guess after how many epochs training ends: with patience, twice that many, but at most the declared ones."""
    return min(declared, 2 * spec.patience) if spec.patience else declared


def _offline_seconds(job: MethodAtPoint, epochs: int, weight: float) -> float:
    """Return a rough estimate of the seconds of training off-line."""
    network = job.run.network
    weights = sum(m * n * p for m, n, p in _sizes(network, job.run.data))
    return epochs * _samples(job.run.data, network)[0] * (SAMPLE + weight * weights)


@lru_cache(maxsize=16)
def _sizes(network: NetworkSpec, data: DataSpec) -> list[tuple[int, int, float]]:
    """Return inputs and outputs of each weight matrix of a network, and its vectors per sample."""
    if not network.model:
        return [(m, n, p) for (m, n), p in zip(network.shapes, positions(network), strict=True)]
    layers = torch_room().summarize_model(RunSpec(network=network, data=data)).layers
    return [(each.inputs, each.outputs, each.vectors or 1.0) for each in layers for _ in range(each.groups)]


@lru_cache(maxsize=16)
def _samples(spec: DataSpec, network: NetworkSpec) -> tuple[int, int, int]:
    """Return the numbers of samples for training, tests during it, and the test at the end; downloads nothing."""
    if spec.source == "download":
        train = min(spec.train or FULL[0], FULL[0]) - spec.held_back
        test = spec.validation or min(spec.test or FULL[1], FULL[1])
    else:
        # The sizes of the parts do not depend on the seed.
        data = load_source(spec, seed=1) if network.model else load_data(spec, network, seed=1)
        train, test = len(data.train_targets), len(data.test_targets)
    return (train, spec.held_back, test) if spec.held_back else (train, test, 0)
