"""The exact transfer matrix of linear tiles, many tiles in one call: nested merging of blocks of cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from threadpoolctl import ThreadpoolController

from circuitmem._kernels import _reference_tree
from circuitmem._kernels.select import load_kernel, thread_count
from circuitmem.errors import ValidationError

__all__ = ["have_ideal_wires", "sense_ends", "transfer_of_ideal", "transfer_stack"]

IDEAL = {np.dtype(np.float64): 2.0**100, np.dtype(np.float32): 2.0**50}
"""Largest conductance of a wire segment, relative to the largest conductance of a cell. An ideal segment gets this.
It stays exact, because no conductance is ever subtracted: n ideal segments in a row change a current by n^2 / IDEAL of
itself, which even at n = 1000 is far below a rounding error (1e-16 and 6e-8)."""

_libraries = ThreadpoolController()
_compiled = load_kernel("tree").module
_transfer: Any = _reference_tree.transfer if _compiled is None else _compiled.transfer
_largest: Any = _reference_tree.largest if _compiled is None else _compiled.largest
_narrowed: Any = _reference_tree.narrowed if _compiled is None else _compiled.narrowed


def transfer_stack(
    conductance: ArrayLike,
    word_resistance: ArrayLike,
    bit_resistance: ArrayLike,
    *,
    dtype: DTypeLike = np.float64,
    threads: int | None = None,
    tiles: ArrayLike | None = None,
    out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the transfer matrices and the input admittances of a stack of tiles.

    Parameters
    ----------
    conductance : (tiles, rows, columns) array_like
        Conductance of the cells [S], >= 0.
    word_resistance : (rows, columns + 1) or (tiles, rows, columns + 1) array_like
        Word-line segments [Ω], >= 0, as in :class:`circuitmem.tile.Mesh`: 0 is an ideal wire, ``inf`` a cut or the
        lack of a second driver. The same for all tiles, or one matrix for each.
    bit_resistance : (rows + 1, columns) or (tiles, rows + 1, columns) array_like
        Bit-line segments [Ω], likewise.
    dtype : {float64, float32}
        Precision of the computation and of the result.
    threads : int, optional
        Threads to use (see :func:`~circuitmem._kernels.select.thread_count`); the bits do not depend on it.
    tiles : (some,) array_like of int, optional
        Tiles of the stack to compute, each once: those that have changed. All if left out.
    out : tuple of ndarray, optional
        Matrices of the whole stack, as returned before; their entries for ``tiles`` are replaced. They are the result.
        ``tiles`` and ``out`` must be given together.

    Returns
    -------
    matrix : (tiles, columns, rows) ndarray
        Current into the virtual ground of a column, both ends added, per volt on a driver with the others at 0 V [S].
    input_admittance : (tiles, rows, rows) ndarray
        Current out of a driver, both ends added, per volt on a driver [S]; symmetric.

    Raises
    ------
    ValidationError
        If shapes disagree, the precision is neither of the two, or a tile is not in the stack.
    """
    if tiles is not None or out is not None:
        return _replace(conductance, word_resistance, bit_resistance, np.dtype(dtype), threads, tiles, out)
    precision = np.dtype(dtype)
    if precision not in IDEAL:
        raise ValidationError("dtype", "must be float64 or float32", str(precision))
    cells = np.asarray(conductance, dtype=np.float64)
    if cells.ndim != 3 or 0 in cells.shape[1:]:
        raise ValidationError(
            "conductance", "must have shape (tiles, rows, columns), rows and columns >= 1", cells.shape
        )
    count, rows, columns = cells.shape
    word = _stacked("word_resistance", word_resistance, (count, rows, columns + 1))
    bit = _stacked("bit_resistance", bit_resistance, (count, rows + 1, columns))
    # Second ends of lines stay to the end of the elimination. Tiles with and without them are not computed together, so
    # that no tile's bits depend on its neighbours in the stack.
    ends = np.stack([np.isfinite(word[:, :, -1]).any(axis=1), np.isfinite(bit[:, 0]).any(axis=1)])
    if (ends != ends[:, :1]).any():
        return _by_ends(cells, word, bit, ends, precision, threads)
    ideal_wires = have_ideal_wires(cells, word, bit)
    if ideal_wires.any():
        matrix, admittance = np.empty((count, columns, rows), precision), np.empty((count, rows, rows), precision)
        for k in np.flatnonzero(ideal_wires):
            matrix[k], admittance[k] = _transfer_of_ideal(cells[k], bit[k % len(bit)])
        rest = ~ideal_wires
        if rest.any():
            some = (each[rest] if len(each) > 1 else each for each in (word, bit))
            matrix[rest], admittance[rest] = transfer_stack(cells[rest], *some, dtype=dtype, threads=threads)
        return matrix, admittance
    return _run_kernel(cells, word, bit, precision, threads)


