"""One correction of a state: word lines eliminated, bit lines by conjugate gradients or, tied too strongly, by elimination."""

from libc.math cimport INFINITY, isfinite

from mesh.bit_line_elimination cimport BitLineFactors, allocate, eliminate, factor_tile, fits
from mesh.conjugate_gradients cimport bits_down, bits_up, start
from mesh.residual cimport Problem, Solution
from mesh.ladder cimport Ladders, Wires, bit_to_word_layout, turns_are_bounded, word_lines, word_to_bit_layout
from simd.vectors cimport larger, largest, magnitude, splat, total, vec

cdef extern from *:
    """
    #define TRUSTED 1e4  /* largest amplification with which a bound decides: above, rounding errors would hide behind it */
    #define TURNS 64  /* turns of block relaxation after which a better bound is given up */
    """
    double TRUSTED
    enum: TURNS


cdef inline double through_cells(Wires* t, Ladders* c, Solution* k) noexcept nogil:
    """Let the residual of the word lines act on that of the bit lines; return the largest word-line answer to it."""
    cdef Py_ssize_t o
    cdef vec high = splat(0.0)
    word_lines(t, c, k.rw, k.dw)
    for o in range(t.size):
        k.r[o] = k.r[o] + c.g[o] * k.dw[o]
        high = larger(high, magnitude(k.dw[o]))
    return largest(high)


cdef inline double finish(Wires* t, Ladders* c, Solution* k, double* cells) noexcept nogil:
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


cdef inline void sharpen(Wires* t, Ladders* c, Solution* k) noexcept nogil:
    """Find a better bound on the amplification, if that of the tile's weakest ties says too little."""
    cdef Py_ssize_t o
    cdef int turn
    cdef double sum_ = 1.0, now = 1.0
    if c.amplification <= TRUSTED:
        return
    for o in range(t.size):
        k.p[o] = splat(1.0)
    for turn in range(TURNS):
        for o in range(t.size):
            k.rw[o] = c.g[o] * k.p[o]
            k.r[o] = splat(0.0)
        through_cells(t, c, k)
        start(t, k)
        bits_down(t, c, k, 0.0)
        bits_up(t, c, k, 0.0, 0.0, &now)
        if turns_are_bounded(sum_, now, TRUSTED):
            c.amplification = sum_ / (1.0 - now)
            return
        sum_ += now


cdef inline bint exactly(Problem* s, Ladders* c, Solution* k, bint again) noexcept nogil:
    """Solve S db = r by elimination, factoring ``again`` if the conductances are new.

    Returns false if there is no memory, or numbers overflow.
    """
    cdef Wires* t = &s.wires
    cdef Py_ssize_t o
    cdef vec sum_ = splat(0.0)
    cdef BitLineFactors* front = &s.front if c == &s.shared else &k.front
    if c != &s.shared and again:
        if not allocate(front, t):
            return False
        factor_tile(t, c, front)
    word_to_bit_layout(t, k.r, k.y)
    eliminate(t, front, <double*> k.y, <double*> k.line)
    bit_to_word_layout(t, k.y, k.db)
    k.iterations += 1
    for o in range(t.size):
        sum_ = sum_ + k.r[o] * k.db[o]
    return isfinite(total(sum_))


cdef inline void correct(Wires* t, Solution* k, double length) noexcept nogil:
    cdef Py_ssize_t o
    for o in range(t.size):
        k.w[o] = k.w[o] + splat(length) * k.dw[o]
        k.b[o] = k.b[o] + splat(length) * k.db[o]
