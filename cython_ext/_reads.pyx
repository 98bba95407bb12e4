"""Reads of a tile through its transfer matrix, converters included; ``circuitmem/_kernels/reads.py`` says it in NumPy.

Vectors are taken in panels, each by one thread from DAC to ADC, in the cache: so the bits do not depend on how many
threads there are. Within a panel ROWS vectors at a time are multiplied by a strip of columns, in registers.
"""

from cython.parallel cimport parallel, prange, threadid
from libc.math cimport rint
from libc.stdint cimport int64_t, uint64_t, uintptr_t
from libc.stdlib cimport free, malloc

from _openmp cimport HAS_OPENMP, SMALL
from _philox cimport normals
from _star cimport rank
from _vectors cimport (
    ROWS, STRIP, VECTOR_BYTES, double_load, double_store, double_transpose, get, lanes, put, vec_d, zero,
)

import numpy as np

OPENMP = bool(HAS_OPENMP)

cdef enum:
    PANEL = 64  # vectors that a thread takes at a time: a multiple of ROWS


cdef struct Converters:
    const double* table    # DAC voltages, (rows, levels); NULL if voltages are given, and currents wanted
    Py_ssize_t levels
    const double* factor   # of each channel: volts at the quantiser per ampere,
    const double* offset   # and volts at no current,
    const double* highest  # and its highest code
    double minimum, lsb, sigma
    const double* thresholds  # ascending, in LSB above the minimum, (columns, codes - 1); NULL: half-way between codes
    Py_ssize_t steps       # how many there are of each channel
    const double* normal   # the table of normal numbers; NULL without noise
    uint64_t key0, key1, operation
    Py_ssize_t skip        # vectors of this operation that were read before


cdef struct Read:
    Py_ssize_t batch, rows, columns, strips, row_strips
    const double* voltages
    const int64_t* codes
    const vec_d* matrix       # packed
    const vec_d* admittance   # packed, or NULL
    double* currents
    int64_t* answer
    double* power
    Converters converters


cdef inline void turn_in(const double* rows, Py_ssize_t count, Py_ssize_t depth, vec_d* out) noexcept nogil:
    """Turn up to as many rows as a vector has lanes: lane i of vector k becomes element k of row i, 0 beyond the last."""
    cdef vec_d tile[ROWS]  # as many as there are lanes
    cdef Py_ssize_t w = lanes(out), i, k = 0
    if count == w:
        while k + w <= depth:
            for i in range(ROWS):
                tile[i] = double_load(rows + i * depth + k)
            double_transpose(tile)
            for i in range(ROWS):
                out[k + i] = tile[i]
            k += w
    while k < depth:
        for i in range(w):
            put(out + k, i, rows[i * depth + k] if i < count else 0.0)
        k += 1


cdef inline void pack(const double[:, ::1] matrix, vec_d* packed, Py_ssize_t strip) noexcept nogil:
    """Bring as many rows of the matrix as a vector has lanes into an order in which one vector follows the other."""
    cdef Py_ssize_t w = lanes(packed), first = strip * w, depth = matrix.shape[1]
    turn_in(&matrix[first, 0], min(w, matrix.shape[0] - first), depth, packed + strip * depth)


