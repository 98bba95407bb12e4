"""The circuit of one tile for few input vectors: preconditioned conjugate gradients, or Newton steps."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuitmem._kernels import reference
from circuitmem._kernels.select import load_kernel, thread_count
from circuitmem.errors import ConvergenceError, ValidationError
from circuitmem.validation import in_range, integer

__all__ = ["MAX_ITERATIONS", "TOLERANCE", "MeshSolution", "solve_mesh", "solve_mesh_selector", "solve_mesh_sinh"]

Floats = NDArray[np.float64]

TOLERANCE = 1e-13
"""Largest error of a node voltage, relative to the largest voltage: what rounding errors allow at 512 x 512."""

MAX_ITERATIONS = 20_000
"""Iterations after which a vector is given up. A few are usual; cells of 1 S on wires of 20 Ω can take thousands."""

_compiled = load_kernel("mesh").module
_solve: Any = reference.solve if _compiled is None else _compiled.solve


class MeshSolution(NamedTuple):
    """The solved circuit of a batch of vectors; ``word`` and ``bit`` are None if they were not asked for.

    ``word``, ``bit`` : (batch, rows, columns) V, of the word-line and bit-line nodes.
    ``column_current`` : (batch, columns) A, into the sense amplifiers, both ends added.
    ``driver_current`` : (batch, rows) A, out of the drivers, both ends added.
    ``iterations`` : (batch,), of conjugate gradients.
    ``residual`` : (batch,), bound on the largest error of a node voltage or, where there is no bound, the largest
    element of the last correction to the state; relative to the largest voltage.
    ``unsettled`` : (batch,), change of the terminal currents by the last correction where it is too large, relative to
    the largest current of their kind; 0 elsewhere, and in all solutions that are returned.
    """

    word: Floats | None
    bit: Floats | None
    column_current: Floats
    driver_current: Floats
    iterations: NDArray[np.intc]
    residual: Floats
    unsettled: Floats


def solve_mesh(
    conductance: ArrayLike,
    word_resistance: ArrayLike,
    bit_resistance: ArrayLike,
    word_voltage: ArrayLike,
    *,
    injection: ArrayLike | None = None,
    estimate: ArrayLike | None = None,
    tolerance: float = TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
    threads: int | None = None,
    voltages: bool = True,
) -> MeshSolution:
    """Solve a tile with linear cells.

    Parameters
    ----------
    conductance : (rows, columns) or (batch, rows, columns) array_like
        Conductance of the cells [S], >= 0: the same for all vectors, or one matrix for each.
    word_resistance : (rows, columns + 1) array_like
        Word-line segments [Ω] as in :class:`circuitmem.tile.Mesh`: 0 is an ideal wire, ``inf`` a cut.
    bit_resistance : (rows + 1, columns) array_like
        Bit-line segments [Ω], likewise.
    word_voltage : (batch, rows) array_like
        Voltage of the drivers [V].
    injection : (batch, 2, rows, columns) array_like, optional
        Currents into the word-line nodes [:, 0] and the bit-line nodes [:, 1] [A]. The caller must not inject current
        into a part that is tied to no source and no ground: it would have nowhere to go.
    estimate : (batch, 2, rows, columns) array_like, optional
        Node voltages of the word lines [:, 0] and the bit lines [:, 1] to start from [V], from a solution with the same
        wires. A good one saves iterations; the tolerance holds with any. It is not used if a line is cut inside.
    tolerance : float
        Largest error of a node voltage, relative to the largest voltage.
    max_iterations : int
        Iterations of conjugate gradients after which a vector is given up.
    threads : int, optional
        Threads to use (see :func:`~circuitmem._kernels.select.thread_count`); the bits do not depend on it.
    voltages : bool
        Whether to return the node voltages, too.

    Raises
    ------
    ConvergenceError
        If a vector does not reach the tolerance.
    ValidationError
        If shapes disagree.
    """
    cells = np.ascontiguousarray(conductance, dtype=np.float64)
    if cells.ndim not in (2, 3):
        raise ValidationError("conductance", "must have two or three dimensions", cells.shape)
    shared = cells if cells.ndim == 3 else cells[None]
    arguments = (shared, word_resistance, bit_resistance, word_voltage, injection, estimate)
    return _run("a linear tile", *arguments, 0.0, 0.0, tolerance, max_iterations, threads, voltages)


def solve_mesh_sinh(
    conductance: ArrayLike,
    word_resistance: ArrayLike,
    bit_resistance: ArrayLike,
    word_voltage: ArrayLike,
    a: float,
    *,
    injection: ArrayLike | None = None,
    estimate: ArrayLike | None = None,
    tolerance: float = TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
    threads: int | None = None,
    voltages: bool = True,
) -> MeshSolution:
    """Solve a tile whose cells have ``I = G sinh(a V) / a``, by Newton's method on the exact Jacobian.

    Parameters are those of :func:`solve_mesh`, except:

    Parameters
    ----------
    conductance : (rows, columns) array_like
        Conductance of the cells at 0 V [S], >= 0.
    a : float
        Non-linearity [1/V], > 0.

    Raises
    ------
    ConvergenceError
        If a vector does not reach the tolerance.
    ValidationError
        If shapes disagree, or ``a`` is not > 0.
    """
    cells = np.ascontiguousarray(conductance, dtype=np.float64)
    if cells.ndim != 2:
        raise ValidationError("conductance", "must have two dimensions", cells.shape)
    if in_range("a", a, 0.0) == 0.0:
        raise ValidationError("a", "must be > 0", a)
    arguments = (cells[None], word_resistance, bit_resistance, word_voltage, injection, estimate)
    return _run("a tile of sinh cells", *arguments, float(a), 0.0, tolerance, max_iterations, threads, voltages)


def solve_mesh_selector(
    conductance: ArrayLike,
    word_resistance: ArrayLike,
    bit_resistance: ArrayLike,
    word_voltage: ArrayLike,
    leak: float,
    scale: float,
    *,
    estimate: ArrayLike | None = None,
    tolerance: float = TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
    threads: int | None = None,
    voltages: bool = True,
) -> MeshSolution:
    """Solve a tile whose cells are memristors behind selectors (:mod:`circuitmem._kernels.selector`).

    Parameters are those of :func:`solve_mesh`, except:

    Parameters
    ----------
    conductance : (rows, columns) array_like
        Conductance of the memristors [S], >= 0.
    leak : float
        Current scale of the selectors [A], > 0.
    scale : float
        Voltage scale of the selectors [V], > 0.

    Raises
    ------
    ConvergenceError
        If a vector does not reach the tolerance.
    ValidationError
        If shapes disagree, or a scale is not > 0.
    """
    cells = np.ascontiguousarray(conductance, dtype=np.float64)
    if cells.ndim != 2:
        raise ValidationError("conductance", "must have two dimensions", cells.shape)
    for name, value in (("leak", leak), ("scale", scale)):
        if in_range(name, value, 0.0) == 0.0:
            raise ValidationError(name, "must be > 0", value)
    arguments = (cells[None], word_resistance, bit_resistance, word_voltage, None, estimate)
    law = 1.0 / scale, float(leak)
    return _run("a tile of cells with selectors", *arguments, *law, tolerance, max_iterations, threads, voltages)


def _run(
    what: str,
    cells: Floats,
    word_resistance: ArrayLike,
    bit_resistance: ArrayLike,
    word_voltage: ArrayLike,
    injection: ArrayLike | None,
    estimate: ArrayLike | None,
    a: float,
    leak: float,
    tolerance: float,
    max_iterations: int,
    threads: int | None,
    voltages: bool,
) -> MeshSolution:
    """Check shapes, run the kernel, check convergence."""
    rows, columns = cells.shape[1:]
    source = np.ascontiguousarray(word_voltage, dtype=np.float64)
    if source.ndim != 2 or source.shape[1] != rows:
        raise ValidationError("word_voltage", f"must have shape (batch, {rows})", source.shape)
    batch = len(source)
    if len(cells) not in (1, batch):
        raise ValidationError("conductance", f"must be one matrix, or one for each of {batch} vectors", cells.shape)
    word = _shaped("word_resistance", word_resistance, (rows, columns + 1))
    bit = _shaped("bit_resistance", bit_resistance, (rows + 1, columns))
    extra = np.empty((0, 2, rows, columns))
    if injection is not None:
        extra = _shaped("injection", injection, (batch, 2, rows, columns))
    start = np.empty((0, 2, rows, columns))
    if estimate is not None:
        start = _estimate(_shaped("estimate", estimate, (batch, 2, rows, columns)), word, bit)
    tolerance = in_range("tolerance", tolerance, np.finfo(np.float64).eps)
    limit = integer("max_iterations", max_iterations, minimum=1)
    if batch == 0:
        empty = np.empty((0, rows, columns)) if voltages else None
        none = np.empty((0, columns)), np.empty((0, rows)), np.empty(0, np.intc), np.empty(0), np.empty(0)
        return MeshSolution(empty, empty, *none)
    solution = MeshSolution(
        *_solve(cells, word, bit, source, extra, start, a, leak, tolerance, limit, thread_count(threads), voltages)
    )
    failed = ~(solution.residual <= tolerance)
    if failed.any():
        worst = int(np.flatnonzero(failed)[np.argmax(solution.residual[failed])])
        raise ConvergenceError(what, float(solution.residual[worst]), tolerance, int(solution.iterations[worst]))
    if solution.unsettled.any():
        worst = int(np.argmax(solution.unsettled))
        reached, spent = float(solution.unsettled[worst]), int(solution.iterations[worst])
        raise ConvergenceError(f"the currents of {what}", reached, reference.CURRENTS * tolerance, spent)
    return solution


def _estimate(given: Floats, word: Floats, bit: Floats) -> Floats:
    """Check an estimate and return it; return an empty one if a part of a line may float: its voltage is defined as 0.

    The kernels count no current in an ideal wire, so they would never notice that the voltages of its ends differ.
    """
    if not np.isfinite(given).all():
        raise ValidationError("estimate", "must be finite")
    if np.isinf(word[:, 1:-1]).any() or np.isinf(bit[1:-1]).any():
        return given[:0]
    along = np.diff(given[:, 0], axis=2)[:, word[:, 1:-1] == 0.0]
    down = np.diff(given[:, 1], axis=1)[:, bit[1:-1] == 0.0]
    grounded = np.concatenate([given[:, 1, 0, bit[0] == 0.0], given[:, 1, -1, bit[-1] == 0.0]], axis=1)
    if along.any() or down.any() or grounded.any():
        raise ValidationError("estimate", "must have equal voltages where wires of 0 ohm join nodes")
    return given


def _shaped(name: str, value: ArrayLike, shape: tuple[int, ...]) -> Floats:
    array = np.ascontiguousarray(value, dtype=np.float64)
    if array.shape != shape:
        raise ValidationError(name, f"must have shape {shape}", array.shape)
    return array