def _replace(
    conductance: ArrayLike,
    word_resistance: ArrayLike,
    bit_resistance: ArrayLike,
    precision: np.dtype[Any],
    threads: int | None,
    tiles: ArrayLike | None,
    out: tuple[NDArray[Any], NDArray[Any]] | None,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Compute some tiles of a stack, and put the results in their places in ``out``."""
    if tiles is None or out is None:
        raise ValidationError("tiles", "must be given with out, and out with tiles")
    cells, word, bit = (np.asarray(each, dtype=np.float64) for each in (conductance, word_resistance, bit_resistance))
    some = np.asarray(tiles)
    if some.ndim != 1 or (some.size and some.dtype.kind not in "iu"):
        raise ValidationError("tiles", "must be integers, (some,)", some.shape)
    some = some.astype(np.int64)
    if some.size and not (some.min() >= 0 and some.max() < len(cells) and len(np.unique(some)) == len(some)):
        raise ValidationError("tiles", f"must be numbers from 0 to {len(cells) - 1}, each once", some.tolist())
    count, rows, columns = cells.shape if cells.ndim == 3 else (0, 0, 0)
    for array, shape in zip(out, ((count, columns, rows), (count, rows, rows)), strict=True):
        if array.shape != shape or array.dtype != precision:
            raise ValidationError("out", f"must have shape {shape} and be {precision}", (array.shape, str(array.dtype)))
    if not some.size:
        return out
    word = _stacked("word_resistance", word, (count, rows, columns + 1))
    bit = _stacked("bit_resistance", bit, (count, rows + 1, columns))
    in_place = all(array.flags.c_contiguous for array in out)
    if in_place and len(word) == len(bit) == 1 and not lines_are_ideal(word, bit).any():
        _run_kernel(cells, word, bit, precision, threads, some, out)
    else:
        wires = (each[0] if len(each) == 1 else each[some] for each in (word, bit))
        out[0][some], out[1][some] = transfer_stack(cells[some], *wires, dtype=precision, threads=threads)
    return out


def _run_kernel(
    cells: NDArray[np.float64],
    word: NDArray[np.float64],
    bit: NDArray[np.float64],
    precision: np.dtype[Any],
    threads: int | None,
    some: NDArray[np.int64] | None = None,
    out: tuple[NDArray[Any], NDArray[Any]] | None = None,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Compute tiles whose lines all have second ends, or none."""
    cells, count = np.ascontiguousarray(cells), thread_count(threads)
    largest = float(_largest(cells, some, count))
    # Powers of four round nothing, nor do their roots, so the bits of a tile do not depend on what else is in the
    # stack. Single precision is scaled to keep squares within its range.
    magnitude = 4.0 ** (np.frexp(largest)[1] // 2) if largest > 0.0 else 0.0
    scale = 1.0 / magnitude if precision == np.float32 and largest > 0.0 else 1.0
    ideal = IDEAL[precision] * magnitude * scale
    matrix, admittance = _transfer(
        cells if precision == np.float64 else _narrowed(cells, scale, some, count),
        _conductance(word, scale, ideal, precision),
        _conductance(bit, scale, ideal, precision),
        ideal,
        bool(np.isfinite(word[0, :, -1]).any()),
        bool(np.isfinite(bit[0, 0]).any()),
        count,
        some,
        out,
        1.0 / scale,
    )
    return matrix, admittance


def _by_ends(
    cells: NDArray[np.float64],
    word: NDArray[np.float64],
    bit: NDArray[np.float64],
    ends: NDArray[np.bool_],
    precision: np.dtype[Any],
    threads: int | None,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Compute tiles whose ``ends`` (2, tiles) are alike together, and put the results in order."""
    tiles, rows, columns = cells.shape
    matrix, admittance = np.empty((tiles, columns, rows), precision), np.empty((tiles, rows, rows), precision)
    word, bit = np.broadcast_to(word, (tiles, *word.shape[1:])), np.broadcast_to(bit, (tiles, *bit.shape[1:]))
    kind = np.broadcast_to(2 * ends[0] + ends[1], tiles)
    for each in np.unique(kind):
        own = kind == each
        matrix[own], admittance[own] = transfer_stack(cells[own], word[own], bit[own], dtype=precision, threads=threads)
    return matrix, admittance


def _stacked(name: str, value: ArrayLike, shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return the resistances as (1 or tiles, ...)."""
    array = np.asarray(value, dtype=np.float64)
    if array.shape not in (shape, shape[1:]):
        raise ValidationError(name, f"must have shape {shape[1:]} or {shape}", array.shape)
    return array if array.ndim == 3 else array[None]


def _conductance(resistance: NDArray[np.float64], scale: float, ideal: float, dtype: np.dtype[Any]) -> NDArray[Any]:
    with np.errstate(divide="ignore"):
        inverse = scale / resistance
    return np.ascontiguousarray(np.minimum(inverse, ideal, out=inverse), dtype=dtype)


def have_ideal_wires(
    cells: NDArray[np.float64],
    word: NDArray[np.float64],
    bit: NDArray[np.float64],
    lines: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Say which tiles have no wire resistance but that of their sense ends, no larger than that of the cells, (tiles,).

    Parameters
    ----------
    cells : (tiles, rows, columns) ndarray
        Cell conductances [S].
    word, bit : (1, rows, columns + 1) and (1, rows + 1, columns) ndarray, or one for each tile
        Segments [ohm], as in :func:`transfer_stack`.
    lines : (1,) or (tiles,) ndarray of bool, optional
        What :func:`lines_are_ideal` says of them, if that is known.
    """
    lines = lines_are_ideal(word, bit) if lines is None else lines
    if not lines.any():
        return np.zeros(len(cells), dtype=bool)
    # With larger sense ends, currents would be differences of larger currents, and lose digits; the tree kernel
    # subtracts nothing.
    ends = bit[:, [0, -1]].min(axis=1)
    sensed = np.isfinite(ends)  # a bit line of one cell may be cut off at both ends
    largest = ends.max(where=sensed, initial=0.0)
    if largest == 0.0 or cells.max(initial=0.0) * cells.shape[1] * largest <= 0.5:
        small = sensed.all(axis=1)  # no sum can reach the limit: so on nearly every chip, in a fifth of the time
    else:
        small = (sensed & (cells.sum(axis=1) * np.where(sensed, ends, 0.0) <= 1.0)).all(axis=1)
    return np.asarray(np.broadcast_to(lines, len(cells)) & small)


def lines_are_ideal(word: NDArray[np.float64], bit: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which tiles have lines without resistance but that of their sense ends, (tiles,) or (1,).

    Parameters
    ----------
    word, bit : (1, rows, columns + 1) and (1, rows + 1, columns) ndarray, or one for each tile
        Segments [ohm], as in :func:`transfer_stack`.
    """
    words = (word[:, :, 1:-1] == 0.0).all(axis=(1, 2)) & (word[:, :, [0, -1]].min(axis=2) == 0.0).all(axis=1)
    return np.asarray(words & (bit[:, 1:-1] == 0.0).all(axis=(1, 2)))


def transfer_of_ideal(
    conductance: NDArray[np.float64], word_resistance: NDArray[np.float64], bit_resistance: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the transfer matrix of a tile with ideal wires, and two vectors in place of its input admittance.

    The input admittance itself would take a product of matrices.

    Parameters
    ----------
    conductance, word_resistance, bit_resistance
        Those of one tile, as in :func:`transfer_stack`.

    Returns
    -------
    matrix : (columns, rows) ndarray
        As in :func:`transfer_stack` [S]. None instead of all three if the wires are not ideal.
    own : (rows,) ndarray
        Conductance of all cells of a word line [S].
    losses : (columns,) ndarray
        The power of voltages v whose column currents are I is ``own @ v**2 - losses @ I**2`` [ohm].
    """
    if not have_ideal_wires(conductance[None], word_resistance[None], bit_resistance[None])[0]:
        return None
    sense, factor = sense_ends(conductance, bit_resistance)
    return np.ascontiguousarray((conductance * factor).T), conductance.sum(axis=1), sense / factor


def sense_ends(cells: NDArray[np.float64], bit: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the resistance of the sense ends of each bit line, and the factor to which they reduce its current."""
    with np.errstate(divide="ignore"):
        sense = 1.0 / (1.0 / bit[0] + 1.0 / bit[-1])
    return sense, 1.0 / (1.0 + sense * cells.sum(axis=0))


def _transfer_of_ideal(
    cells: NDArray[np.float64], bit: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return transfer matrix and input admittance of a tile with ideal wires: every bit line is one node.

    With the resistance R of its sense ends a bit line is at the voltage R·I, so it draws ``I = G v / (1 + R·sum(G))``.
    Without that resistance the matrix is the transposed conductances, to the last bit.
    """
    sense, factor = sense_ends(cells, bit)
    lost = cells * np.sqrt(sense * factor)
    with _libraries.limit(limits=1, user_api="blas"):  # one order of summation, whatever BLAS's number of threads
        admittance = -(lost @ lost.T)
    admittance[np.diag_indices(len(cells))] += cells.sum(axis=1)
    return (cells * factor).T, admittance
