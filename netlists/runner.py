"""A pool of worker processes of a simulator: gives them jobs, and turns a worker's failure into an error of its job.

Simulators may leak memory, abort or hang, and libngspice has global state, so each copy lives in a process that can be
killed. A worker is started when there is a job and no worker is idle. It serves many jobs, and is replaced after a set
number of them, or when it has grown too large, failed or died. No job ever sees what another one left behind.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from circuitmem.errors import SpiceError, SpiceMemoryError, SpiceWorkerError, ValidationError
from circuitmem.netlists.frames import encode
from circuitmem.netlists.jobs import Analysis, Circuit, OperatingPoints, SimulatorOutputs
from circuitmem.netlists.process import NGSPICE, OUT_OF_MEMORY, Library, Program, Worker
from circuitmem.validation import in_range, integer

__all__ = ["Library", "Runner"]

_Entry = tuple["Future[SimulatorOutputs]", Circuit, Analysis]


class Runner:
    """Runs netlists through a pool of workers.

    If a worker dies before it has begun a job (killed in the milliseconds before, or during its start), the job gets a
    second, fresh worker. Nothing else is tried twice.

    Parameters
    ----------
    time_limit : float
        Seconds that one job may take, > 0.
    jobs_per_worker : int
        Jobs after which a worker is replaced, >= 1.
    memory_limit : int
        Resident memory [bytes] after which a worker is replaced, > 0.
    workers : int
        Number of processes at once, >= 1.
    address_limit : int
        Address space [bytes] that a worker may take, > 0; a job that needs more fails with
        :class:`SpiceMemoryError`.
    niceness : int
        How far workers yield to other processes, 0 to 19.
    program : Program
        What the workers run.
    """

    def __init__(
        self,
        time_limit: float = 600.0,
        jobs_per_worker: int = 500,
        memory_limit: int = 1 << 30,
        workers: int = 1,
        address_limit: int = 8 << 30,
        niceness: int = 0,
        program: Program = NGSPICE,
    ) -> None:
        self.time_limit = in_range("time_limit", time_limit, 0.0)
        if self.time_limit == 0.0:
            raise ValidationError("time_limit", "must be > 0", time_limit)
        self.jobs_per_worker = integer("jobs_per_worker", jobs_per_worker, minimum=1)
        self.memory_limit = integer("memory_limit", memory_limit, minimum=1)
        self.workers = integer("workers", workers, minimum=1)
        self.address_limit = integer("address_limit", address_limit, minimum=1)
        self.niceness = integer("niceness", niceness, maximum=19)
        self.program = program
        self.seconds: dict[str, float] = {}
        self._begin()

    def _begin(self) -> None:
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._free = threading.Semaphore(self.workers)
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._waiting: deque[_Entry] = deque()
        self._servants = 0

    def _own(self) -> None:
        """Start afresh in a forked process: the workers, locks and threads that it has belong to its parent."""
        if self._owner != os.getpid():
            self._begin()

    def run(self, netlist: Circuit, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the outputs, (points, outputs), of a circuit for a table of input voltages, (points, inputs) V.

        Raises
        ------
        SpiceUnavailableError
            If the simulator is not installed.
        SpiceTimeoutError
            If the job takes longer than the time limit.
        SpiceMemoryError
            If it needs more memory than a worker may take.
        SpiceWorkerError
            If the worker dies.
        SpiceError
            If the simulator cannot simulate the circuit.
        """
        return self.simulate(netlist, OperatingPoints(table)).values

    def simulate(self, netlist: Circuit, analysis: Analysis, time_limit: float | None = None) -> SimulatorOutputs:
        """Simulate a circuit, waiting for a free worker and for the answer; errors as in :meth:`run`.

        ``time_limit`` [s] replaces the runner's time limit for this job.
        """
        fields, table = analysis.request(netlist)
        job = {"text": netlist.text, "inputs": netlist.inputs, "outputs": netlist.outputs}
        request = encode({**job, "analysis": {**fields, **netlist.settings}}, table)
        limit = self.time_limit if time_limit is None else time_limit
        self._own()
        with self._free:
            try:
                return self._attempt(request, limit)
            except _NotBegunError:
                pass
            try:
                return self._attempt(request, limit)
            except _NotBegunError as error:
                raise error.reason from None

    def submit(self, netlist: Circuit, analysis: Analysis) -> Future[SimulatorOutputs]:
        """Simulate a circuit in the background; the future holds the answer, or the error of this job alone."""
        analysis.request(netlist)
        self._own()
        future: Future[SimulatorOutputs] = Future()
        with self._lock:
            self._waiting.append((future, netlist, analysis))
            if self._servants < self.workers:
                self._servants += 1
                threading.Thread(target=self._serve, name="circuitmem-spice", daemon=True).start()
        return future

    def library(self) -> Library:
        """Return which simulator runs; start a worker if there is none.

        Raises
        ------
        SpiceUnavailableError
            If the simulator is not installed.
        """
        self._own()
        with self._free:
            worker = self._take()
            self._give_back(worker)
        return worker.library

    def widen(self, workers: int) -> None:
        """Raise the number of processes that may run at once to ``workers``; a lower number changes nothing."""
        self._own()
        with self._lock:
            more = max(0, workers - self.workers)
            self.workers += more
        if more:
            self._free.release(more)

    def process_ids(self) -> list[int]:
        """Return the process ids of all workers."""
        with self._lock:
            return sorted(worker.process.pid for worker in (*self._idle, *self._busy))

    def process_id(self) -> int | None:
        """Return the process id of a worker, None if there is none."""
        return next(iter(self.process_ids()), None)

    def kill(self) -> None:
        """End all workers at once, from any thread; jobs under way fail with :class:`SpiceWorkerError`."""
        with self._lock:
            workers = [*self._idle, *self._busy]
        for worker in workers:
            worker.kill()

    def close(self) -> None:
        """End all workers and cancel the waiting jobs. A later job starts a new worker."""
        self._own()
        with self._lock:
            for future, *_ in self._waiting:
                future.cancel()
            self._waiting.clear()
            idle, self._idle = self._idle, []
            for worker in self._busy:
                worker.kill()
        for worker in idle:
            worker.stop()

    def _serve(self) -> None:
        """Run the waiting jobs one after another, in a thread."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._servants -= 1
                    return
                future, netlist, analysis = self._waiting.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(self.simulate(netlist, analysis))
            except BaseException as error:
                future.set_exception(error)

    def _attempt(self, request: bytes, time_limit: float) -> SimulatorOutputs:
        try:
            worker = self._take()
        except SpiceWorkerError as error:
            raise _NotBegunError(error) from None
        began = time.perf_counter()
        try:
            answer, results = worker.exchange(request, time_limit)
        except SpiceWorkerError as error:
            self._drop(worker)
            if worker.began or worker.killed:
                raise
            raise _NotBegunError(error) from None
        except BaseException:
            # After an error, or an interrupt between request and answer, the worker's state is unknown.
            self._drop(worker)
            raise
        if "reason" in answer:
            self._drop(worker)
            log = tuple(answer["log"])
            kind = SpiceMemoryError if OUT_OF_MEMORY.search("\n".join((answer["reason"], *log))) else SpiceError
            raise kind(answer["reason"], log, self.program.name)
        seconds: dict[str, float] = answer["seconds"]
        seconds["transfer"] = time.perf_counter() - began - sum(seconds.values())
        self.seconds = seconds
        if worker.jobs >= self.jobs_per_worker or answer["memory"] > self.memory_limit:
            self._drop(worker)
        else:
            self._give_back(worker)
        found = results.copy()
        return SimulatorOutputs(found[:, 0], found[:, 1:], seconds)

    def _take(self) -> Worker:
        """Take an idle worker that is alive, or start one; the caller has made sure that there is room for it."""
        while True:
            with self._lock:
                if not self._idle:
                    break
                worker = self._idle.pop()
                if worker.usable():
                    self._busy.add(worker)
                    return worker
            worker.stop()
        worker = Worker(self.address_limit, self.niceness, self.program)
        with self._lock:
            self._busy.add(worker)
        return worker

    def _give_back(self, worker: Worker) -> None:
        with self._lock:
            self._busy.discard(worker)
            self._idle.append(worker)

    def _drop(self, worker: Worker) -> None:
        worker.stop()
        with self._lock:
            self._busy.discard(worker)


class _NotBegunError(Exception):
    """A worker died before it had begun its job."""

    def __init__(self, reason: SpiceWorkerError) -> None:
        super().__init__()
        self.reason = reason
