"""A forward pass of torch as a process of a chip: it is suspended at each product until the chip has computed it.

The pass runs as ordinary code in a greenlet of its own. So passes of several requests can be under way on one network,
following each other through its layers, while the chip goes on with its other work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from greenlet import getcurrent, greenlet

from circuitmem.control import Chip, Priority, Process

__all__ = ["as_process", "priority_of_pass", "run_process"]


class _Pass(greenlet):
    """A forward pass, and the priority of its reads."""

    def __init__(self, compute: Callable[[], Any], priority: Priority) -> None:
        super().__init__(compute)
        self.priority = priority


def run_process(chip: Chip, process: Process) -> Any:
    """Return the result of a process of the chip: within a pass when the chip has come to it, else at once."""
    current = getcurrent()
    return current.parent.switch(process) if isinstance(current, _Pass) else chip.run(process)


def priority_of_pass() -> Priority:
    """Return the priority of reads in the pass that calls this; outside of a pass, the normal one."""
    current = getcurrent()
    return current.priority if isinstance(current, _Pass) else Priority.NORMAL


def as_process(compute: Callable[[], Any], priority: Priority = Priority.NORMAL, *, gradients: bool = False) -> Process:
    """Compute something that needs products on tiles, as a process of the chip; returns what ``compute`` returns.

    Parameters
    ----------
    compute : callable
        Runs modules of torch.
    priority : Priority
        Priority of its reads.
    gradients : bool
        Whether torch records what gradients need.
    """
    own, answer = _Pass(compute, priority), None
    try:
        while True:
            own.parent = getcurrent()
            with torch.set_grad_enabled(gradients):  # torch has one switch for all passes in this thread
                asked = own.switch() if answer is None else own.switch(answer)
                gradients = torch.is_grad_enabled()
            if own.dead:
                return asked
            answer = yield from asked
    finally:
        if not own.dead:  # the chip was stopped: what the pass has opened is closed
            own.parent = getcurrent()
            own.throw()
