"""The worker process: one simulator, jobs on standard input, results on standard output.

Only :mod:`circuitmem.netlists.runner` starts it. The workers of all simulators run :func:`serve_jobs`; this module
itself is the worker of ngspice.
"""

from __future__ import annotations

import os
import queue
import resource
import select
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from circuitmem.errors import SpiceError, SpiceUnavailableError
from circuitmem.netlists.frames import PREFIX, decode, encode, sizes
from circuitmem.netlists.simulator import Simulator

__all__ = ["main", "serve_jobs"]

_ORPHAN_CHECK = 1.0
"""Seconds between checks that the parent is alive; normally its closed pipe shows at once that it is gone."""


class Simulates(Protocol):
    """A simulator, as a worker needs it."""

    version: str
    library: str
    solver: str
    seconds: dict[str, float]

    def run(
        self,
        text: str,
        inputs: list[str],
        outputs: list[str],
        table: NDArray[np.float64],
        analysis: dict[str, Any],
    ) -> NDArray[np.float64]:
        """Return axis and outputs, (points, 1 + outputs)."""

    def end(self) -> None:
        """End everything that was started; may be called from any thread."""


def main() -> None:
    """Serve ngspice."""
    serve_jobs(lambda _: Simulator())


def serve_jobs(make: Callable[[Path], Simulates]) -> None:
    """Serve jobs until the parent closes the pipe or dies.

    Parameters
    ----------
    make : callable
        Starts the simulator; called with an empty folder for its files alone. The parent made the folder and removes
        it; this process removes it if the parent is gone.
    """
    answers = os.dup(1)
    # Output of C code must not get in between the messages.
    os.dup2(2, 1)
    _hide()
    _limit(*(int(word) for word in sys.argv[1:3]))
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    folder = Path(sys.argv[3])
    ends: list[Callable[[], None]] = [partial(shutil.rmtree, folder, ignore_errors=True)]
    threading.Thread(target=_listen, args=(jobs, os.getppid(), ends), daemon=True).start()
    try:
        simulator = make(folder)
    except SpiceUnavailableError as error:
        _send(answers, encode({"unavailable": error.reason}))
        return
    ends.insert(0, simulator.end)
    hello = {name: getattr(simulator, name) for name in ("version", "library", "solver")}
    _send(answers, encode(hello))
    while True:
        header, body = jobs.get(), jobs.get()
        # From here on it is the job's own fault if this process dies.
        _send(answers, encode({"began": True}))
        _send(answers, _answer(simulator, header, body))


def _answer(simulator: Simulates, header: bytes, body: bytes) -> bytes:
    try:
        job, table = decode(header, body)
        results = simulator.run(job["text"], job["inputs"], job["outputs"], table, job["analysis"])
        return encode({"seconds": simulator.seconds, "memory": _resident()}, results)
    except SpiceError as error:
        return encode({"reason": error.reason, "log": error.log})
    except OSError as error:  # a full disk
        return encode({"reason": f"the simulator's files cannot be used: {error.strerror}", "log": ()})
    except MemoryError as error:
        return encode({"reason": "the simulator ran out of memory for its results", "log": [f"MemoryError: {error}"]})


def _resident() -> int:
    """Return the resident memory of this process [bytes]."""
    # Not ru_maxrss: a process inherits that of the one that started it.
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * resource.getpagesize()


def _limit(address_space: int, niceness: int) -> None:
    """Limit the address space of this process [bytes], switch off core files, and set its niceness."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard != resource.RLIM_INFINITY:
        address_space = min(address_space, hard)
    resource.setrlimit(resource.RLIMIT_AS, (address_space, hard))
    # No core file when ngspice crashes: it would be left behind.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(niceness)


def _hide() -> None:
    """Change to a folder that no longer exists, with no home: no start-up file is run, and no file is left behind."""
    folder = tempfile.mkdtemp(prefix="circuitmem-spice-")
    os.chdir(folder)
    Path(folder).rmdir()
    os.environ["HOME"] = os.devnull


def _listen(jobs: queue.SimpleQueue[bytes], parent: int, ends: list[Callable[[], None]]) -> None:
    """Read messages; end the process when the parent is gone, even while the simulator computes."""
    status = 0
    try:
        while True:
            prefix = _read(PREFIX, parent)
            for size in sizes(prefix):
                jobs.put(_read(size, parent))
    except MemoryError:
        os.write(2, b"MemoryError: a job is too large for its worker\n")
        status = 1
    except EOFError:
        pass
    for end in ends:
        end()
    os._exit(status)


def _read(size: int, parent: int) -> bytes:
    parts: list[bytes] = []
    while size:
        # A process forked by the parent may hold the parent's end of the pipe open: check the parent itself too.
        while not select.select([0], [], [], _ORPHAN_CHECK)[0]:
            if os.getppid() != parent:
                raise EOFError
        part = os.read(0, size)
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _send(descriptor: int, message: bytes) -> None:
    view = memoryview(message)
    while view:
        view = view[os.write(descriptor, view) :]


if __name__ == "__main__":
    main()
