"""Lines of a tile as ladders: what two recursions need to solve LANES of them at a time.

Two layouts of a (rows, columns) array:
- *word layout*, for recursions along word lines: LANES neighbouring word lines share a vector, which has index
  ``(i // LANES) * width + j``, lane ``i % LANES``;
- *bit layout*, for recursions along bit lines: vector ``i * groups + j // LANES``, lane ``j % LANES``.
Rows and columns are padded to multiples of LANES. Padding has no cells and stays at 0 V.
"""

from libc.math cimport INFINITY

from _lanes cimport LANES, larger, reciprocal, smaller, smallest, splat, transpose, vec, where_zero

cdef extern from *:
    """
    /* Admittance y seen behind a segment of resistance r (infinite if cut): how a source voltage divides (t), and
       the voltage per ampere of Norton current (s). y == 0 behind a cut is a floating node, which is 0 V. */
    static inline void divide(vec r, vec y, vec *t, vec *s) {
        mask cut = r > splat(1e308);
        vec ohms = choose(cut, splat(0), r);
        vec bottom = choose(cut, y, 1 + ohms * y);
        vec inverse = choose(bottom > splat(0), 1 / bottom, splat(0));
        *t = choose(cut, splat(0), inverse);
        *s = choose(cut, inverse, ohms * inverse);
    }
    """
    void divide(vec, vec, vec*, vec*) noexcept nogil


cdef struct Wires:
    Py_ssize_t rows, columns
    Py_ssize_t blocks, groups  # how many times LANES rows, LANES columns
    Py_ssize_t lines, width  # padded rows, padded columns
    Py_ssize_t size  # vectors in an array
    vec* word  # word layout; resistance of the segment before a node
    vec* word_inverse  # its inverse, 0 for an ideal wire: no current is counted inside a node
    vec* word_far  # the same for the segments to the right drivers
    vec* word_far_inverse
    vec* bit  # bit layout; resistance of the segment after a node
    vec* bit_inverse
    vec* bit_far  # the same for the segments to the top sense amplifiers
    vec* bit_far_inverse


cdef struct Ladders:
    vec* g  # conductance of the cells, word layout
    vec* word_t  # word layout; see ``ladder``
    vec* word_s
    vec* word_h
    vec* bit_t  # bit layout
    vec* bit_s
    vec* bit_h
    double amplification  # bound on (largest error) / (largest preconditioned residual); infinite if none is known


cdef inline void to_word_layout(Wires* t, const double* rows, Py_ssize_t stride, vec* out) noexcept nogil:
    """Copy a row-major (rows, columns) array whose rows are ``stride`` apart."""
    cdef Py_ssize_t i, j
    cdef double* target = <double*> out
    for i in range(t.rows):
        for j in range(t.columns):
            target[(i // LANES * t.width + j) * LANES + i % LANES] = rows[i * stride + j]


cdef inline void from_word_layout(Wires* t, const vec* words, double* out) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef const double* source = <const double*> words
    for i in range(t.rows):
        for j in range(t.columns):
            out[i * t.columns + j] = source[(i // LANES * t.width + j) * LANES + i % LANES]


cdef inline void word_to_bit_layout(Wires* t, const vec* words, vec* out) noexcept nogil:
    cdef Py_ssize_t block, group, l
    cdef vec tile[LANES]
    for block in range(t.blocks):
        for group in range(t.groups):
            for l in range(LANES):
                tile[l] = words[block * t.width + group * LANES + l]
            transpose(tile)
            for l in range(LANES):
                out[(block * LANES + l) * t.groups + group] = tile[l]


cdef inline double ladder(
    Py_ssize_t count, Py_ssize_t step, const vec* g, const vec* near, vec far, vec far_inverse, vec* t, vec* s, vec* h
) noexcept nogil:
    """Prepare LANES lines of ``count`` nodes, ``step`` vectors apart, the node farthest from the source first.

    With the far sides of its cells at given voltages, a line is a chain of Norton currents J and admittances Y seen
    away from the source: ``Y = g + t' Y'``, ``J = g u + t' J'`` (primes: the next node away from it), then back
    ``v = t v' + s J`` (prime: the next node towards it), with ``t = 1 / (1 + r Y)`` and ``s = r t``. All terms are
    positive, so nothing cancels, and ideal and cut segments are ordinary values. ``h`` is the voltage of a node while
    all u are 0 V and both ends of the line 1 V. Returns its smallest value.
    """
    cdef Py_ssize_t k, o
    cdef vec y, tk, sk, r, zero = splat(0.0), one = splat(1.0), low = splat(1.0)
    cdef vec held = far  # 0 where ideal wires join the node to the far source
    cdef vec arriving = far_inverse  # admittance, and Norton current per volt of the far source
    cdef vec current = far_inverse
    for k in range(count):
        o = k * step
        r = near[o]
        y = g[o] + arriving
        divide(r, y, &tk, &sk)
        t[o] = where_zero(held, zero, tk)
        s[o] = where_zero(held, zero, sk)
        h[o] = where_zero(held, one, sk * current)
        arriving = where_zero(held, reciprocal(r), y * tk)
        current = where_zero(held, arriving, current * tk)
        held = where_zero(held, r, one)
    y = one
    for k in range(count - 1, -1, -1):
        o = k * step
        y = t[o] * y + h[o]
        h[o] = y
        low = smaller(low, y)
    return smallest(low)


cdef inline void prepare(Wires* t, Ladders* c, const vec* g_bit) noexcept nogil:
    """Prepare all lines of a tile from the conductances ``c.g`` (word layout) and ``g_bit`` (bit layout)."""
    cdef Py_ssize_t block, group, last
    cdef double low_word = 1.0, low_bit = 1.0, tied
    for block in range(t.blocks):
        last = block * t.width + t.columns - 1
        low_word = min(low_word, ladder(
            t.columns, -1, c.g + last, t.word + last, t.word_far[block], t.word_far_inverse[block],
            c.word_t + last, c.word_s + last, c.word_h + last))
    for group in range(t.groups):
        low_bit = min(low_bit, ladder(
            t.rows, t.groups, g_bit + group, t.bit + group, t.bit_far[group], t.bit_far_inverse[group],
            c.bit_t + group, c.bit_s + group, c.bit_h + group))
    # A line whose cells see 1 V reaches at most 1 - h. So solving one kind of lines and then the other, each for the
    # other's error, maps an error of at most 1 to at most (1 - low_word)(1 - low_bit).
    tied = low_word + low_bit - low_word * low_bit
    c.amplification = 1.0 / tied if tied > 0.0 else INFINITY


cdef inline void word_lines(Wires* t, Ladders* c, const vec* current, vec* out) noexcept nogil:
    """Word-line voltages for currents into their nodes, drivers and bit lines at 0 V; ``out`` may be ``current``."""
    cdef Py_ssize_t block, j, o
    cdef vec value
    for block in range(t.blocks):
        value = splat(0.0)
        for j in range(t.columns - 1, -1, -1):
            o = block * t.width + j
            value = current[o] + value
            out[o] = c.word_s[o] * value
            value = c.word_t[o] * value
        value = splat(0.0)
        for j in range(t.columns):
            o = block * t.width + j
            value = c.word_t[o] * value + out[o]
            out[o] = value
