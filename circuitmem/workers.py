"""Worker processes of this machine, which end with the process that has started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

__all__ = ["start_worker"]


def start_worker(work: Callable[..., None], *arguments: Any) -> tuple[BaseProcess, Connection[Any, Any]]:
    """Start a process that calls ``work(pipe, *arguments)``; returns it and the other end of the pipe.

    Ctrl-C, which goes to all processes of a terminal, does not reach it: this process decides what becomes of it.

    Parameters
    ----------
    work : callable
        A function of a module.
    *arguments : object
        What can be pickled.
    """
    # Spawned, not forked: nothing of this process, above all no pipe to a sister, is left open in the child, and no
    # thread of a kernel is copied half-way.
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_begin, args=(work, there, *arguments), daemon=True)
    kept = signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGINT}
    )  # the child inherits it, before it imports anything
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, kept)
        there.close()
    return process, here


def _begin(work: Callable[..., None], pipe: Connection[Any, Any], *arguments: Any) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    work(pipe, *arguments)


def _follow(parent: Any) -> None:
    """Die when the parent dies, were it by kill -9, and not only after the work."""
    parent.join()
    os._exit(1)
