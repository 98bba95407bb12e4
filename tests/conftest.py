"""What all tests share: the rule for tests that need libngspice, one engine for all of them, and the command line."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from circuitmem.engine import SpiceEngine, VacaskEngine
from circuitmem.errors import SpiceUnavailableError


@functools.cache
def missing_ngspice():
    """Return why ngspice cannot be used, or None."""
    try:
        SpiceEngine.probe()
    except SpiceUnavailableError as error:
        return str(error)
    return None


@functools.cache
def missing_vacask():
    """Return why VACASK cannot be used, or None."""
    try:
        VacaskEngine.probe()
    except SpiceUnavailableError as error:
        return str(error)
    return None


def pytest_runtest_setup(item):
    if item.get_closest_marker("vacask") and missing_vacask():
        pytest.skip(missing_vacask())
    if item.get_closest_marker("spice") and missing_ngspice():
        if os.environ.get("CIRCUITMEM_REQUIRE_SPICE") == "1":
            pytest.fail(f"CIRCUITMEM_REQUIRE_SPICE=1, but {missing_ngspice()}")
        pytest.skip(missing_ngspice())


@pytest.fixture(scope="session")
def spice():
    """One SpiceEngine, and so one ngspice process, for all tests that only compute."""
    with SpiceEngine(time_limit=300.0) as engine:
        yield engine


@pytest.fixture(scope="session")
def vacask():
    """One VacaskEngine for all tests that only compute."""
    with VacaskEngine() as engine:
        yield engine


@pytest.fixture(scope="session")
def forked():
    """Return a function that carries out a command without starting Python anew (``serve_commands.py``).

    It is ``forked(*words, folder, stdout, room, kill_at, environment, draws)`` and returns a dictionary of ``code``,
    ``stdout``, ``stderr`` and ``errors`` (lines of stderr that are neither progress nor warnings).
    ``stdout`` is a file to write to, or ``"closed"`` for a pipe that nobody reads. ``room`` limits the size of a file
    [bytes]. ``kill_at`` is a pair: the number of the file write, from 0, at which the process gets a SIGKILL, and the
    delay after it [s], or None to kill before the file is renamed. Without ``draws`` figures are empty, because
    drawing them takes most of the time of small runs.
    """
    command = [sys.executable, str(Path(__file__).with_name("serve_commands.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:

        def call(*words, folder=".", stdout=None, room=None, kill_at=None, environment=None, draws=False):
            job = {"words": [str(word) for word in words], "folder": str(folder), "stdout": stdout, "room": room}
            job |= {"kill_at": kill_at, "environment": environment or {}, "draws": draws}
            server.stdin.write(json.dumps(job) + "\n")
            server.stdin.flush()
            done = json.loads(server.stdout.readline())
            other = ("circuitmem: warning: ", "circuitmem: progress: ")
            return done | {"errors": [line for line in done["stderr"].splitlines() if not line.startswith(other)]}

        yield call
        server.stdin.close()


@pytest.fixture(scope="session")
def command(forked):
    """Return a function that carries out a command with its figures as subprocess.run would.

    It is ``command(*words, cwd, **environment)``. Lines of progress, which slow commands print, are left out of
    stderr.
    """

    def call(*words, cwd=".", **environment):
        done = forked(*words, folder=cwd, environment=environment, draws=True)
        lines = done["stderr"].splitlines(keepends=True)
        said = "".join(line for line in lines if not line.startswith("circuitmem: progress: "))
        return subprocess.CompletedProcess(words, done["code"], done["stdout"], said)

    return call
