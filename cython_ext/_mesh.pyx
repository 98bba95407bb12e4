"""The circuit of one tile, solved for single input vectors, several at a time on threads.

Unknowns are the voltages of the word-line and bit-line nodes. Given the voltages of the one kind of lines, each line
of the other kind is a ladder, which two recursions solve exactly. The word lines are eliminated, and conjugate
gradients solve for the bit lines, preconditioned by the bit-line ladders alone. From the true residual of the state
so found comes a correction, until a bound on the error, or the correction itself, is within the tolerance.
``circuitmem/_kernels/reference.py`` says the same in NumPy; ``_ladder.pxd`` explains the ladders and the layouts.
"""

from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, expm1, fabs, isfinite

from _ladder cimport Ladders, Wires, from_word_layout, prepare, to_word_layout, word_lines, word_to_bit_layout
from _lanes cimport HAS_OPENMP, LANES, larger, largest, magnitude, splat, total, transpose, vec

import numpy as np

OPENMP = bool(HAS_OPENMP)

# Largest amplification with which a bound decides convergence; above it rounding errors would hide behind it.
cdef double TRUSTED = 1e4
# How far a correction reduces its residual, and how many of them a solution may need.
cdef double REDUCTION = 1e-5
cdef int ROUNDS = 100


cdef struct Problem:
    Wires wires
    Ladders shared
    vec* word_mask  # 1 where wires join a node to a driver, 0 where it floats; word layout
    vec* bit_mask  # the same for sense amplifiers; bit layout
    double a, tolerance
    int max_iterations


cdef struct Work:
    Ladders own  # for conductances that belong to one vector
    vec* source  # voltage of the drivers, one vector a block
    vec* carry  # one a group of columns
    vec* line  # one block of word lines
    vec* y  # bit layout; all others word layout
    vec* word_in  # currents injected into the nodes
    vec* bit_in
    vec* w  # the state
    vec* b
    vec* rw  # residual currents of the word-line and bit-line nodes
    vec* r
    vec* dw  # the correction
    vec* db
    vec* q
    vec* p
    vec* ph
    vec* cell
    vec* trial_w
    vec* trial_b
    int iterations


cdef double bits_down(Wires* t, Ladders* c, Work* k, double alpha) noexcept nogil:
    """Subtract ``alpha q`` from the residual r, begin to solve the bit lines for it, and return (r, z)."""
    cdef Py_ssize_t block, group, l, o, e
    cdef vec tile[LANES]
    cdef vec value, part, step = splat(alpha), rho = splat(0.0)
    for group in range(t.groups):
        k.carry[group] = splat(0.0)
    for block in range(t.blocks):
        for group in range(t.groups):
            o = block * t.width + group * LANES
            for l in range(LANES):
                value = k.r[o + l] - step * k.q[o + l]
                k.r[o + l] = value
                tile[l] = value
            transpose(tile)
            value = k.carry[group]
            e = block * LANES * t.groups + group
            for l in range(LANES):
                value = tile[l] + value
                part = c.bit_s[e] * value
                rho = rho + part * value
                k.y[e] = part
                value = c.bit_t[e] * value
                e = e + t.groups
            k.carry[group] = value
    return total(rho)


cdef double bits_up(Wires* t, Ladders* c, Work* k, double alpha, double beta, double* z_max) noexcept nogil:
    """Finish z, take the last step ``alpha p``, make the next direction p and q = S p; return (p, q).

    ``ph`` is A p, where A is the matrix of the bit lines: it follows from A z = r, so that A, whose elements may be
    infinite, is never multiplied.
    """
    cdef Py_ssize_t block, group, l, j, o, e
    cdef vec tile[LANES]
    cdef vec value, p, along, step = splat(alpha), turn = splat(beta), pq = splat(0.0), high = splat(0.0)
    for group in range(t.groups):
        k.carry[group] = splat(0.0)
    for block in range(t.blocks - 1, -1, -1):
        along = splat(0.0)
        for group in range(t.groups - 1, -1, -1):
            value = k.carry[group]
            e = ((block + 1) * LANES - 1) * t.groups + group
            for l in range(LANES - 1, -1, -1):
                value = c.bit_t[e] * value + k.y[e]
                tile[l] = value
                e = e - t.groups
            k.carry[group] = value
            transpose(tile)
            for l in range(LANES - 1, -1, -1):
                o = block * t.width + group * LANES + l
                high = larger(high, magnitude(tile[l]))
                p = k.p[o]
                k.db[o] = k.db[o] + step * p
                p = tile[l] + turn * p
                k.p[o] = p
                k.ph[o] = k.r[o] + turn * k.ph[o]
                along = c.g[o] * p + along
                k.line[group * LANES + l] = c.word_s[o] * along
                along = c.word_t[o] * along
        along = splat(0.0)
        for j in range(t.width):
            o = block * t.width + j
            along = c.word_t[o] * along + k.line[j]
            value = k.ph[o] - c.g[o] * along
            k.q[o] = value
            pq = pq + k.p[o] * value
    z_max[0] = largest(high)
    return total(pq)


