"""The work of a process that computes points; it imports what it runs only after it has read the code's fingerprint."""

from __future__ import annotations

import contextlib
from multiprocessing.connection import Connection
from typing import Any

from circuitmem.study.fingerprint import code_fingerprint

__all__ = ["compute_points"]


def compute_points(pipe: Connection[Any, Any]) -> None:
    """Compute the points that come through the pipe, until it closes."""
    code_fingerprint()  # kept: code that is edited while this process imports it must not count as what was there after
    from circuitmem.study.point import compute_point

    with contextlib.suppress(EOFError, OSError):
        while True:
            pipe.send(compute_point(pipe.recv()))
