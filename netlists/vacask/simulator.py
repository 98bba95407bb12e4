"""VACASK as it really behaves: a process and a folder of its own for each job. Runs in the worker process only.

VACASK ends with status 0 after some failures, leaves out vectors to be saved that it does not know, and writes all of
its messages to standard output. So a job has succeeded only if it ended with status 0 and its result has every vector
asked for, finite, at every point asked for.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.errors import SpiceError, SpiceUnavailableError
from circuitmem.netlists.vacask.installation import find_vacask
from circuitmem.netlists.vacask.rawfile import read_raw
from circuitmem.netlists.vacask.text import complete

__all__ = ["VacaskSimulator"]

Floats = NDArray[np.float64]

_REASONS = (
    (re.compile(r"Factorization failed|NaN found in vector", re.I), "the circuit has no unique solution"),
    (re.compile(r"not found", re.I), "something that the netlist names is missing"),
    (re.compile(r"out of bounds|out of range", re.I), "a value is outside of its range"),
    (re.compile(r"syntax error|already exists|expecting", re.I), "the netlist is not understood"),
    (re.compile(r"converge|Homotopy failed|timestep|aborted", re.I), "the analysis did not converge"),
)
_BANNER = re.compile(
    r"This is vacask|\(c\)\d|https?://|\s*OpenMP|\s*Cadnip|Available CPUs|CPUs used|OpenBLAS CPUs|\s*$", re.I
)
_KEPT_LINES = 8
_COMPILE_LIMIT = 60.0
"""Seconds that a model may take to compile; usual ones take less than one."""

_START_LIMIT = 30.0
"""Seconds allowed for a start, which takes 25 ms: one that hangs must be ended before its worker's time is over."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class VacaskSimulator:
    """Runs VACASK once per job.

    Parameters
    ----------
    folder : Path
        An empty folder for its files alone: everything in it was put there by this process.

    Raises
    ------
    SpiceUnavailableError
        If it is not installed, or does not start.
    """

    def __init__(self, folder: Path) -> None:
        self._found = find_vacask()
        self.version, self.library, self.solver = f"vacask {self._found.version}", str(self._found.simulator), "KLU"
        self.seconds: dict[str, float] = {}
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._compiled: dict[str, Path] = {}
        # The kernel ends the running program when this process dies, for whatever reason.
        setpriv = shutil.which("setpriv")
        self._before = [] if setpriv is None else [setpriv, "--pdeathsig", "KILL", "--"]
        try:
            start = [str(self._found.simulator), "-dp"]
            code, lines = self._execute(start, self._folder, _START_LIMIT, "VACASK is installed but does not start")
        except OSError as error:
            self.end()
            raise SpiceUnavailableError(f"VACASK does not start: {error.strerror}", simulator="VACASK") from None
        except SpiceError as error:
            self.end()
            raise SpiceUnavailableError(error.reason, simulator="VACASK") from None
        if code != 0:
            self.end()
            last = " | ".join(lines) or f"it ends with status {code}"
            raise SpiceUnavailableError(f"VACASK is installed but does not start: {last}", simulator="VACASK")

    def end(self) -> None:
        """End the running program, if there is one."""
        if self._process is not None:
            self._process.kill()

    def run(self, text: str, inputs: list[str], outputs: list[str], table: Floats, analysis: dict[str, Any]) -> Floats:
        """Return axis and outputs, (points, 1 + outputs), of the circuit.

        Parameters
        ----------
        text : str
            The netlist's lines.
        inputs, outputs : list of str
            Its external sources, and what to return.
        table : (points, inputs) ndarray
            Voltages of the inputs [V] at each point of a sweep.
        analysis : dict
            From :mod:`circuitmem.netlists.jobs`, with the settings of the netlist.

        Raises
        ------
        SpiceError
            If VACASK does not compute all of it.
        """
        began = time.perf_counter()
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        try:
            (folder / "va").mkdir()
            for name, source in analysis["models"].items():
                shutil.copyfile(self._compile(source), folder / "va" / f"{name}.osdi")
            (folder / "circuit.sim").write_text(complete(text, inputs, outputs, table, analysis), "ascii")
            loaded = time.perf_counter()
            command = ["-se", "-sp", "-qp", "--tomlfile", "/dev/null", "-n", "1", "circuit.sim"]
            code, lines = self._execute([str(self._found.simulator), *command], folder)
            solved = time.perf_counter()
            if code != 0:
                raise SpiceError(_reason(lines, code), lines)
            try:
                plot = read_raw(folder / "answer.raw")
            except SpiceError as error:
                raise SpiceError(error.reason, lines) from None
            results = _results(plot, outputs, len(table) if analysis["kind"] == "sweep" else None, lines)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self.seconds = {"load": loaded - began, "solve": solved - loaded, "fetch": time.perf_counter() - solved}
        return results

    def _compile(self, source: str) -> Path:
        """Return the compiled form of a Verilog-A text; each text is compiled once."""
        digest = hashlib.sha256(source.encode()).hexdigest()
        if digest in self._compiled:
            return self._compiled[digest]
        stem = self._folder / f"model-{digest[:32]}"
        path, made = stem.with_suffix(".va"), stem.with_suffix(".osdi")
        path.write_text(source, "utf-8")
        # Compiled for any processor of this architecture, so that the same text gives the same numbers on all of them.
        command = [str(self._found.compiler), "--target_cpu", "generic", path.name, "-o", made.name]
        code, lines = self._execute(command, self._folder, _COMPILE_LIMIT)
        if code != 0 or not made.is_file():
            what = "OpenVAF crashed on a model" if code == 101 else "a model does not compile"
            raise SpiceError(what, lines)
        self._compiled[digest] = made
        return made

    def _execute(
        self, command: list[str], folder: Path, limit: float | None = None, what: str = "a model does not compile"
    ) -> tuple[int, tuple[str, ...]]:
        """Run a program, return its status and last lines; ``what`` is the error if it takes over ``limit`` s."""
        environment = {"HOME": str(folder), "TMPDIR": str(folder), "PATH": "/usr/bin:/bin"}
        environment |= {"LC_ALL": "C", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        kept: deque[bytes] = deque(maxlen=64)
        late = threading.Event()
        with subprocess.Popen(  # noqa: S603  (paths of the installation, and names made here)
            [*self._before, *command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            self._process = process
            assert process.stdout is not None
            timer = None if limit is None else threading.Timer(limit, _kill, (late, process))
            if timer is not None:
                timer.start()
            try:
                # A line may never end: read a limited number of bytes at a time.
                while part := process.stdout.readline(4096):
                    kept.append(part)
                code = process.wait()
            finally:
                process.kill()
                self._process = None
                if timer is not None:
                    timer.cancel()
        if late.is_set():
            raise SpiceError(f"{what} within {limit:g} s")
        text = (_COLOURS.sub("", part.decode("utf-8", "replace")).strip() for part in kept)
        return code, tuple(dict.fromkeys(line for line in text if not _BANNER.match(line)))[-_KEPT_LINES:]


def _kill(late: threading.Event, process: subprocess.Popen[bytes]) -> None:
    late.set()
    process.kill()


def _results(plot: dict[str, Floats], outputs: list[str], points: int | None, lines: tuple[str, ...]) -> Floats:
    """Return axis and outputs, (points, 1 + outputs)."""
    axis = plot.get("time" if points is None else "point")
    if axis is None or (points is not None and not np.array_equal(axis, np.arange(points))):
        raise SpiceError("VACASK did not compute all points", lines)
    results = np.empty((len(axis), 1 + len(outputs)))
    results[:, 0] = axis
    for column, output in enumerate(outputs, start=1):
        name = f"{output.removesuffix('#branch')}:flow(br)" if output.endswith("#branch") else output
        if name not in plot:
            raise SpiceError(f"VACASK gave no result for {output}", lines)
        results[:, column] = plot[name]
    if not np.isfinite(results).all():
        raise SpiceError("VACASK gave results that are not finite", lines)
    return results


def _reason(lines: tuple[str, ...], code: int) -> str:
    """Say why VACASK failed."""
    text = "\n".join(lines)
    known = next((reason for pattern, reason in _REASONS if pattern.search(text)), None)
    return known or (f"VACASK was killed by signal {-code}" if code < 0 else f"VACASK ended with status {code}")
