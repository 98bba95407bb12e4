"""The nodal equations of a tile as a sparse matrix, for the solvers that circuitmem is compared with."""

from __future__ import annotations

import ctypes
import ctypes.util
import weakref
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csc_array
from scipy.sparse.linalg import splu

Floats = NDArray[np.float64]


@dataclass
class Nodal:
    """Word-line nodes first, then bit-line nodes; drivers on the left, grounds at the bottom, every wire 1 ohm.

    ``matrix`` x = ``inputs`` v, and the column currents are the last ``columns`` elements of x.
    """

    matrix: csc_array
    inputs: csc_array
    columns: int


def assemble(conductance: Floats) -> Nodal:
    """Write down Kirchhoff's current law for conductances (rows, columns) S."""
    rows, columns = conductance.shape
    word = np.arange(rows * columns).reshape(rows, columns)
    bit = word + rows * columns
    first = np.concatenate([word.ravel(), word[:, :-1].ravel(), bit[:-1].ravel()])
    second = np.concatenate([bit.ravel(), word[:, 1:].ravel(), bit[1:].ravel()])
    siemens = np.concatenate([conductance.ravel(), np.ones(rows * (columns - 1) + (rows - 1) * columns)])
    size = 2 * rows * columns
    diagonal = np.bincount(first, siemens, size) + np.bincount(second, siemens, size)
    diagonal[word[:, 0]] += 1.0
    diagonal[bit[-1]] += 1.0
    every = np.arange(size)
    matrix = coo_array(
        (
            np.concatenate([diagonal, -siemens, -siemens]),
            (np.concatenate([every, first, second]), np.concatenate([every, second, first])),
        ),
        shape=(size, size),
    )
    inputs = coo_array((np.ones(rows), (word[:, 0], np.arange(rows))), shape=(size, rows))
    return Nodal(csc_array(matrix), csc_array(inputs), columns)


def superlu(nodal: Nodal) -> Callable[[Floats], Floats]:
    """Factor by SciPy's SuperLU; the result solves for (size, vectors)."""
    factors = splu(nodal.matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
    return lambda right: np.asarray(factors.solve(right))


def cholmod(nodal: Nodal) -> Callable[[Floats], Floats]:
    """Factor by CHOLMOD through scikit-sparse; ImportError if it is not installed."""
    from sksparse import cholmod as library

    if hasattr(library, "cholesky"):  # before scikit-sparse 0.5
        old_factor = library.cholesky(nodal.matrix)
        return lambda right: np.asarray(old_factor(right))
    factor = library.cho_factor(nodal.matrix)
    return lambda right: np.asarray(factor.solve(right))


def klu(nodal: Nodal) -> Callable[[Floats], Floats]:
    """Factor by KLU through ctypes; OSError if libklu is not installed."""
    name = ctypes.util.find_library("klu")
    if name is None:
        raise OSError("libklu is not installed")
    library = ctypes.CDLL(name)
    for function in ("klu_analyze", "klu_factor"):
        getattr(library, function).restype = ctypes.c_void_p
    size = nodal.matrix.shape[0]
    common = ctypes.create_string_buffer(1024)
    library.klu_defaults(common)
    pointers, indices = nodal.matrix.indptr.astype(np.int32), nodal.matrix.indices.astype(np.int32)
    values = nodal.matrix.data

    def at(array: NDArray[np.generic]) -> ctypes.c_void_p:
        return ctypes.c_void_p(array.ctypes.data)

    symbolic = ctypes.c_void_p(library.klu_analyze(size, at(pointers), at(indices), common))
    numeric = ctypes.c_void_p(library.klu_factor(at(pointers), at(indices), at(values), symbolic, common))
    if not symbolic or not numeric:
        raise OSError("libklu failed")

    def solve(right: Floats) -> Floats:
        result = np.asfortranarray(right.copy())
        vectors = 1 if right.ndim == 1 else right.shape[1]
        library.klu_solve(symbolic, numeric, size, vectors, at(result), common)
        return result

    def free() -> None:
        library.klu_free_numeric(ctypes.byref(numeric), common)
        library.klu_free_symbolic(ctypes.byref(symbolic), common)

    weakref.finalize(solve, free)
    return solve
