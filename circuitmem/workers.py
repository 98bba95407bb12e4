"""Worker processes on this machine, which end when the process that started them ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from circuitmem.allocation import keep_freed_memory

__all__ = ["start_worker"]


def start_worker(work: Callable[..., None], *arguments: Any) -> tuple[BaseProcess, Connection[Any, Any]]:
    """Start a process that calls ``work(pipe, *arguments)``; returns it and the other end of the pipe.

    Ctrl-C, which a terminal sends to all its processes, is blocked in it: the process that started it decides its end.

    Parameters
    ----------
    work : callable
        A function at module level, which can be pickled.
    *arguments : object
        Its arguments, which can be pickled.
    """
    # Spawned, not forked: the child inherits no open files, above all no pipes to other workers, and no copy of a
    # kernel's thread in the middle of its work.
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_begin, args=(work, there, *arguments), daemon=True)
    kept = signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGINT}
    )  # the child inherits the mask before it imports anything
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, kept)
        there.close()
    return process, here


def _begin(work: Callable[..., None], pipe: Connection[Any, Any], *arguments: Any) -> None:
    keep_freed_memory()
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    work(pipe, *arguments)


def _follow(parent: Any) -> None:
    """End this process as soon as its parent ends, even by kill -9, without waiting for the work."""
    parent.join()
    os._exit(1)
