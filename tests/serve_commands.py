"""Carries out commands in forks of this process, which has everything loaded: a call needs no start of Python.

Each input line is a command in JSON, each output line its result in JSON (see :func:`forked` in ``conftest.py``).
"""

import atexit
import contextlib
import io
import itertools
import json
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.layout_engine import TightLayoutEngine

import circuitmem.console
import circuitmem.report
import circuitmem.study.runner
import circuitmem.training.serve
from circuitmem.cli import main, runs

LIMIT = 200.0
"""Seconds after which a command is killed."""


def draw_nothing(figure, file, **_):
    if isinstance(file, io.StringIO):
        file.write("<svg></svg>")
    elif not hasattr(file, "write"):
        Path(file).write_bytes(b"")


class DrawHere(contextlib.nullcontext):
    """Draws the page of a run in this process, as a new one would have to load everything."""

    def __init__(self, folder):
        super().__init__(self)
        self.folder = folder

    def prepare(self):
        """Leave it for the end."""

    def begin(self):
        self.drawn = circuitmem.report.draw_run(self.folder)
        self.drawn += circuitmem.report.draw_run_page(self.folder, figures=False)

    def result(self):
        return self.drawn


def kill_at(write, seconds):
    """Kill this process at its n-th write of a whole file: before the rename, or some seconds after it."""
    replace, writes = os.replace, itertools.count()

    def replace_or_die(*names):
        reached = next(writes) == write
        if reached and seconds is None:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*names)
        if reached:
            threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()

    os.replace = replace_or_die


def become(job, printed, said):
    """Carry out a command in this process, the child."""
    os.chdir(job["folder"])
    output = printed.fileno()
    if job["stdout"] == "closed":
        reader, output = os.pipe()
        os.close(reader)
    elif job["stdout"]:
        output = os.open(job["stdout"], os.O_WRONLY)
    for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), output, said)):
        os.dup2(descriptor, number)
    if job["room"] is not None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["room"], before[1]))
        # Lifts the limit before the other exit handlers, such as coverage, write their files.
        atexit.register(resource.setrlimit, resource.RLIMIT_FSIZE, before)
    os.environ.update(job["environment"])
    if job["kill_at"] is not None:
        kill_at(*job["kill_at"])
    if not job["draws"]:
        Figure.savefig, TightLayoutEngine.execute = draw_nothing, lambda engine, figure: None
    sys.argv = ["circuitmem", *job["words"]]
    main()


def wait_for(child):
    """Return the exit status of a child, which is killed after ``LIMIT`` seconds."""
    limit = time.monotonic() + LIMIT
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        if time.monotonic() > limit:
            os.kill(child, signal.SIGKILL)
            return os.waitpid(child, 0)[1]
        time.sleep(0.001)


def serve():
    runs.PageDrawer = DrawHere
    for line in sys.stdin:
        job = json.loads(line)
        with tempfile.TemporaryFile() as printed:
            errors, said = os.pipe()
            os.set_blocking(errors, False)
            child = os.fork()
            if not child:
                become(job, printed, said)
            os.close(said)
            status = wait_for(child)
            answer = {"code": os.waitstatus_to_exitcode(status), "stderr": ""}
            printed.seek(0)
            answer["stdout"] = printed.read().decode()
        with contextlib.suppress(BlockingIOError):  # no errors, and a process that the child started lives
            answer["stderr"] = os.read(errors, 65536).decode()
        os.close(errors)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
