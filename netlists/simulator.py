"""libngspice through PySpice, as it really behaves. Runs in the worker process only.

PySpice raises on harmless notes and lets real errors pass. So this class keeps ngspice's own lines, and judges by them
and by the results: an analysis has succeeded if no line reports a failure, every vector asked for is there, finite and
of the right length, and the inputs came out as they were put in.
"""

from __future__ import annotations

import ctypes
import logging
import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.errors import SpiceError, SpiceUnavailableError
from circuitmem.netlists.ordering import numbered

__all__ = ["KLU", "SPARSE", "Simulator", "choose_solver", "find_library"]

KLU, SPARSE = "KLU", "Sparse 1.3"
"""Solvers of ngspice. The second would spend most of the time of a large tile on finding an elimination order."""

KLU_SINCE = 42
"""First version of ngspice that can be built with KLU."""

PIVOT = 0.5
"""Smallest pivot that KLU takes, relative to the largest of its column.

With ngspice's own 1e-3 it keeps to the diagonal where the gain of an amplifier stands beside it: voltages behind
amplifiers then lose five digits (2e-9 with ngspice 44).
"""

INSTALL = "install it with: apt-get install libngspice0"

_LIBRARIES = ("libngspice.so.0", "libngspice.so", "libngspice.dylib")
"""Debian's libngspice0 has only the first, and PySpice looks only for the second."""

_HARMLESS = re.compile(
    r"^(Note: |Trying gmin|Supplies reduced|Circuit: |Doing analysis|No\. of Data|Reference value|-+$|\s*$"
    r"|Using (SPARSE|KLU)|Warning: (Further gmin increment|Last gmin step failed|(Dynamic|True) gmin stepping failed))"
)
"""Progress messages. If one method to find the solution fails, ngspice tries the next; after the last, "aborted"."""

_FATAL = re.compile(
    r"singular matrix|timestep too small|aborted|not parsed|no such|can't|could not|unknown|error|failed|warning"
    r"|aren't any circuits",
    re.I,
)
_REASONS = (
    (re.compile(r"can't find model|valid modelname|unable to find definition", re.I), "a model is missing"),
    (
        re.compile(r"not parsed|unknown|aren't any circuits|Error on line|bad syntax", re.I),
        "the netlist is not understood",
    ),
    (re.compile(r"resistance to low", re.I), "a resistance is 0"),
    (re.compile(r"singular matrix", re.I), "the circuit has no unique solution (singular matrix)"),
    (re.compile(r"timestep too small|failed|aborted", re.I), "the analysis did not converge"),
)
_KEPT_LINES = 8


def find_library() -> str:
    """Return a name under which libngspice can be loaded; ``NGSPICE_LIBRARY_PATH`` overrides the usual names.

    Raises
    ------
    SpiceUnavailableError
        If there is none.
    """
    override = os.environ.get("NGSPICE_LIBRARY_PATH")
    problem = ""
    for name in (override,) if override else _LIBRARIES:
        try:
            ctypes.CDLL(name)
        except OSError as error:
            problem = problem or str(error)
        else:
            return name
    raise SpiceUnavailableError(f"libngspice cannot be loaded ({problem}); {INSTALL}")


def choose_solver(version: object, works: Callable[[], bool]) -> str:
    """Return the solver to use with a version of ngspice; ``works`` tests whether KLU was built in."""
    number = re.match(r"\d+", str(version))
    return KLU if number and int(number[0]) >= KLU_SINCE and works() else SPARSE


def _transient(analysis: dict[str, Any]) -> str:
    """Return the command of a transient analysis; only numbers get into it, whatever the message holds."""
    times = " ".join(f"{float(value):.17g}" for value in analysis["times"])
    return f"tran {times}{' uic' if analysis['initial'] else ''}"


