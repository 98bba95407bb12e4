"""Keeps an ngspice worker process, gives it jobs, and turns whatever happens to it into a typed error.

libngspice has global state, leaks, and can abort or hang; so it lives in a process that can be killed. The worker is
started with the first job, serves many, and is replaced when it has served enough, has grown, failed or died.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.errors import SpiceError, SpiceTimeoutError, SpiceUnavailableError, ValidationError
from circuitmem.netlists.frames import PREFIX, decode, encode, sizes
from circuitmem.netlists.text import Netlist
from circuitmem.validation import in_range, integer

__all__ = ["Library", "Runner"]

START_LIMIT = 60.0
"""Seconds that a worker may take to import and load the library."""

_CHUNK = 1 << 16
_INHERITED = ("LANG", "LD_LIBRARY_PATH", "NGSPICE_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONPATH", "TMPDIR")
"""Environment of the worker. SPICE_* variables and HOME, where ngspice looks for start-up files, are not in it."""


@dataclass(frozen=True)
class Library:
    """The ngspice library in use."""

    version: str
    path: str


class Runner:
    """Runs netlists through one ngspice worker at a time.

    A worker that died between jobs is replaced; a job that meets one still dying (killed within the last 10 ms or so)
    fails like one whose worker died at work. Nothing is tried twice.

    Parameters
    ----------
    time_limit : float
        Seconds that one job may take, > 0.
    jobs_per_worker : int
        Jobs after which the worker is replaced, >= 1.
    memory_limit : int
        Peak memory [bytes] after which the worker is replaced, > 0.
    """

    def __init__(self, time_limit: float = 600.0, jobs_per_worker: int = 500, memory_limit: int = 1 << 30) -> None:
        self.time_limit = in_range("time_limit", time_limit, 0.0)
        if self.time_limit == 0.0:
            raise ValidationError("time_limit", "must be > 0", time_limit)
        self.jobs_per_worker = integer("jobs_per_worker", jobs_per_worker, minimum=1)
        self.memory_limit = integer("memory_limit", memory_limit, minimum=1)
        self.seconds: dict[str, float] = {}
        self._worker: _Worker | None = None
        self._lock = threading.Lock()

    def run(self, netlist: Netlist, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the outputs, (points, outputs), of a circuit for a table of input voltages, (points, inputs) V.

        Raises
        ------
        SpiceUnavailableError
            If libngspice is not installed.
        SpiceTimeoutError
            If the job takes longer than the time limit.
        SpiceError
            If ngspice cannot simulate the circuit, or the worker dies.
        """
        if table.shape[1:] != (len(netlist.inputs),) or len(table) == 0:
            raise ValidationError("table", f"must have shape (points, {len(netlist.inputs)})", table.shape)
        job = {"text": netlist.text, "inputs": netlist.inputs, "outputs": netlist.outputs}
        with self._lock:
            worker = self._ready_worker()
            try:
                answer, results = worker.exchange(encode(job, table), self.time_limit)
            except BaseException:
                # After an error, or an interrupt between request and answer, its state is unknown.
                self._drop()
                raise
            if "reason" in answer:
                self._drop()
                raise SpiceError(answer["reason"], tuple(answer["log"]))
            self.seconds = answer["seconds"]
            if worker.jobs >= self.jobs_per_worker or answer["memory"] > self.memory_limit:
                self._drop()
        return results.copy()

    def library(self) -> Library:
        """Return which ngspice runs, starting a worker if there is none.

        Raises
        ------
        SpiceUnavailableError
            If libngspice is not installed.
        """
        with self._lock:
            return self._ready_worker().library

    def process_id(self) -> int | None:
        """Return the process id of the worker, None if there is none."""
        worker = self._worker
        return None if worker is None else worker.process.pid

    def kill(self) -> None:
        """End the worker at once, from any thread; a job under way fails with :class:`SpiceError`."""
        worker = self._worker
        if worker is not None:
            worker.process.kill()

    def close(self) -> None:
        """End the worker. A later job starts a new one."""
        with self._lock:
            self._drop()

    def _ready_worker(self) -> _Worker:
        if self._worker is not None and not self._worker.usable():
            self._drop()
        if self._worker is None:
            self._worker = _Worker()
        return self._worker

    def _drop(self) -> None:
        if self._worker is not None:
            self._worker.stop()
        self._worker = None


