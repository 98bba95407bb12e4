"""Points on a Dask cluster. The cluster computes and this process writes, so that workers need no shared disk."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Generator, Sequence
from typing import Any

from circuitmem.errors import ValidationError
from circuitmem.study.local import lost_record
from circuitmem.study.point import compute_point
from circuitmem.study.spec import Point

__all__ = ["run_on_cluster"]

PATIENCE = 15.0
"""Seconds in which the scheduler must answer."""


def run_on_cluster(points: Sequence[Point], address: str) -> Generator[tuple[Point, dict[str, Any]]]:
    """Yield every point and its record, in the order in which they are finished.

    Dask gives the points of a worker that dies to other workers; each point yields one record, however often it began.

    Parameters
    ----------
    points : sequence of Point
        What to compute.
    address : str
        Address of the scheduler, such as ``tcp://10.0.0.1:8786``; its workers need this version of circuitmem.

    Raises
    ------
    ValidationError
        If no scheduler answers there.
    """
    from distributed import Client, as_completed

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # dead workers are handled here, and are in the record
    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError, TypeError) as error:
        rule = f"must be the address of a Dask scheduler that answers ({' '.join(str(error).split())})"
        raise ValidationError("--scheduler", rule, address) from None
    with client:
        token = uuid.uuid4().hex  # a scheduler caches results by key: the token makes the keys unique to this call
        futures = {client.submit(compute_point, point, key=f"{point.id}-{token}"): point for point in points}
        for future in as_completed(list(futures)):
            point = futures.pop(future)
            if future.status == "finished":
                record = dict(future.result())
            else:
                lost = future.exception()
                record = lost_record(point, f"{type(lost).__name__}: {lost}")
            future.release()
            yield point, record
