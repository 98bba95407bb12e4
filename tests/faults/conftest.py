"""The command line in processes that are forked from one that has loaded everything: a call takes no start.

Figures are empty there: to draw them takes most of the time of small runs.
"""

import json
import subprocess
import sys

import pytest

SERVER = r"""
import contextlib, io, json, os, resource, signal, sys, tempfile, time
import circuitmem.console, circuitmem.report, circuitmem.study.runner, circuitmem.training.serve
from circuitmem.cli import main, runs
from matplotlib.figure import Figure
from matplotlib.layout_engine import TightLayoutEngine
from pathlib import Path

def draw_nothing(self, file, **_):
    if isinstance(file, io.StringIO):
        file.write("<svg></svg>")
    elif not hasattr(file, "write"):
        Path(file).write_bytes(b"")

Figure.savefig, TightLayoutEngine.execute = draw_nothing, lambda self, figure: None

class DrawHere(contextlib.nullcontext):
    def __init__(self, folder):
        super().__init__(self)
        self.folder = folder

    def begin(self):
        self.page = circuitmem.report.draw_run_page(self.folder, figures=False)[0]

    def result(self):
        return self.page

runs.PageDrawer = DrawHere  # for a process beside this one would have to load everything

for line in sys.stdin:
    job = json.loads(line)
    printed, (errors, said) = tempfile.TemporaryFile(), os.pipe()
    os.set_blocking(errors, False)
    child = os.fork()
    if not child:
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
            resource.setrlimit(resource.RLIMIT_FSIZE, (job["room"], job["room"]))
        os.environ.update(job["environment"])
        sys.argv = ["circuitmem", *job["words"]]
        main()
    os.close(said)
    began, status = time.monotonic(), None
    limit = began + (200 if job["kill_after"] is None else job["kill_after"])
    while status is None:
        done, found = os.waitpid(child, os.WNOHANG)
        if done:
            status = found
        elif time.monotonic() > limit:
            os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
        else:
            time.sleep(0.001)
    answer = {"code": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - began}
    printed.seek(0)
    answer |= {"stdout": printed.read().decode(), "stderr": ""}
    with contextlib.suppress(BlockingIOError):  # a process that it has started still lives
        answer["stderr"] = os.read(errors, 65536).decode()
    os.close(errors)
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture(scope="session")
def forked():
    """Return a function that carries out a command: ``forked(*words, folder, stdout, room, kill_after, environment)``.

    What it returns has ``code``, ``stdout``, ``errors`` (lines of stderr that are neither progress nor warnings) and
    ``seconds``. ``stdout`` is a file to write to, or ``"closed"`` for a pipe that nobody reads. ``room`` is how large a
    file may become [bytes], ``kill_after`` when the process gets a SIGKILL [s].
    """
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:

        def call(*words, folder=".", stdout=None, room=None, kill_after=None, environment=None):
            job = {"words": [str(word) for word in words], "folder": str(folder), "stdout": stdout, "room": room}
            server.stdin.write(json.dumps(job | {"kill_after": kill_after, "environment": environment or {}}) + "\n")
            server.stdin.flush()
            done = json.loads(server.stdout.readline())
            other = ("circuitmem: warning: ", "circuitmem: progress: ")
            return done | {"errors": [line for line in done["stderr"].splitlines() if not line.startswith(other)]}

        yield call
        server.stdin.close()