class _Worker:
    """One worker process and the pipes to it."""

    def __init__(self) -> None:
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        # -P: no module of the working folder may stand in for a library. A session of its own: Ctrl-C is the parent's.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "circuitmem.netlists.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**environment, "HOME": os.devnull, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        self.jobs = 0
        self.library = Library("", "")
        self.stop = weakref.finalize(self, _end, self.process, os.getpid())
        self._owner = os.getpid()
        self._errors: deque[bytes] = deque(maxlen=20)
        for pipe in self._pipes():
            os.set_blocking(pipe.fileno(), False)
        try:
            hello, _ = self.exchange(b"", START_LIMIT)
        except BaseException:
            self.stop()
            raise
        if "unavailable" in hello:
            self.stop()
            raise SpiceUnavailableError(hello["unavailable"])
        self.library = Library(hello["version"], hello["library"])
        self.jobs = 0

    def usable(self) -> bool:
        """Say whether the process lives and belongs to this process, not to one that was forked off later."""
        return self._owner == os.getpid() and self.process.poll() is None

    def _pipes(self) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
        stdin, stdout, stderr = self.process.stdin, self.process.stdout, self.process.stderr
        assert stdin is not None
        assert stdout is not None
        assert stderr is not None
        return stdin, stdout, stderr

    def exchange(self, request: bytes, time_limit: float) -> tuple[dict[str, Any], NDArray[np.float64]]:
        """Send a message (none if empty) and return the answer.

        Raises
        ------
        SpiceTimeoutError
            If it takes longer than ``time_limit`` seconds.
        SpiceError
            If the worker dies or does not answer with a message.
        """
        self.jobs += 1
        deadline = time.monotonic() + time_limit
        stdin, stdout, stderr = self._pipes()
        unsent, received, needed = memoryview(request), bytearray(), PREFIX
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            selector.register(stderr, selectors.EVENT_READ)
            if unsent:
                selector.register(stdin, selectors.EVENT_WRITE)
            while len(received) < needed:
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready and time.monotonic() >= deadline:
                    raise SpiceTimeoutError(f"ngspice did not answer within the time limit of {time_limit:g} s")
                for key, _ in ready:
                    if key.fileobj is stdin:
                        with contextlib.suppress(BlockingIOError, BrokenPipeError):
                            unsent = unsent[os.write(stdin.fileno(), unsent[:_CHUNK]) :]
                        if not unsent:
                            selector.unregister(stdin)
                        continue
                    part = os.read(key.fd, _CHUNK)
                    if key.fileobj is stderr:
                        self._errors.extend(part.splitlines())
                        if not part:
                            selector.unregister(stderr)
                    elif not part:
                        raise self._death()
                    else:
                        received += part
                    if needed == PREFIX and len(received) >= PREFIX:
                        needed += sum(sizes(bytes(received[:PREFIX])))
        header = sizes(bytes(received[:PREFIX]))[0]
        return decode(bytes(received[PREFIX : PREFIX + header]), bytes(received[PREFIX + header :]))

    def _death(self) -> SpiceError:
        """Return the error that says how the worker ended, with its last words."""
        with contextlib.suppress(OSError):
            while part := os.read(self._pipes()[2].fileno(), _CHUNK):
                self._errors.extend(part.splitlines())
        try:
            status = self.process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            return SpiceError("the ngspice worker closed its pipe")
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        words = tuple(line.decode(errors="replace").strip() for line in self._errors)
        return SpiceError(f"the ngspice worker {how}", tuple(word for word in words if word)[-5:])


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    """Kill and reap a worker; a forked copy of the program leaves it to the owner."""
    if os.getpid() != owner:
        return
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
