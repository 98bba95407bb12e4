"""Methods of a run in parallel: some in this process, the others in helper processes.

Each method has a chip of its own and random numbers addressed by name, so it does not matter which process carries it
out, or when. A helper reports progress and operations to audit through a pipe; its results are in the run's folder, as
if this process had written them.
"""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Protocol, Self

from circuitmem.config import RunSpec
from circuitmem.control import Chip, ChipAuditor, Sample
from circuitmem.errors import WorkerLostError
from circuitmem.training.audit import RunAudit, sampler
from circuitmem.training.methods import MethodResult
from circuitmem.workers import start_worker

__all__ = ["Crew", "Watches", "serve_methods"]

OnProgress = Callable[[str, int, int], None]


class Watches(Protocol):
    """The part of a run's audit that a method needs."""

    def watch(self, chip: Chip, method: str, number: int) -> ChipAuditor:
        """Watch the chip of a method from now on."""

    def so_far(self) -> dict[str, Any]:
        """Return the findings so far."""


class Crew:
    """Helper processes that carry out methods of a run beside this one; they begin and end with the context.

    Parameters
    ----------
    helpers : int
        Number of helpers, >= 0; none when left out.
    work : callable
        A function of a module; each helper calls it with its pipe and the arguments, and it runs :func:`serve_methods`.
    *arguments : object
        Arguments of ``work``, which must be picklable.
    """

    def __init__(self, helpers: int = 0, work: Callable[..., None] = lambda *_: None, *arguments: Any) -> None:
        self.helpers, self._work, self._arguments = helpers, work, arguments
        self._helpers: list[tuple[BaseProcess, Connection[Any, Any]]] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._waiting: deque[str] = deque()
        self._results: dict[str, MethodResult] = {}
        self._errors: list[BaseException] = []

    def __enter__(self) -> Self:
        for _ in range(self.helpers):
            self._helpers.append(start_worker(self._work, *self._arguments))
        return self

    def __exit__(self, *_: object) -> None:
        for process, pipe in self._helpers:
            process.kill()
            process.join()
            pipe.close()

    def carry_out(
        self, methods: Sequence[str], own: Callable[[str], MethodResult], audit: RunAudit, progress: OnProgress
    ) -> dict[str, MethodResult]:
        """Carry out methods in their order, here by ``own`` and in the helpers; returns their results.

        ``progress`` may be called from several threads: if it is not reentrant, it must take one call at a time.

        Raises
        ------
        WorkerLostError
            If a helper has died.
        """
        self._waiting.extend(methods)
        name = self._take()  # first: a helper may not be ready yet
        for helper in self._helpers:
            thread = threading.Thread(target=self._lead, args=(*helper, audit, progress), daemon=True)
            thread.start()
            self._threads.append(thread)
        while name is not None:
            self._results[name] = own(name)
            name = self._take()
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]
        return self._results

    def _take(self) -> str | None:
        """Return the next method, or None if none is left or an error has occurred."""
        with self._lock:
            return self._waiting.popleft() if self._waiting and not self._errors else None

    def _lead(self, process: BaseProcess, pipe: Connection[Any, Any], audit: RunAudit, progress: OnProgress) -> None:
        """Give a helper one method after another; runs in a thread."""
        try:
            while (name := self._take()) is not None:
                pipe.send(name)
                self._results[name] = _follow(pipe, name, audit, progress)
        except (EOFError, ConnectionError):
            process.join()
            reason = f"a process that carried out methods of the run died (exit code {process.exitcode})"
            self._errors.append(WorkerLostError(f"{reason}; circuitmem resume goes on"))
        except BaseException as error:
            self._errors.append(error)


def _follow(pipe: Connection[Any, Any], name: str, audit: RunAudit, progress: OnProgress) -> MethodResult:
    """Handle the messages of a helper while it carries out a method, and return the result."""
    while True:
        what, content = pipe.recv()
        if what == "progress":
            progress(name, *content)
        elif what == "sample":
            audit.take(name, Sample.of(content))
        elif what == "so far":
            pipe.send(audit.so_far())
        elif what == "error":
            raise content
        else:
            result, seen = content
            audit.note(name, seen)
            return MethodResult(**result)


class _AuditBeside:
    """The audit of a run whose simulators belong to another process."""

    def __init__(self, spec: RunSpec, pipe: Connection[Any, Any]) -> None:
        self._spec, self._pipe = spec, pipe
        self.auditor: ChipAuditor | None = None

    def watch(self, chip: Chip, method: str, number: int) -> ChipAuditor:  # noqa: ARG002
        """Watch the chip of a method from now on."""
        self.auditor = sampler(self._spec, chip, number, lambda sample: self._pipe.send(("sample", sample.plain())))
        return self.auditor

    def so_far(self) -> dict[str, Any]:
        """Return the findings so far, from the process that owns the simulators."""
        self._pipe.send(("so far", None))
        found: dict[str, Any] = self._pipe.recv()
        return found


def serve_methods(
    pipe: Connection[Any, Any], spec: RunSpec, work: Callable[[str, Watches, OnProgress], MethodResult]
) -> None:
    """Call ``work`` for every name of a method that comes through a pipe, and send back its result or error.

    Parameters
    ----------
    pipe : Connection
        To the :class:`Crew`.
    spec : RunSpec
        The run.
    work : callable
        Called with the method's name, an audit that passes on the operations it chooses, and a function that reports
        progress.
    """
    try:
        while True:
            name = pipe.recv()
            audit = _AuditBeside(spec, pipe)
            result = work(name, audit, lambda _, done, total: pipe.send(("progress", (done, total))))
            seen = audit.auditor.seen if audit.auditor is not None else {}
            pipe.send(("done", (vars(result), seen)))
    except (EOFError, ConnectionError):
        return  # the run is over
    except Exception as error:
        error.add_note(traceback.format_exc())  # shown if the error is a bug of ours
        pipe.send(("error", error))