cdef void start(Wires* t, Work* k) noexcept nogil:
    cdef Py_ssize_t o
    for o in range(t.size):
        k.db[o] = splat(0.0)
        k.q[o] = splat(0.0)
        k.p[o] = splat(0.0)
        k.ph[o] = splat(0.0)


cdef double gradients(
    Problem* s, Ladders* c, Work* k, double reduction, double goal, double accept
) noexcept nogil:
    """Solve S db = r until max|z| <= goal, or <= reduction * max|z| of the start; return max|z| of the start.

    Returns at once, with db = 0, if max|z| of the start is at most ``accept``.
    """
    cdef double rho, rho_before = 1.0, pq, alpha = 0.0, beta = 0.0, z = 0.0, z_start = -1.0
    # A hard tile takes about as many iterations as it has lines. Far beyond that rounding errors are in charge, and a
    # fresh residual helps more.
    cdef int limit = min(s.max_iterations, k.iterations + 10 * <int> (s.wires.rows + s.wires.columns) + 100)
    start(&s.wires, k)
    while True:
        rho = bits_down(&s.wires, c, k, alpha)
        beta = 0.0 if z_start < 0.0 else rho / rho_before
        rho_before = rho
        pq = bits_up(&s.wires, c, k, alpha, beta, &z)
        if z_start < 0.0:
            z_start = z
            if z <= accept:
                return z_start
            goal = max(goal, reduction * z_start)
        # A direction without positive energy is made of rounding errors only: no step can improve on it.
        if z <= goal or k.iterations >= limit or not (pq > 0.0) or not isfinite(rho):
            return z_start
        alpha = rho / pq
        k.iterations += 1


cdef void cell_currents(Problem* s, const vec* g, const vec* w, const vec* b, vec* current, vec* slope) noexcept nogil:
    """``I = g sinh(a V) / a`` (a = 0: ``g V``) and, unless NULL, its slope."""
    cdef Py_ssize_t o
    cdef double x, grow
    cdef const double* gs = <const double*> g
    cdef const double* ws = <const double*> w
    cdef const double* bs = <const double*> b
    cdef double* out = <double*> current
    cdef double* slopes = <double*> slope
    if s.a == 0.0:
        for o in range(s.wires.size):
            current[o] = g[o] * (w[o] - b[o])
        return
    for o in range(s.wires.size * LANES):
        x = s.a * (ws[o] - bs[o])
        grow = expm1(fabs(x))
        out[o] = gs[o] / s.a * (0.5 if x >= 0.0 else -0.5) * (grow + grow / (grow + 1.0))
        if slope != NULL:
            slopes[o] = gs[o] * (1.0 + 0.5 * grow * (grow / (grow + 1.0)))


