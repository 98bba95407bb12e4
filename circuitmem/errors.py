"""Every error that circuitmem raises on purpose.

Each one also subclasses the builtin that a caller who has never heard of circuitmem would catch.
Messages are one line: the name of the parameter, the rule it breaks, and the value that broke it.
"""

from __future__ import annotations

__all__ = [
    "CircuitmemError",
    "ConvergenceError",
    "DataFileError",
    "SpiceError",
    "SpiceMemoryError",
    "SpiceTimeoutError",
    "SpiceUnavailableError",
    "SpiceWorkerError",
    "ValidationError",
]


class CircuitmemError(Exception):
    """Base of all circuitmem errors."""

    def __reduce__(self) -> tuple[object, ...]:
        """Let the error cross processes: by default it would be made again from its message alone, and fail."""
        return _again, (type(self), self.args, vars(self))


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
        super().__init__(f"{name} {rule}{shown}")

    def within(self, prefix: str) -> ValidationError:
        """Return the same error seen from an enclosing structure named ``prefix``."""
        return ValidationError(f"{prefix}.{self.name}", self.rule, self.value)


class DataFileError(CircuitmemError, OSError):
    """A file is missing, cut short, corrupt, or not what it claims to be."""

    def __init__(self, path: object, rule: str) -> None:
        self.path = str(path)
        self.rule = rule
        super().__init__(f"{path}: {rule}")


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
        super().__init__(
            f"{what} did not converge: residual {residual:.3g} > tolerance {tolerance:.3g}"
            f" after {iterations} iterations"
        )


class SpiceError(CircuitmemError, RuntimeError):
    """ngspice could not simulate a circuit.

    Parameters
    ----------
    reason : str
        One line that says what went wrong.
    log : sequence of str, optional
        The last lines that ngspice itself printed.
    """

    def __init__(self, reason: str, log: tuple[str, ...] = ()) -> None:
        self.reason = reason
        self.log = tuple(log)
        detail = f"; ngspice said: {' | '.join(self.log)}" if self.log else ""
        super().__init__(f"{reason}{detail}")


class SpiceUnavailableError(SpiceError):
    """No usable ngspice library is installed."""


class SpiceTimeoutError(SpiceError, TimeoutError):
    """ngspice did not answer within the time limit."""


class SpiceMemoryError(SpiceError):
    """A circuit, or what was to be saved of it, needs more memory than a worker may take."""


class SpiceWorkerError(SpiceError):
    """The process in which ngspice ran ended before it answered."""


def _again(kind: type[CircuitmemError], words: tuple[object, ...], attributes: dict[str, object]) -> CircuitmemError:
    """Make an error as it was, without a call of its ``__init__``."""
    # OSError has a layout of its own, and its __new__ must be called by name where RuntimeError comes before it.
    base = OSError if issubclass(kind, OSError) else Exception
    error = base.__new__(kind, *words)
    error.args = words
    vars(error).update(attributes)
    return error


def _short(value: object, limit: int = 80) -> str:
    """Return ``repr(value)`` on one line, cut to ``limit`` characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
