"""Points on worker processes of this machine. If a worker dies, only the point that it was computing is done again."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator, Sequence
from multiprocessing.connection import wait
from typing import Any

from circuitmem.errors import WorkerLostError
from circuitmem.study.fingerprint import code_fingerprint
from circuitmem.study.point import failure
from circuitmem.study.spec import Point, config_values
from circuitmem.study.worker import compute_points
from circuitmem.workers import start_worker

__all__ = ["TRIES", "run_locally"]

TRIES = 3
"""Attempts at a point whose worker dies, before it counts as failed."""


class _Worker:
    """A process that computes one point after another."""

    def __init__(self) -> None:
        self.process, self.pipe = start_worker(compute_points)
        self.point: Point | None = None

    def begin(self, point: Point) -> None:
        self.point = point
        with contextlib.suppress(OSError):  # the worker is dead already: answer() will tell
            self.pipe.send(point)

    def answer(self) -> dict[str, Any] | None:
        """Return the record of its point, or None if the worker died."""
        try:
            return dict(self.pipe.recv())
        except (EOFError, OSError):
            return None

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def run_locally(points: Sequence[Point], workers: int) -> Generator[tuple[Point, dict[str, Any]]]:
    """Yield every point and its record, in the order in which they are finished.

    Parameters
    ----------
    points : sequence of Point
        Points to compute.
    workers : int
        Processes, >= 1.
    """
    todo, deaths = deque(points), dict.fromkeys((point.id for point in points), 0)
    team: list[_Worker] = []
    try:
        while todo or any(worker.point is not None for worker in team):
            while todo and sum(worker.point is not None for worker in team) < workers:
                idle = next((worker for worker in team if worker.point is None), None)
                if idle is None:
                    team.append(idle := _Worker())
                idle.begin(todo.popleft())
            by_pipe = {worker.pipe: worker for worker in team if worker.point is not None}
            for pipe in wait(list(by_pipe)):
                worker = by_pipe[pipe]  # type: ignore[index]
                point, record = worker.point, worker.answer()
                assert point is not None
                worker.point = None
                if record is None:
                    worker.end()
                    team.remove(worker)
                    deaths[point.id] += 1
                    if deaths[point.id] < TRIES:
                        todo.appendleft(point)
                        continue
                    record = lost_record(point, f"the worker died {TRIES} times (exit code {worker.process.exitcode})")
                yield point, record
    finally:
        for worker in team:
            worker.end()


def lost_record(point: Point, reason: str) -> dict[str, Any]:
    """Return the record of a point that killed its workers."""
    head = {"id": point.id, "levels": point.levels, "seed": point.seed, "wall_time_s": 0.0}
    return head | failure(WorkerLostError(reason)) | {"config": config_values(point), "code": code_fingerprint()}
