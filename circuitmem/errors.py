"""Every error that circuitmem raises on purpose.

Each one also subclasses the builtin that a caller who has never heard of circuitmem would catch.
Messages are one line: the name of the parameter, the rule it breaks, and the value that broke it.
"""

from __future__ import annotations

import re

__all__ = [
    "ChipBrokenError",
    "CircuitmemError",
    "ConvergenceError",
    "DataFileError",
    "RunBusyError",
    "SpiceError",
    "SpiceMemoryError",
    "SpiceTimeoutError",
    "SpiceUnavailableError",
    "SpiceWorkerError",
    "StudyBusyError",
    "ValidationError",
    "WorkerLostError",
]


class CircuitmemError(Exception):
    """Base of all circuitmem errors."""

    # ``args`` are the arguments of ``__init__``, from which SimPy constructs the error again.
    message: str | None = None

    def __reduce__(self) -> tuple[object, ...]:
        """Let the error be pickled between processes; without this, Dask's own pickling fails for OSErrors."""
        return _again, (type(self), self.args, vars(self))

    def __str__(self) -> str:
        return super().__str__() if self.message is None else self.message


class ValidationError(CircuitmemError, ValueError):
    """A parameter breaks a rule.

    Parameters
    ----------
    name : str
        The parameter as the user wrote it, e.g. ``"rows"`` or ``"tile.rows"``.
    rule : str
        What must hold, completing the sentence "<name> ...", e.g. ``"must be >= 1"``.
    value : object, optional
        The offending value; shown when given.
    """

    def __init__(self, name: str, rule: str, value: object = None) -> None:
        self.name = name
        self.rule = rule
        self.value = value
        shown = "" if value is None else f" (got {_short(value)})"
        self.message = _one_line(f"{name} {rule}{shown}")
        super().__init__(name, rule, value)

    def within(self, prefix: str) -> ValidationError:
        """Return the same error seen from an enclosing structure named ``prefix``."""
        return ValidationError(f"{prefix}.{self.name}", self.rule, self.value)


class DataFileError(CircuitmemError, OSError):
    """A file is missing, cut short, corrupt, or not what it claims to be."""

    def __init__(self, path: object, rule: str) -> None:
        self.path = str(path)
        self.rule = rule
        self.message = _one_line(f"{path}: {rule}")
        super().__init__(path, rule)


class ConvergenceError(CircuitmemError, RuntimeError):
    """An iterative solver stopped before it reached its tolerance.

    Parameters
    ----------
    what : str
        What was being solved.
    residual : float
        The relative residual reached.
    tolerance : float
        The relative residual asked for.
    iterations : int
        Iterations spent.
    """

    def __init__(self, what: str, residual: float, tolerance: float, iterations: int) -> None:
        self.residual = residual
        self.tolerance = tolerance
        self.iterations = iterations
        self.message = (
            f"{what} did not converge: residual {residual:.3g} > tolerance {tolerance:.3g}"
            f" after {iterations} iterations"
        )
        super().__init__(what, residual, tolerance, iterations)


class SpiceError(CircuitmemError, RuntimeError):
    """A circuit simulator, ngspice or VACASK, could not simulate a circuit.

    Parameters
    ----------
    reason : str
        One line that says what went wrong.
    log : sequence of str, optional
        The last lines that the simulator itself printed.
    simulator : str
        Its name.
    """

    def __init__(self, reason: str, log: tuple[str, ...] = (), simulator: str = "ngspice") -> None:
        self.reason = reason
        self.log = tuple(log)
        self.simulator = simulator
        detail = f"; {simulator} said: {' | '.join(self.log)}" if self.log else ""
        self.message = f"{reason}{detail}"
        super().__init__(reason, log, simulator)


class SpiceUnavailableError(SpiceError):
    """The circuit simulator is not installed, or does not start."""


class SpiceTimeoutError(SpiceError, TimeoutError):
    """A circuit simulator did not answer within the time limit."""


class SpiceMemoryError(SpiceError):
    """A circuit, or the results to be saved from it, need more memory than a worker may use."""


class SpiceWorkerError(SpiceError):
    """The process in which a circuit simulator ran ended before it answered."""


class ChipBrokenError(CircuitmemError, RuntimeError):
    """A chip was stopped while its cells were being programmed: their conductances are no longer known."""


class WorkerLostError(CircuitmemError, RuntimeError):
    """A worker process of a study died repeatedly while it computed the same point."""


class RunBusyError(CircuitmemError, RuntimeError):
    """Another process works on the same run."""


class StudyBusyError(CircuitmemError, RuntimeError):
    """Another process works on the same study in the same folder."""


def _again(kind: type[CircuitmemError], words: tuple[object, ...], attributes: dict[str, object]) -> CircuitmemError:
    """Construct an error again from its class, arguments and attributes."""
    error = kind(*words)
    vars(error).update(attributes)
    return error


def _one_line(text: str) -> str:
    """Return a text with one space for each run of line breaks and control characters, which names may have."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text)


def _short(value: object, limit: int = 80) -> str:
    """Return ``repr(value)`` on one line, cut to ``limit`` characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