cdef double residual(Problem* s, const vec* g, Work* k, const vec* w, const vec* b, vec* slope) noexcept nogil:
    """Kirchhoff's residual of a state, to k.rw and k.r; returns the largest magnitude among the voltages.

    A cell's current enters both with the same bits, and wire currents are differences: so the sum over an almost
    floating part keeps its digits.
    """
    cdef Wires* t = &s.wires
    cdef Py_ssize_t block, group, l, j, i, o, e
    cdef vec tile[LANES]
    cdef vec value, left, wire, high = splat(0.0)
    cell_currents(s, g, w, b, k.cell, slope)
    for block in range(t.blocks):
        left = k.source[block]
        for j in range(t.columns):
            o = block * t.width + j
            value = w[o]
            high = larger(high, larger(magnitude(value), magnitude(b[o])))
            wire = (left - value) * t.word_inverse[o]
            k.rw[o] = wire - k.cell[o] + k.word_in[o]
            if j > 0:
                k.rw[o - 1] = k.rw[o - 1] - wire
            left = value
        o = block * t.width + t.columns - 1
        k.rw[o] = k.rw[o] + (k.source[block] - left) * t.word_far_inverse[block]
    word_to_bit_layout(t, b, k.y)
    for block in range(t.blocks):
        for group in range(t.groups):
            for l in range(LANES):
                i = block * LANES + l
                e = i * t.groups + group
                value = k.y[e]
                if i == 0:
                    wire = -value * t.bit_far_inverse[group]
                else:
                    wire = (k.y[e - t.groups] - value) * t.bit_inverse[e - t.groups]
                if i + 1 < t.lines:
                    value = value - k.y[e + t.groups]
                tile[l] = wire - value * t.bit_inverse[e]
            transpose(tile)
            for l in range(LANES):
                o = block * t.width + group * LANES + l
                k.r[o] = tile[l] + k.cell[o] + k.bit_in[o]
    return largest(high)


cdef double power_along(Wires* t, Work* k) noexcept nogil:
    """Residual times correction: how fast the content of the network falls along the correction."""
    cdef Py_ssize_t o
    cdef vec power = splat(0.0)
    for o in range(t.size):
        power = power + k.rw[o] * k.dw[o] + k.r[o] * k.db[o]
    return total(power)


cdef double step_length(Problem* s, const vec* g, Work* k) noexcept nogil:
    """Shorten a Newton step that overshoots: the content is convex along it, and falls until its slope turns."""
    cdef Py_ssize_t o
    cdef double length = 1.0, slope
    cdef int tries
    residual(s, g, k, k.w, k.b, NULL)
    slope = power_along(&s.wires, k)
    for tries in range(60):
        for o in range(s.wires.size):
            k.trial_w[o] = k.w[o] + splat(length) * k.dw[o]
            k.trial_b[o] = k.b[o] + splat(length) * k.db[o]
        residual(s, g, k, k.trial_w, k.trial_b, NULL)
        if power_along(&s.wires, k) >= -0.5 * slope:
            break
        length = length * 0.5
    return length


cdef double through_cells(Wires* t, Ladders* c, Work* k) noexcept nogil:
    """Let the residual of the word lines act on that of the bit lines; return the largest word-line answer to it."""
    cdef Py_ssize_t o
    cdef vec high = splat(0.0)
    word_lines(t, c, k.rw, k.dw)
    for o in range(t.size):
        k.r[o] = k.r[o] + c.g[o] * k.dw[o]
        high = larger(high, magnitude(k.dw[o]))
    return largest(high)


cdef double finish(Wires* t, Ladders* c, Work* k, double* cells) noexcept nogil:
    """Work out the correction of the word lines; return the largest correction, and that of a cell's voltage."""
    cdef Py_ssize_t o
    cdef vec high = splat(0.0), across = splat(0.0)
    for o in range(t.size):
        k.dw[o] = k.rw[o] + c.g[o] * k.db[o]
    word_lines(t, c, k.dw, k.dw)
    for o in range(t.size):
        high = larger(high, larger(magnitude(k.dw[o]), magnitude(k.db[o])))
        across = larger(across, magnitude(k.dw[o] - k.db[o]))
    cells[0] = largest(across)
    return largest(high)


cdef double reach(Wires* t, Ladders* c, Work* k) noexcept nogil:
    """Largest voltage that the injected currents would cause if none cancelled another: the scale of their errors."""
    cdef Py_ssize_t o
    cdef double first, z
    for o in range(t.size):
        k.rw[o] = magnitude(k.word_in[o])
        k.r[o] = magnitude(k.bit_in[o])
    first = through_cells(t, c, k)
    start(t, k)
    bits_down(t, c, k, 0.0)
    bits_up(t, c, k, 0.0, 0.0, &z)
    return max(first, z)