class Simulator:
    """The one libngspice of this process.

    Raises
    ------
    SpiceUnavailableError
        If the library cannot be loaded.
    """

    def __init__(self) -> None:
        library = find_library()
        os.environ["NGSPICE_LIBRARY_PATH"] = library
        logging.getLogger("PySpice").setLevel(logging.CRITICAL + 1)
        from PySpice.Spice.NgSpice.Shared import NgSpiceShared, ffi, ffi_string_utf8

        simulator = self

        class Shared(NgSpiceShared):  # type: ignore[misc]  # PySpice has no types
            @staticmethod
            def _send_char(message: Any, ngspice_id: int, user_data: Any) -> int:  # noqa: ARG004
                text = ffi_string_utf8(message)
                stream, _, content = text.partition(" ")
                line = content if stream in ("stdout", "stderr") else text
                # exec_command returns what is in _stdout; nothing sets the flags that make it raise.
                ffi.from_handle(user_data)._stdout.append(line)
                simulator._log.append(line)
                return 0

            @staticmethod
            def _send_data(data: Any, count: int, ngspice_id: int, user_data: Any) -> int:  # noqa: ARG004
                simulator._point += 1
                return 0

            @staticmethod
            def _exit(status: int, *rest: Any) -> int:  # noqa: ARG004
                # ngspice asks to be unloaded after a fatal error; the parent sees the death and these lines.
                sys.stderr.write("\n".join(simulator._last_lines()) + f"\nngspice gave up with status {status}\n")
                sys.stderr.flush()
                os._exit(1)

            def get_vsrc_data(self, voltage: Any, time: float, node: str, ngspice_id: int) -> int:  # noqa: ARG002
                voltage[0] = simulator._table[simulator._point][node.lower()]
                return 0

        self._code_models = False
        self._log: deque[str] = deque(maxlen=2000)
        self._point = 0
        self._table: list[dict[str, float]] = []
        self._shared = Shared(send_data=True)
        self.version = f"ngspice-{self._shared.ngspice_version}"
        self.solver = choose_solver(self._shared.ngspice_version, self._try_klu)
        self.library = _loaded_path() or library
        self.seconds: dict[str, float] = {}

    def end(self) -> None:
        """Do nothing: all of ngspice runs within this process."""

    def run(
        self,
        text: str,
        inputs: list[str],
        outputs: list[str],
        table: NDArray[np.float64],
        analysis: dict[str, Any],
    ) -> NDArray[np.float64]:
        """Return axis and outputs, (points, 1 + outputs), of the circuit.

        Parameters
        ----------
        text : str
            The netlist.
        inputs, outputs : list of str
            Its external sources, and what to return.
        table : (points, inputs) ndarray
            Voltages of the inputs [V] at each point of a sweep.
        analysis : dict
            From :mod:`circuitmem.netlists.jobs`.

        Raises
        ------
        SpiceError
            If ngspice does not compute all of it.
        """
        self._log.clear()
        self._point = 0
        names = [f"v{name}".lower() for name in inputs]
        self._table = [dict(zip(names, row, strict=True)) for row in table.tolist()]
        sweep = analysis["kind"] == "sweep"
        command = f"dc vpoint 0 {len(table) - 1} 1" if sweep else _transient(analysis)
        if analysis.get("code_models", False):
            self._load_code_models()
        started = time.perf_counter()
        try:
            self._shared.load_circuit(self._with_solver(text, sweep))
            self._check_log()
            loaded = time.perf_counter()
            self._shared.exec_command(command)
            self._check_log()
            solved = time.perf_counter()
            results = self._fetch_sweep(inputs, outputs, table) if sweep else self._fetch("tran", "time", outputs)[0]
        finally:
            # Without remcirc every circuit stays in memory.
            self._shared.exec_command("destroy all")
            self._shared.exec_command("remcirc")
        self.seconds = {"load": loaded - started, "solve": solved - loaded, "fetch": time.perf_counter() - solved}
        return results

    def _load_code_models(self) -> None:
        """Load XSPICE's digital models, which are next to the library if the package ngspice is installed."""
        path = Path(self.library).parent / "ngspice" / "digital.cm"
        if self._code_models or not re.fullmatch(r"[\w./+-]+", str(path)):
            return
        if not path.is_file():
            raise SpiceError(f"a model is missing: {path}; install it with: apt-get install ngspice", ())
        self._shared.exec_command(f"codemodel {path}")
        self._check_log()
        self._code_models = True

    def _fetch_sweep(self, inputs: list[str], outputs: list[str], table: NDArray[np.float64]) -> NDArray[np.float64]:
        results, plot = self._fetch("dc", None, outputs, len(table))
        for column, node in enumerate(inputs):
            if not np.allclose(plot[node.lower()], table[:, column], rtol=1e-12, atol=1e-15):
                raise SpiceError(f"ngspice did not apply the voltages of {node}", self._last_lines())
        return results

    def _fetch(
        self, kind: str, axis: str | None, outputs: list[str], points: int | None = None
    ) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
        """Return axis (else point numbers) and outputs, (points, 1 + outputs), and all vectors of the plot."""
        name = self._shared.last_plot
        if not name.startswith(kind):
            raise SpiceError("ngspice made no result", self._last_lines())
        plot = {key.lower(): vector._data for key, vector in self._shared.plot(None, name).items()}
        if axis is not None:
            points = plot[axis].size if axis in plot else 0
        if not points:
            raise SpiceError("ngspice made no result", self._last_lines())
        results = np.empty((points, 1 + len(outputs)))
        results[:, 0] = np.arange(points) if axis is None else plot[axis]
        for column, output in enumerate(outputs, start=1):
            vector = plot.get(output.lower())
            if vector is None or vector.shape != (points,):
                raise SpiceError(f"ngspice gave no result for {output} at all {points} points", self._last_lines())
            results[:, column] = vector
        if not np.isfinite(results).all():
            raise SpiceError("ngspice gave results that are not finite", self._last_lines())
        return results, plot

    def _with_solver(self, text: str, sweep: bool) -> str:
        """Select KLU where it is available; else give Sparse 1.3 an elimination order for a sweep."""
        if self.solver != KLU:
            return numbered(text) if sweep else text
        body, end, rest = text.rpartition(".end\n")
        return f"{body}.options klu pivrel={PIVOT}\n{end}{rest}"

    def _try_klu(self) -> bool:
        """Say whether KLU solves a voltage divider correctly, and was really used for it."""
        self._log.clear()
        self._point, self._table = 0, []
        text = ".title circuitmem\nVa a 0 dc 1\nRa a b 1\nRb b 0 1\nVpoint point 0 dc 0\n.options klu\n.end\n"
        try:
            self._shared.load_circuit(text)
            self._shared.exec_command("dc vpoint 0 0 1")
            results, _ = self._fetch("dc", None, ["b"], 1)
        except SpiceError:
            return False
        finally:
            self._shared.exec_command("destroy all")
            self._shared.exec_command("remcirc")
        return bool(abs(results[0, 1] - 0.5) < 1e-12) and any("Using KLU" in line for line in self._log)

    def _check_log(self) -> None:
        lines = [line for line in self._log if not _HARMLESS.search(line) or "singular matrix" in line]
        if not any(_FATAL.search(line) for line in lines):
            return
        text = "\n".join(lines)
        reason = next((reason for pattern, reason in _REASONS if pattern.search(text)), "ngspice reported an error")
        raise SpiceError(reason, self._last_lines())

    def _last_lines(self) -> tuple[str, ...]:
        """Return ngspice's last lines, without its notes on progress and without repetitions."""
        lines = (
            line.split("Warning: ")[-1].strip()
            for line in self._log
            if not _HARMLESS.search(line) or "singular" in line
        )
        return tuple(dict.fromkeys(line for line in lines if line))[-_KEPT_LINES:]


def _loaded_path() -> str | None:
    """Return the file of the libngspice that is mapped into this process (Linux only)."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return None
    paths = (line.split(maxsplit=5)[-1].strip() for line in maps.read_text().splitlines())
    return next((path for path in paths if "libngspice" in path), None)
