"""Reads of a tile through its transfer matrix, converters included; ``circuitmem/_kernels/reads.py`` says it in NumPy.

Vectors are taken in panels (``panel.pxd``), each by one thread from DAC to ADC, in the cache: so the bits do not depend
on how many threads there are.
"""

from cython.parallel cimport parallel, prange, threadid
from libc.stdint cimport int64_t, uint64_t, uintptr_t
from libc.stdlib cimport free, malloc

from simd.threads cimport HAS_OPENMP, SMALL
from reads.panel cimport PANEL, Read, add_rest, pack, panel_bytes, read_panel, set_rest
from simd.philox cimport normals
from reads.quantise cimport Converters
from simd.vectors cimport VECTOR_BYTES, lanes, put, wide_d

import numpy as np

OPENMP = bool(HAS_OPENMP)


cdef bint run(
    Read* r, const double[:, ::1] matrix, const double[:, ::1] admittance, char* memory, Py_ssize_t share, int threads
) noexcept nogil:
    """Pack the matrices and read all panels; ``share`` bytes of the memory are each thread's."""
    cdef wide_d* packed = <wide_d*> memory
    cdef wide_d* packed_admittance = packed + r.strips * r.rows
    cdef char* own
    cdef Py_ssize_t panels = (r.batch + PANEL - 1) // PANEL, i
    cdef int wrong = 0
    r.matrix, r.admittance = packed, packed_admittance if r.row_strips > 0 else NULL
    r.rest = packed_admittance + r.row_strips * r.rows
    r.rest_currents = r.rest + r.rows
    r.rest_drivers = r.rest_currents + r.strips
    r.lost = r.rest_drivers + r.row_strips
    own = <char*> (r.lost + r.strips)
    if r.own != NULL:
        for i in range(r.strips * lanes(packed)):
            put(r.lost, i, r.losses[i] if i < r.columns else 0.0)
    r.rest_moved = <int*> own
    own = own + (r.rows * sizeof(int) // 64 + 1) * 64
    set_rest(r)
    with parallel(num_threads=threads):  # one region: to wake a thread takes as long as a small read
        for i in prange(r.strips, schedule="static"):
            pack(matrix, packed, i)
            add_rest(r, packed + i * r.rows, r.rest_currents + i)
        for i in prange(r.row_strips, schedule="static"):
            pack(admittance, packed_admittance, i)
            add_rest(r, packed_admittance + i * r.rows, r.rest_drivers + i)
        for i in prange(panels, schedule="static"):
            wrong += read_panel(r, i * PANEL, own + threadid() * share)
    return wrong > 0


cdef bint start(Read* r, const double[:, ::1] matrix, const double[:, ::1] admittance, int threads) except -1:
    """Read ``r``, whose matrices are still to be packed; returns whether a code was out of range."""
    cdef Py_ssize_t w = VECTOR_BYTES // 8, share, size
    cdef char* memory
    cdef bint wrong
    r.columns, r.rows = matrix.shape[0], matrix.shape[1]
    r.strips = (r.columns + w - 1) // w
    r.row_strips = (r.rows + w - 1) // w if r.power != NULL and r.own == NULL else 0
    share = panel_bytes(r.rows, r.columns)
    r.listed = NULL
    if r.batch * r.rows * r.columns < SMALL:
        threads = 1
    size = ((r.strips + r.row_strips) * (r.rows + 1) + r.rows + r.strips) * VECTOR_BYTES
    size = size + (r.rows * <Py_ssize_t> sizeof(int) // 64 + 1) * 64 + threads * share + 64
    memory = <char*> malloc(size)
    if memory == NULL:
        raise MemoryError(f"{size} bytes for a read")
    try:
        with nogil:
            wrong = run(r, matrix, admittance, memory + (64 - <uintptr_t> memory % 64), share, threads)
    finally:
        free(memory)
    return wrong


def read_currents(const double[:, ::1] voltages, const double[:, ::1] matrix, int threads):
    """Return the column currents, (batch, columns) A."""
    cdef Read r
    r.batch = voltages.shape[0]
    found = np.empty((voltages.shape[0], matrix.shape[0]))
    cdef double[:, ::1] out = found
    if found.size == 0:
        return found
    r.voltages, r.codes, r.answer, r.power, r.currents = &voltages[0, 0], NULL, NULL, NULL, &out[0, 0]
    r.own = r.losses = NULL
    r.converters.table = r.converters.normal = NULL
    start(&r, matrix, matrix, threads)
    return found


def read_codes(
    const int64_t[:, ::1] codes, const double[:, ::1] matrix, const double[:, ::1] admittance,
    const double[::1] own, const double[::1] losses, const double[:, ::1] table, const double[::1] factor, const double[::1] offset, const double[::1] highest,
    double minimum, double lsb, double sigma, const double[:, ::1] thresholds, const double[:, ::1] normal,
    uint64_t key0, uint64_t key1, uint64_t operation, Py_ssize_t skip, int threads,
):
    """Return whether all DAC codes were in range, the ADC codes (batch, columns), and the power (batch,) W."""
    cdef Read r
    cdef Converters* c = &r.converters
    r.batch = codes.shape[0]
    found, watts = np.empty((codes.shape[0], matrix.shape[0]), dtype=np.int64), np.zeros(codes.shape[0])
    cdef int64_t[:, ::1] answer = found
    cdef double[::1] power = watts
    if found.size == 0:
        return True, found, watts
    r.voltages, r.codes, r.answer, r.power, r.currents = NULL, &codes[0, 0], &answer[0, 0], &power[0], NULL
    r.own = &own[0] if own is not None else NULL
    r.losses = &losses[0] if own is not None else NULL
    if admittance is None and own is None:
        r.power = NULL
    c.table, c.levels = &table[0, 0], table.shape[1]
    c.factor, c.offset, c.highest = &factor[0], &offset[0], &highest[0]
    c.minimum, c.lsb, c.sigma = minimum, lsb, sigma
    c.thresholds = &thresholds[0, 0] if thresholds is not None else NULL
    c.steps = thresholds.shape[1] if thresholds is not None else 0
    c.normal = &normal[0, 0] if sigma > 0.0 else NULL
    c.key0, c.key1, c.operation, c.skip = key0, key1, operation, skip
    return not start(&r, matrix, admittance, threads), found, watts


def standard_normal(uint64_t key0, uint64_t key1, uint64_t operation, Py_ssize_t count, const double[:, ::1] normal):
    """Return the first ``count`` numbers of an operation."""
    found = np.empty((count + 7) // 8 * 8)
    cdef double[::1] out = found
    if count > 0:
        normals(key0, key1, 1, operation, (count + 7) // 8, &normal[0, 0], &out[0])
    return found[:count]