cdef inline bint take_voltages(Read* r, Py_ssize_t first, Py_ssize_t count, vec_d* panel) noexcept nogil:
    """Fill a panel with the voltages of ``count`` vectors; returns whether a code was out of range."""
    cdef Py_ssize_t i, k, block, vector
    cdef int64_t code
    cdef bint wrong = False
    cdef double volts
    for block in range((count + ROWS - 1) // ROWS):
        vector = first + block * ROWS
        if r.converters.table == NULL:
            turn_in(
                r.voltages + vector * r.rows, min(<Py_ssize_t> ROWS, count - block * ROWS), r.rows, panel + block * r.rows
            )
            continue
        for k in range(r.rows):
            for i in range(ROWS):
                volts = 0.0
                if block * ROWS + i < count:
                    code = r.codes[(vector + i) * r.rows + k]
                    if <uint64_t> code >= <uint64_t> r.converters.levels:
                        wrong = True
                        code = 0
                    volts = r.converters.table[k * r.converters.levels + code]
                put(panel + block * r.rows + k, i, volts)
    return wrong


cdef inline int64_t pass_thresholds(const double* thresholds, Py_ssize_t top, double steps) noexcept nogil:
    """Count the thresholds that ``steps`` has reached, from where they would be without errors: that is near."""
    cdef double near = rint(steps)
    near = near if near > 0.0 else 0.0
    cdef Py_ssize_t code = <Py_ssize_t> (near if near < <double> top else <double> top)
    while code < top and thresholds[code] <= steps:
        code += 1
    while code > 0 and thresholds[code - 1] > steps:
        code -= 1
    return code


cdef inline void quantise_by_table(
    const Converters* c, const double* current, Py_ssize_t column, Py_ssize_t count, const double* noise, int64_t* out
) noexcept nogil:
    """As ``quantise_lanes``, with thresholds of each channel's own."""
    cdef Py_ssize_t j, top
    cdef double steps
    for j in range(count):
        steps = current[j] * c.factor[column + j] + c.offset[column + j]
        if noise != NULL:
            steps = steps + c.sigma * noise[column + j]
        steps = (steps - c.minimum) / c.lsb
        top = min(c.steps, <Py_ssize_t> c.highest[column + j])
        out[column + j] = pass_thresholds(c.thresholds + (column + j) * c.steps, top, steps)


cdef inline void quantise_lanes(
    const Converters* c, const double* current, Py_ssize_t column, Py_ssize_t count, const double* noise, int64_t* out
) noexcept nogil:
    cdef Py_ssize_t j
    cdef double steps, top
    for j in range(count):
        steps = current[j] * c.factor[column + j] + c.offset[column + j]
        if noise != NULL:
            steps = steps + c.sigma * noise[column + j]
        steps = rint((steps - c.minimum) / c.lsb)
        top = c.highest[column + j]
        steps = steps if steps > 0.0 else 0.0
        out[column + j] = <int64_t> (steps if steps < top else top)


cdef inline void quantise(
    Read* r, const vec_d* sums, Py_ssize_t row, Py_ssize_t vector, Py_ssize_t column, Py_ssize_t columns,
    const double* noise,
) noexcept nogil:
    """Turn the sums of one vector and strip into codes."""
    cdef Py_ssize_t s, w = lanes(sums)
    cdef int64_t* out = r.answer + vector * r.columns
    for s in range((columns + w - 1) // w):
        if r.converters.thresholds != NULL:
            quantise_by_table(
                &r.converters, <const double*> (sums + s * ROWS + row), column + s * w, min(w, columns - s * w),
                noise, out,
            )
            continue
        # The compiler unrolls what it knows the length of.
        if columns - s * w >= w:
            quantise_lanes(&r.converters, <const double*> (sums + s * ROWS + row), column + s * w, w, noise, out)
        else:
            quantise_lanes(
                &r.converters, <const double*> (sums + s * ROWS + row), column + s * w, columns - s * w, noise, out
            )


cdef inline void keep(
    Read* r, const vec_d* sums, Py_ssize_t row, Py_ssize_t vector, Py_ssize_t column, Py_ssize_t columns
) noexcept nogil:
    """Copy the sums of one vector and strip: they are the currents."""
    cdef Py_ssize_t j, w = lanes(sums), full = columns // w
    cdef double* out = r.currents + vector * r.columns + column
    for j in range(full):
        double_store(out + j * w, sums[j * ROWS + row])
    for j in range(full * w, columns):
        r.currents[vector * r.columns + column + j] = get(sums + (j // w) * ROWS + row, j % w)


cdef inline void multiply(
    const vec_d* matrix, Py_ssize_t strip, Py_ssize_t width, const vec_d* block, Py_ssize_t depth, vec_d* sums
) noexcept nogil:
    """Multiply ROWS vectors by ``width`` strips; row i of strip k becomes ``sums[k * ROWS + i]``."""
    cdef vec_d* to[3]
    cdef vec_d* start[3]
    cdef vec_d* b[3]
    cdef vec_d zeros[ROWS]
    cdef Py_ssize_t i
    for i in range(ROWS):
        zeros[i] = zero(sums)
    for i in range(width):
        to[i], start[i], b[i] = sums + i * ROWS, zeros, <vec_d*> matrix + (strip + i) * depth
    rank(width, to, start, block, 0, b, depth)


cdef inline void add_power(Read* r, const vec_d* block, Py_ssize_t first, Py_ssize_t count) noexcept nogil:
    """Work out the power of ROWS vectors v: the sum of ``v`` times ``admittance @ v``."""
    cdef vec_d sums[3 * ROWS]
    cdef vec_d total[ROWS]
    cdef vec_d volts
    cdef Py_ssize_t w = lanes(sums), strip = 0, width, s, i, l
    cdef double power
    for i in range(ROWS):
        total[i] = zero(sums)
    while strip < r.row_strips:
        width = min(<Py_ssize_t> STRIP, r.row_strips - strip)
        multiply(r.admittance, strip, width, block, r.rows, sums)
        for s in range(width):
            for i in range(ROWS):
                for l in range(w):
                    put(&volts, l, get(block + (strip + s) * w + l, i) if (strip + s) * w + l < r.rows else 0.0)
                total[i] = total[i] + sums[s * ROWS + i] * volts
        strip += width
    for i in range(count):
        power = 0.0
        for l in range(w):
            power = power + get(total + i, l)
        r.power[first + i] = power


cdef bint read_panel(Read* r, Py_ssize_t first, char* memory) noexcept nogil:
    cdef vec_d* panel = <vec_d*> memory
    cdef double* noise = <double*> (panel + PANEL // ROWS * r.rows)
    cdef vec_d sums[3 * ROWS]
    cdef Py_ssize_t count = min(<Py_ssize_t> PANEL, r.batch - first), w = lanes(panel), strip = 0, width, block, i
    cdef Py_ssize_t vector, columns, place
    cdef Converters* c = &r.converters
    cdef bint wrong = take_voltages(r, first, count, panel)
    if c.normal != NULL:
        place = (c.skip + first) * r.columns
        normals(
            c.key0, c.key1, 1 + place // 8, c.operation, (place % 8 + count * r.columns + 7) // 8, c.normal, noise
        )
        noise = noise + place % 8
    while strip < r.strips:
        width = min(<Py_ssize_t> STRIP, r.strips - strip)
        columns = min(width * w, r.columns - strip * w)
        for block in range((count + ROWS - 1) // ROWS):
            multiply(r.matrix, strip, width, panel + block * r.rows, r.rows, sums)
            for i in range(min(<Py_ssize_t> ROWS, count - block * ROWS)):
                vector = block * ROWS + i
                if r.answer == NULL:
                    keep(r, sums, i, first + vector, strip * w, columns)
                else:
                    quantise(
                        r, sums, i, first + vector, strip * w, columns,
                        NULL if c.normal == NULL else noise + vector * r.columns,
                    )
        strip += width
    if r.admittance != NULL:
        for block in range((count + ROWS - 1) // ROWS):
            add_power(r, panel + block * r.rows, first + block * ROWS, min(<Py_ssize_t> ROWS, count - block * ROWS))
    return wrong


cdef bint run(
    Read* r, const double[:, ::1] matrix, const double[:, ::1] admittance, char* memory, Py_ssize_t share, int threads
) noexcept nogil:
    """Pack the matrices and read all panels; ``share`` bytes of the memory are each thread's."""
    cdef vec_d* packed = <vec_d*> memory
    cdef vec_d* packed_admittance = packed + r.strips * r.rows
    cdef char* own = <char*> (packed_admittance + r.row_strips * r.rows)
    cdef Py_ssize_t panels = (r.batch + PANEL - 1) // PANEL, i
    cdef int wrong = 0
    r.matrix, r.admittance = packed, packed_admittance if r.power != NULL else NULL
    with parallel(num_threads=threads):  # one region: to wake a thread takes as long as a small read
        for i in prange(r.strips, schedule="static"):
            pack(matrix, packed, i)
        for i in prange(r.row_strips, schedule="static"):
            pack(admittance, packed_admittance, i)
        for i in prange(panels, schedule="static"):
            wrong += read_panel(r, i * PANEL, own + threadid() * share)
    return wrong > 0


cdef bint start(Read* r, const double[:, ::1] matrix, const double[:, ::1] admittance, int threads) except -1:
    """Read ``r``, whose matrices are still to be packed; returns whether a code was out of range."""
    cdef Py_ssize_t w = VECTOR_BYTES // 8, share, size
    cdef char* memory
    cdef bint wrong
    r.columns, r.rows = matrix.shape[0], matrix.shape[1]
    r.strips, r.row_strips = (r.columns + w - 1) // w, (r.rows + w - 1) // w if r.power != NULL else 0
    share = PANEL * (r.rows + r.columns + 8) * 8 // 64 * 64 + 64
    if r.batch * r.rows * r.columns < SMALL:
        threads = 1
    size = (r.strips + r.row_strips) * r.rows * VECTOR_BYTES + threads * share + 64
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
    r.converters.table = r.converters.normal = NULL
    start(&r, matrix, matrix, threads)
    return found


def read_codes(
    const int64_t[:, ::1] codes, const double[:, ::1] matrix, const double[:, ::1] admittance,
    const double[:, ::1] table, const double[::1] factor, const double[::1] offset, const double[::1] highest,
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
    if admittance is None:
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
