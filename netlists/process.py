"""One worker process and the pipes to it; every failure of the process becomes a typed error."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.errors import SpiceMemoryError, SpiceTimeoutError, SpiceUnavailableError, SpiceWorkerError
from circuitmem.netlists.frames import PREFIX, decode, sizes

__all__ = ["NGSPICE", "OUT_OF_MEMORY", "Library", "Program", "Worker"]

START_LIMIT = 60.0
"""Seconds that a worker may take to import and load the library."""

OUT_OF_MEMORY = re.compile(r"can't allocate|out of memory|MemoryError|bad_alloc|unable to allocate", re.I)
"""What simulators, Python and NumPy say when an allocation fails."""

_ENDING = threading.Event()
"""Set once the program is ending, and its workers with it."""

_CHUNK = 1 << 16
_INHERITED = ("LANG", "LD_LIBRARY_PATH", "NGSPICE_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONPATH", "TMPDIR")
"""Variables that a worker inherits: not SPICE_*, and not HOME, where ngspice looks for start-up files."""


@dataclass(frozen=True)
class Library:
    """The simulator in use: its version, its file, and what solves its matrices."""

    version: str
    path: str
    solver: str = ""


@dataclass(frozen=True)
class Program:
    """What a worker process runs.

    Attributes
    ----------
    name : str
        The simulator's name, for messages.
    module : str
        The module that serves its jobs.
    """

    name: str
    module: str


NGSPICE = Program("ngspice", "circuitmem.netlists.worker")


class Worker:
    """One worker process.

    Parameters
    ----------
    address_limit : int
        Bytes of address space that it may take.
    niceness : int
        How far it yields to other processes, 0 to 19.
    program : Program
        What it runs.

    Attributes
    ----------
    process : subprocess.Popen
        The process.
    jobs : int
        Number of jobs that it was given.
    began : bool
        Whether it has begun the last job that it was given.
    killed : bool
        Whether it was ended on purpose.
    stop : callable
        Ends the process; called at the latest when the program ends.
    """

    def __init__(self, address_limit: int, niceness: int, program: Program = NGSPICE) -> None:
        if _ENDING.is_set():
            raise SpiceWorkerError(f"no {program.name} is started while the program ends", simulator=program.name)
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        # Made and removed here: a worker may be killed before it can report what it made. The name is unique.
        folder = tempfile.mkdtemp(prefix=f"circuitmem-{program.name.lower()}-")
        # -P: no module in the working folder can shadow a library. Its own session: Ctrl-C reaches only the parent.
        try:
            self.process = subprocess.Popen(  # noqa: S603  (two numbers and a name made here are all that varies)
                [sys.executable, "-P", "-m", program.module, str(address_limit), str(niceness), folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**environment, "HOME": os.devnull, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                start_new_session=True,
            )
        except OSError:
            shutil.rmtree(folder)
            raise
        self.jobs = 0
        self.began = self.killed = False
        self.library = Library("", "")
        self._address_limit = address_limit
        self._name = program.name
        self.stop = weakref.finalize(self, _end, self.process, os.getpid(), folder)
        _watch_the_end()
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
            raise SpiceUnavailableError(hello["unavailable"], simulator=program.name)
        self.library = Library(hello["version"], hello["library"], hello["solver"])
        self.jobs = 0  # the greeting was not a job

    def usable(self) -> bool:
        """Say whether the worker is alive and was started by this process, not by the one that it was forked from."""
        return self._owner == os.getpid() and self.process.poll() is None

    def kill(self) -> None:
        """End the process on purpose, at once; a caller that waits for its answer gets an error."""
        self.killed = True
        _kill(self.process)

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
            If the answer takes longer than ``time_limit`` seconds.
        SpiceMemoryError
            If the worker runs out of memory.
        SpiceWorkerError
            If the worker dies or does not answer with a message.
        """
        self.jobs += 1
        self.began = False
        deadline = time.monotonic() + time_limit
        stdin, stdout, stderr = self._pipes()
        unsent, received = memoryview(request), bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            selector.register(stderr, selectors.EVENT_READ)
            if unsent:
                selector.register(stdin, selectors.EVENT_WRITE)
            while (message := self._message(received)) is None:
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready and time.monotonic() >= deadline:
                    raise SpiceTimeoutError(
                        f"{self._name} did not answer within the time limit of {time_limit:g} s", simulator=self._name
                    )
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
        return message

    def _message(self, received: bytearray) -> tuple[dict[str, Any], NDArray[np.float64]] | None:
        """Return the answer once it has arrived completely; a note that the job has begun only sets ``began``."""
        while len(received) >= PREFIX:
            header, body = sizes(bytes(received[:PREFIX]))
            end = PREFIX + header + body
            if len(received) < end:
                return None
            fields, array = decode(bytes(received[PREFIX : PREFIX + header]), bytes(received[PREFIX + header : end]))
            if "began" not in fields:
                return fields, array
            self.began = True
            del received[:end]
        return None

    def _death(self) -> SpiceWorkerError | SpiceMemoryError:
        """Return the error that says how the worker ended, with its last lines of standard error."""
        with contextlib.suppress(OSError):
            while part := os.read(self._pipes()[2].fileno(), _CHUNK):
                self._errors.extend(part.splitlines())
        try:
            status = self.process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            return SpiceWorkerError(f"the {self._name} worker closed its pipe", simulator=self._name)
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        words = tuple(line.decode(errors="replace").strip() for line in self._errors)
        last = tuple(word for word in words if word)[-5:]
        if OUT_OF_MEMORY.search("\n".join(last)):
            return SpiceMemoryError(f"{self._name} ran out of memory; its worker {how}", last, self._name)
        if -status in (signal.SIGSEGV, signal.SIGABRT):
            # Simulators do not check all of their allocations.
            how += f" (a crash can mean that it needs more memory than its {self._address_limit >> 20} MiB)"
        return SpiceWorkerError(f"the {self._name} worker {how}", last, self._name)


@functools.cache
def _watch_the_end() -> None:
    """Register the hook that sets ``_ENDING``, once. It runs before workers are ended: a thread may still have jobs.

    Exit hooks run in reverse order, and the one that ends the workers was registered before, with the first worker.
    """
    atexit.register(_ENDING.set)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker and the processes that it has started, which form one group.

    If the worker has died by itself, the kernel ends what it had started, because the worker asked for that.
    """
    if process.returncode is None:  # else the process id may belong to another process by now
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _end(process: subprocess.Popen[bytes], owner: int, folder: str) -> None:
    """Kill and reap a worker, and remove its folder; a forked copy of the program leaves it to the owner."""
    if os.getpid() != owner:
        return
    _kill(process)
    process.wait()
    shutil.rmtree(folder, ignore_errors=True)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
