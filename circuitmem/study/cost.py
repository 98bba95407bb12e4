"""How long a study will take: as its finished points did, else by what a point has to compute."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil
from typing import Any

import numpy as np

from circuitmem.config import DataSpec, NetworkSpec
from circuitmem.network import partitions, positions
from circuitmem.study.point import SISTERS
from circuitmem.study.spec import Job, Point
from circuitmem.training import load_data, recipe_of

__all__ = ["estimate_seconds", "point_seconds"]

READ, TREE, PULSE = 19e-9, (75e-9, 0.19e-9), 50e-9
"""Seconds for a column that is read; for the transfer matrix behind wires, a cell, and a cell and longer side; for a
cell of one update. Fitted to points of our studies (MNIST: most word lines are at rest) on one core of the machine that
``benchmarks/results`` names, which did other work too: 486 of 563 took between half and twice as long as this says."""

FULL = 60_000, 10_000
"""Digits of the full MNIST."""


def estimate_seconds(points: Sequence[Point], records: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return seconds of one process for each of the points.

    Where points were computed already, the others are scaled by how far the estimate was off with those.

    Parameters
    ----------
    points : sequence of Point
        All points.
    records : sequence of dict
        Records of those that are finished.
    """
    rough = {point.id: point_seconds(point) for point in points}
    known = {record["id"]: record["wall_time_s"] for record in records if record["status"] == "finished"}
    expected = sum(rough[name] for name in known)
    factor = sum(known.values()) / expected if expected > 0.0 else 1.0
    return {name: known.get(name, seconds * factor) for name, seconds in rough.items()}


def point_seconds(point: Point) -> float:
    """Return a rough estimate of the seconds that a point takes on one core."""
    names = {job.method for job in point.jobs if not job.run.data.held_back}
    return sum(_job_seconds(job) for job in point.jobs if SISTERS.get(job.method) not in names)


def _job_seconds(job: Job) -> float:
    run, tile = job.run, job.run.chip.tile
    rows, columns = tile.shape
    tiles = [partition.tiles for partition in partitions(run.network.shapes, rows, columns)]
    vectors = sum(tiles_of * n for tiles_of, n in zip(tiles, positions(run.network), strict=True))
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
    return vectors * reads * columns * groups * READ + sum(tiles) * updates * rows * columns * (matrix + PULSE)


@lru_cache(maxsize=16)
def _samples(spec: DataSpec, network: NetworkSpec) -> tuple[int, int, int]:
    """Return how many samples are trained with, tested while training, and only at the end; nothing is downloaded."""
    if spec.source == "download":
        train = min(spec.train or FULL[0], FULL[0]) - spec.held_back
        test = spec.validation or min(spec.test or FULL[1], FULL[1])
    else:
        data = load_data(spec, network, seed=1)  # parts are as large with any seed
        train, test = len(data.train_targets), len(data.test_targets)
    return (train, spec.held_back, test) if spec.held_back else (train, test, 0)
