"""Simulated time: processes, the phases that they are booked under, and the arbiter that grants them resources."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import simpy

from circuitmem.control.arbiter import Arbiter
from circuitmem.control.ledger import PICOSECOND, on_clock
from circuitmem.plugin import refusal

__all__ = ["Clock", "Process", "plugin_process"]

Process = Generator[simpy.Event, Any, Any]


class _Task(simpy.Process):
    """A process with the phase that its operations are booked under."""

    def __init__(self, environment: simpy.Environment, process: Process, phase: str) -> None:
        self.phase = phase
        super().__init__(environment, process)


class Clock:
    """A SimPy clock in integer picoseconds, with its processes and its arbiter.

    Parameters
    ----------
    granularity : {"burst", "pulse"}
        Whether consecutive operations on one tile are one event, or one event each.

    Attributes
    ----------
    environment : simpy.Environment
        Time and event queue.
    arbiter : Arbiter
        Grants resources to trains.
    """

    def __init__(self, granularity: Literal["burst", "pulse"]) -> None:
        self.granularity = granularity
        self._phase = ""
        self.environment = simpy.Environment(initial_time=0)
        self.arbiter = Arbiter(self.environment, granularity)

    @property
    def now(self) -> float:
        """Simulated time [s]."""
        return float(self.environment.now) * PICOSECOND

    @property
    def clock(self) -> int:
        """Simulated time [ps]."""
        return int(self.environment.now)

    def set_clock(self, clock: int, numbered: int) -> None:
        """Start again at time ``clock`` [ps], with ``numbered`` trains so far; the arbiter keeps its observer."""
        observer = self.arbiter.observer
        self.environment = simpy.Environment(initial_time=clock)
        self.arbiter = Arbiter(self.environment, self.granularity)
        self.arbiter.numbered, self.arbiter.observer = numbered, observer

    @property
    def phase(self) -> str:
        """Phase that operations requested now belong to in the accounts; see :meth:`during`."""
        active = self.environment.active_process
        return active.phase if isinstance(active, _Task) else self._phase

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """Book operations requested in this context under ``phase``: the active process's or, if there is none, all.

        A new process starts in the phase of the process that started it.
        """
        active = self.environment.active_process
        before = self.phase
        holder, name = (active, "phase") if isinstance(active, _Task) else (self, "_phase")
        setattr(holder, name, phase)
        try:
            yield
        finally:
            setattr(holder, name, before)

    def run(self, process: Process) -> Any:
        """Run a process to its end and return what it returns."""
        return self.environment.run(self.start(process))

    def start(self, process: Process) -> simpy.Process:
        """Run a process beside the others; returns an event that fires when the process ends."""
        return _Task(self.environment, process, self.phase)

    def wait_until(self, time: int) -> Process:
        """Wait until ``time`` [ps], if that lies in the future."""
        if time > self.clock:
            yield self.environment.timeout(on_clock(time) - self.clock)

    def together(self, processes: Iterable[Process]) -> Process:
        """Run processes side by side; returns their results in order."""
        running = [self.start(process) for process in processes]
        yield self.environment.all_of(running)
        return [process.value for process in running]


def plugin_process(kind: str, own: Any, method: str, process: Any) -> Process:
    """Carry out the process that a plug-in's method made, and return what it returns.

    Parameters
    ----------
    kind : str
        One of :data:`circuitmem.registry.KINDS`.
    own : object
        The plug-in, or the name by which it was asked for.
    method : str
        The method; empty if the plug-in is a function.
    process : object
        What the method returned.

    Raises
    ------
    ValidationError
        If that is no process, or yields something that the clock cannot wait for.
    """
    where = f" from {method}" if method else ""
    if not isinstance(process, Generator):
        raise refusal(kind, own, f"must return a process{where}: a function that uses yield from returns one", process)
    resume, given = process.send, None
    while True:
        try:
            event = resume(given)
        except StopIteration as end:
            return end.value
        if not isinstance(event, simpy.Event):
            process.close()
            raise refusal(
                kind, own, f"must take time on the chip with yield from alone{where}, and yield nothing", event
            )
        try:
            resume, given = process.send, (yield event)
        except GeneratorExit:
            process.close()
            raise
        except BaseException as error:  # what went wrong on the chip goes to the plug-in, which may know what to do
            resume, given = process.throw, error
