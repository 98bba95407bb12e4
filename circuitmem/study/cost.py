"""How long a study will take: as its finished points did, else by what a point has to compute."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil
from typing import Any

from circuitmem.config import DataSpec
from circuitmem.data import load_mnist
from circuitmem.network import partitions, positions
from circuitmem.study.point import SISTERS
from circuitmem.study.spec import Job, Point
from circuitmem.training import METHODS

__all__ = ["estimate_seconds", "point_seconds"]

READ, TREE, PULSE, DIGITAL = 0.6e-9, (60e-9, 0.44e-9), 25e-9, 0.6e-9
"""Seconds for a product term of a read; for the transfer matrix, a cell, and a cell and longer side; for a cell of one
update; for a product term on the digital core or in the training before. Fitted to one core of the machine that
``benchmarks/results`` names; an estimate within a factor of two elsewhere."""

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
    names = {job.method for job in point.jobs}
    jobs = [job for job in point.jobs if SISTERS.get(job.method) not in names]
    runs = {(job.run.ex_situ, job.run.network, job.run.data) for job in point.jobs}
    digital = 0.0
    for ex_situ, network, data in runs:
        products = sum(a * b * n for (a, b), n in zip(network.shapes, positions(network), strict=True))
        steps = ceil(_digits(data)[0] / ex_situ.batch) * ex_situ.epochs
        digital += 6 * DIGITAL * products * steps * (ex_situ.batch / 6 + 8)
    return digital + sum(_job_seconds(job) for job in jobs)


def _job_seconds(job: Job) -> float:
    run = job.run
    rows, columns = run.chip.tile.shape
    tiles = [partition.tiles for partition in partitions(run.network.shapes, rows, columns)]
    vectors = sum(tiles_of * n for tiles_of, n in zip(tiles, positions(run.network), strict=True))
    train, test = _digits(run.data)
    recipe = METHODS[job.method]
    epochs = run.in_situ.epochs if recipe.train else 0
    groups = run.calibration.groups if run.calibration.method == "split-affine" else 1
    reads = epochs * train + (epochs + 1) * test + run.calibration.vectors
    updates = epochs * ceil(train / run.in_situ.batch) + 2
    cells = rows * columns
    a_read = READ * rows * (rows + columns) * (groups if recipe.calibrate else 1)
    an_update = cells * (TREE[0] + TREE[1] * max(rows, columns) + PULSE)
    return vectors * reads * a_read + sum(tiles) * updates * an_update


@lru_cache(maxsize=16)
def _digits(spec: DataSpec) -> tuple[int, int]:
    """Return how many digits are trained with and tested; for an estimate nothing is downloaded."""
    if spec.source == "download":
        return min(spec.train or FULL[0], FULL[0]), min(spec.test or FULL[1], FULL[1])
    data = load_mnist(spec.source).first(spec.train, spec.test)
    return len(data.train_labels), len(data.test_labels)