cdef double solve_vector(Problem* s, Ladders* base, Work* k, double bound) noexcept nogil:
    """Find the state (k.w, k.b) of one vector; return its error relative to the largest voltage.

    ``base`` has the conductances of the cells (at 0 V if they are not linear), ``bound`` is the largest voltage of a source.
    The error is a bound where there is one, else the size of the last correction.
    """
    cdef Wires* t = &s.wires
    cdef Ladders* c = base
    cdef bint linear = s.a == 0.0, bounded
    cdef Py_ssize_t o
    cdef int turn
    cdef double scale, z, first, change, cells, length, goal, reduction, error = 1.0
    k.iterations = 0
    for o in range(t.size):
        k.w[o] = base.word_h[o] * k.source[o // t.width]
        k.b[o] = splat(0.0)
        if linear:  # the word lines are right for these bit lines
            k.rw[o] = k.word_in[o]
            k.r[o] = base.g[o] * k.w[o] + k.bit_in[o]
    if bound == 0.0:
        return 0.0
    for turn in range(ROUNDS):
        scale = bound
        if turn > 0 or not linear:
            scale = max(bound, residual(s, base.g, k, k.w, k.b, NULL if linear else k.own.g))
        if not linear:
            c = &k.own
            word_to_bit_layout(t, c.g, k.y)
            prepare(t, c, k.y)
        first = through_cells(t, c, k)
        bounded = c.amplification <= TRUSTED
        goal = 0.1 * s.tolerance * scale / min(c.amplification, TRUSTED) if bounded or turn == 0 else 0.0
        reduction = 0.0 if turn == 0 else REDUCTION
        if not linear:  # no more than the linearisation is worth
            reduction = min(1e-2, max(REDUCTION, error))
        z = gradients(s, c, k, reduction, goal, (s.tolerance * scale - first) / c.amplification if turn > 0 else 0.0)
        if turn > 0 and bounded and first + z * c.amplification <= s.tolerance * scale:
            return (first + z * c.amplification) / scale
        change = finish(t, c, k, &cells)
        length = 1.0
        # Within half of 1/a the law of a cell is near its tangent, and Newton's method converges by itself.
        if cells * s.a > 0.5:
            length = step_length(s, base.g, k)
        for o in range(t.size):
            k.w[o] = k.w[o] + splat(length) * k.dw[o]
            k.b[o] = k.b[o] + splat(length) * k.db[o]
        error = change / scale
        if (turn > 0 or not linear) and error <= s.tolerance and length == 1.0:
            return error
        if k.iterations >= s.max_iterations or not isfinite(error):
            break
    return max(error, 2.0 * s.tolerance)


cdef void terminal_currents(Problem* s, Ladders* c, Work* k, double* column, double* driver) noexcept nogil:
    """Currents into the sense amplifiers and out of the drivers of a solved vector.

    Linear cells: by reciprocity a current that enters a line at a node reaches its ends in the proportion ``h``,
    which leaves no difference of nearly equal numbers. Other cells: their currents, where a line is not cut off.
    """
    cdef Wires* t = &s.wires
    cdef bint linear = s.a == 0.0
    cdef Py_ssize_t block, j, l, o
    cdef vec line, into
    cdef double* lanes = <double*> k.line
    cdef double* share = <double*> (c.bit_h if linear else s.bit_mask)
    for j in range(t.columns):
        column[j] = 0.0
    for block in range(t.blocks):
        line = splat(0.0)
        for j in range(t.columns):
            o = block * t.width + j
            if linear:
                into = c.g[o] * k.w[o] + k.bit_in[o]
                line = line + c.word_h[o] * (c.g[o] * (k.source[block] - k.b[o]) - k.word_in[o])
            else:
                into = k.cell[o] + k.bit_in[o]
                line = line + s.word_mask[o] * (k.cell[o] - k.word_in[o])
            k.line[0] = into
            for l in range(min(<Py_ssize_t> LANES, t.rows - block * LANES)):
                column[j] += share[(block * LANES + l) * t.width + j] * lanes[l]
        k.line[0] = line
        for l in range(min(<Py_ssize_t> LANES, t.rows - block * LANES)):
            driver[block * LANES + l] = lanes[l]


cdef void one_vector(
    Problem* s, Work* k, const double* conductance, const double* source, const double* injection,
    double* word, double* bit, double* column, double* driver, int* iterations, double* error,
) noexcept nogil:
    """Solve one vector; ``conductance`` is NULL if it is the shared one, ``injection`` if there is none."""
    cdef Wires* t = &s.wires
    cdef Ladders* base = &s.shared
    cdef Py_ssize_t i
    cdef double bound = 0.0
    for i in range(t.rows):
        (<double*> k.source)[i] = source[i]
        bound = max(bound, fabs(source[i]))
    if injection != NULL:
        to_word_layout(t, injection, t.columns, k.word_in)
        to_word_layout(t, injection + t.rows * t.columns, t.columns, k.bit_in)
    if conductance != NULL:
        base = &k.own
        load(t, base, conductance, k.y)
    if injection != NULL:
        bound = max(bound, reach(t, base, k))
    error[0] = solve_vector(s, base, k, bound)
    iterations[0] = k.iterations
    if s.a != 0.0:
        cell_currents(s, base.g, k.w, k.b, k.cell, NULL)
    terminal_currents(s, base, k, column, driver)
    if word != NULL:
        from_word_layout(t, k.w, word)
        from_word_layout(t, k.b, bit)


cdef void load(Wires* t, Ladders* c, const double* conductance, vec* scratch) noexcept nogil:
    to_word_layout(t, conductance, t.columns, c.g)
    word_to_bit_layout(t, c.g, scratch)
    prepare(t, c, scratch)


cdef class Memory:
    """Zeroed vectors, aligned to the size of a vector, handed out piece by piece."""

    cdef object keep
    cdef vec* at
    cdef Py_ssize_t left

    def __cinit__(self, Py_ssize_t vectors):
        cdef double[::1] view
        cdef size_t wide = LANES * sizeof(double)
        self.keep = np.zeros((vectors + 1) * LANES)
        view = self.keep
        self.at = <vec*> ((<size_t> &view[0] + wide - 1) // wide * wide)
        self.left = vectors

    cdef vec* take(self, Py_ssize_t vectors) except NULL:
        cdef vec* first = self.at
        if vectors > self.left:
            raise MemoryError("the workspace of the mesh kernel is too small")
        self.at += vectors
        self.left -= vectors
        return first


cdef int take_ladders(Memory memory, Wires* t, Ladders* c) except -1:
    c.g = memory.take(t.size)
    c.word_t = memory.take(t.size)
    c.word_s = memory.take(t.size)
    c.word_h = memory.take(t.size)
    c.bit_t = memory.take(t.size)
    c.bit_s = memory.take(t.size)
    c.bit_h = memory.take(t.size)
    return 0


cdef int take_wires(Memory memory, Wires* t, const double[:, ::1] word, const double[:, ::1] bit) except -1:
    cdef Py_ssize_t i, j
    t.word = memory.take(t.size)
    t.word_inverse = memory.take(t.size)
    t.bit = memory.take(t.size)
    t.bit_inverse = memory.take(t.size)
    t.word_far = memory.take(t.blocks)
    t.word_far_inverse = memory.take(t.blocks)
    t.bit_far = memory.take(t.groups)
    t.bit_far_inverse = memory.take(t.groups)
    # Padded lines are ideal and cut at the far end: their nodes are held by their source (h = 1), at 0 V.
    for i in range(t.lines):
        (<double*> t.word_far)[i] = INFINITY if i >= t.rows else word[i, t.columns]
        (<double*> t.word_far_inverse)[i] = inverse((<double*> t.word_far)[i])
    for j in range(t.width):
        (<double*> t.bit_far)[j] = INFINITY if j >= t.columns else bit[0, j]
        (<double*> t.bit_far_inverse)[j] = inverse((<double*> t.bit_far)[j])
    to_word_layout(t, &word[0, 0], t.columns + 1, t.word)
    for i in range(t.rows):
        for j in range(t.columns):
            (<double*> t.bit)[i * t.width + j] = bit[i + 1, j]
    for i in range(t.size * LANES):
        (<double*> t.word_inverse)[i] = inverse((<double*> t.word)[i])
        (<double*> t.bit_inverse)[i] = inverse((<double*> t.bit)[i])
    return 0


cdef double inverse(double ohm) noexcept nogil:
    return 1.0 / ohm if ohm > 0.0 else 0.0


def solve(
    const double[:, :, ::1] conductance, const double[:, ::1] word_resistance, const double[:, ::1] bit_resistance,
    const double[:, ::1] word_voltage, const double[:, :, :, ::1] injection, double a, double tolerance,
    int max_iterations, int threads, bint voltages,
):
    """Solve a batch; ``circuitmem._kernels.mesh`` checks the arguments and documents them.

    ``conductance`` is (1, m, n) if all vectors share it, else (batch, m, n), and then ``a`` must be 0; ``injection``
    may have no first dimension to speak of. Returns word, bit (None without ``voltages``), column_current,
    driver_current, iterations, and the relative error reached.
    """
    cdef Problem s
    cdef Wires* t = &s.wires
    cdef Ladders free
    cdef Py_ssize_t batch = word_voltage.shape[0], b, i
    cdef bint shared = conductance.shape[0] == 1, injected = injection.shape[0] > 0
    cdef int workers = <int> max(1, min(<Py_ssize_t> threads, batch))
    t.rows, t.columns = conductance.shape[1], conductance.shape[2]
    t.blocks, t.groups = (t.rows + LANES - 1) // LANES, (t.columns + LANES - 1) // LANES
    t.lines, t.width = t.blocks * LANES, t.groups * LANES
    t.size = t.blocks * t.width
    s.a, s.tolerance, s.max_iterations = a, tolerance, max_iterations

    cdef Memory memory = Memory(19 * t.size + 2 * (t.blocks + t.groups)
                                + workers * (22 * t.size + t.blocks + t.groups + t.width))
    cdef vec* scratch = memory.take(t.size)
    take_wires(memory, t, word_resistance, bit_resistance)
    take_ladders(memory, t, &s.shared)
    load(t, &s.shared, &conductance[0, 0, 0], scratch)
    take_ladders(memory, t, &free)
    if a != 0.0:
        # Without cells a node has the voltage of the ends of its line, or floats.
        word_to_bit_layout(t, free.g, scratch)
        prepare(t, &free, scratch)
    s.word_mask, s.bit_mask = free.word_h, free.bit_h

    cdef unsigned char[::1] bytes_ = np.zeros(workers * sizeof(Work), dtype=np.uint8)
    cdef Work* work = <Work*> &bytes_[0]
    for i in range(workers):
        take_ladders(memory, t, &work[i].own)
        work[i].source = memory.take(t.blocks)
        work[i].carry = memory.take(t.groups)
        work[i].line = memory.take(t.width)
        work[i].y = memory.take(t.size)
        work[i].word_in, work[i].bit_in = memory.take(t.size), memory.take(t.size)
        work[i].w, work[i].b = memory.take(t.size), memory.take(t.size)
        work[i].rw, work[i].r = memory.take(t.size), memory.take(t.size)
        work[i].dw, work[i].db = memory.take(t.size), memory.take(t.size)
        work[i].q, work[i].cell = memory.take(t.size), memory.take(t.size)
        work[i].p, work[i].ph = memory.take(t.size), memory.take(t.size)
        work[i].trial_w, work[i].trial_b = memory.take(t.size), memory.take(t.size)

    shape = (batch if voltages else 0, t.rows, t.columns)
    word, bit = np.empty(shape), np.empty(shape)
    column, driver = np.empty((batch, t.columns)), np.empty((batch, t.rows))
    count, error = np.zeros(batch, dtype=np.intc), np.zeros(batch)
    cdef double[:, :, ::1] word_out = word, bit_out = bit
    cdef double[:, ::1] column_out = column, driver_out = driver
    cdef int[::1] count_out = count
    cdef double[::1] error_out = error
    for b in prange(batch, nogil=True, num_threads=workers, schedule="dynamic", chunksize=1):
        one_vector(
            &s, work + threadid(), NULL if shared else &conductance[b, 0, 0], &word_voltage[b, 0],
            &injection[b, 0, 0, 0] if injected else NULL,
            &word_out[b, 0, 0] if voltages else NULL, &bit_out[b, 0, 0] if voltages else NULL,
            &column_out[b, 0], &driver_out[b, 0], &count_out[b], &error_out[b],
        )
    return (word if voltages else None), (bit if voltages else None), column, driver, count, error
