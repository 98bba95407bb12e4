"""Lines of a tile as ladders: what two recursions need to solve LANES of them at a time.

Two layouts of a (rows, columns) array:
- *word layout*, for recursions along word lines: LANES neighbouring word lines share a vector, which has index
  ``(i // LANES) * width + j``, lane ``i % LANES``;
- *bit layout*, for recursions along bit lines: vector ``i * groups + j // LANES``, lane ``j % LANES``.
Rows and columns are padded to multiples of LANES. Padding has no cells and is at 0 V; whatever writes an array writes
its padding too, so that memory need not be cleared.
"""

from libc.math cimport INFINITY

from simd.vectors cimport LANES, smaller, smallest, splat, transpose, vec, where_zero

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


cdef inline void to_layouts(Wires* t, const double* rows, Py_ssize_t stride, vec* bits, vec* words) noexcept nogil:
    """Copy a row-major (rows, columns) array, whose rows are ``stride`` apart, to both layouts."""
    cdef Py_ssize_t i, j
    cdef double* line
    for i in range(t.lines):
        line = <double*> bits + i * t.width
        if i < t.rows:
            for j in range(t.columns):
                line[j] = rows[i * stride + j]
        for j in range(t.columns if i < t.rows else 0, t.width):
            line[j] = 0.0
    bit_to_word_layout(t, bits, words)


cdef inline void from_word_layout(Wires* t, const vec* words, vec* scratch, double* out) noexcept nogil:
    """Copy to a row-major (rows, columns) array."""
    cdef Py_ssize_t i, j
    word_to_bit_layout(t, words, scratch)
    for i in range(t.rows):
        for j in range(t.columns):
            out[i * t.columns + j] = (<const double*> scratch)[i * t.width + j]


cdef inline void take_square(const vec* words, vec* square) noexcept nogil:
    """Take LANES columns of a block of word lines, in bit layout: a row of them becomes a vector."""
    cdef Py_ssize_t l
    for l in range(LANES):
        square[l] = words[l]
    transpose(square)


cdef inline double tied(double low_word, double low_bit) noexcept nogil:
    """1 - the largest that solving one kind of lines and then the other, each for the other's error, leaves of an error of 1.

    ``low_word`` and ``low_bit`` say how much of the voltage of its terminals a line keeps everywhere while its cells see
    another: a line whose cells see 1 V reaches at most ``1 - low``, and so what is left is ``(1 - low_word)(1 - low_bit)``.
    """
    return low_word + low_bit - low_word * low_bit


cdef inline bint turns_are_bounded(double sum_, double now, double largest_sum) noexcept nogil:
    """Whether errors of all turns add up to at most ``largest_sum`` times the first.

    With N the map of an error by one turn, all its elements positive, the largest element of N^k 1 bounds N^k: ``sum_`` are
    those up to a turn, which leaves ``now``; the rest is at most a geometric series, so that all is ``sum_ / (1 - now)``.
    """
    return sum_ < largest_sum * (1.0 - now)


cdef inline void word_to_bit_layout(Wires* t, const vec* words, vec* bits) noexcept nogil:
    cdef Py_ssize_t block, group, l
    cdef vec tile[LANES]
    for block in range(t.blocks):
        for group in range(t.groups):
            take_square(words + block * t.width + group * LANES, tile)
            for l in range(LANES):
                bits[(block * LANES + l) * t.groups + group] = tile[l]


cdef inline void bit_to_word_layout(Wires* t, const vec* bits, vec* words) noexcept nogil:
    cdef Py_ssize_t block, group, l
    cdef vec tile[LANES]
    for block in range(t.blocks):
        for group in range(t.groups):
            for l in range(LANES):
                tile[l] = bits[(block * LANES + l) * t.groups + group]
            transpose(tile)
            for l in range(LANES):
                words[block * t.width + group * LANES + l] = tile[l]


cdef inline double ladder(
    Py_ssize_t lines, Py_ssize_t across, Py_ssize_t nodes, Py_ssize_t along, const vec* g, const vec* near,
    const vec* near_inverse, const vec* far, const vec* far_inverse, vec* t, vec* s, vec* h, vec* scratch
) noexcept nogil:
    """Prepare ``lines`` vectors of lines, ``across`` apart, of ``nodes`` nodes, ``along`` apart from the far end on.

    With the far sides of its cells at given voltages u, a line is a chain of Norton currents J and admittances Y seen
    away from the source: ``Y = g + t' Y'``, ``J = g u + t' J'`` (primes: the next node away from it), then back
    ``v = t v' + s J`` (prime: the next node towards it), with ``t = 1 / (1 + r Y)`` and ``s = r t``. All terms are
    positive, so nothing cancels, and ideal and cut segments are ordinary values. ``h`` is the voltage of a node while
    all u are 0 V and both ends of the line 1 V. Returns its smallest value. ``scratch`` has room for 3 a line.
    """
    cdef Py_ssize_t k, line, o
    cdef vec y, tk, sk, still, zero = splat(0.0), one = splat(1.0), low = splat(1.0)
    cdef vec* held = scratch  # 0 where ideal wires join the node to the far source
    cdef vec* arriving = scratch + lines  # admittance from beyond the node
    cdef vec* current = scratch + 2 * lines  # Norton current from there per volt of the far source
    for line in range(lines):
        held[line] = far[line]
        arriving[line] = far_inverse[line]
        current[line] = far_inverse[line]
    for k in range(nodes):
        for line in range(lines):  # inside, because each division waits for the one before it on its line
            o = line * across + k * along
            y = g[o] + arriving[line]
            still = held[line]
            divide(near[o], y, &tk, &sk)
            t[o] = where_zero(still, zero, tk)
            s[o] = where_zero(still, zero, sk)
            h[o] = where_zero(still, one, sk * current[line])
            arriving[line] = where_zero(still, near_inverse[o], y * tk)
            current[line] = where_zero(still, near_inverse[o], current[line] * tk)
            held[line] = where_zero(still, near[o], one)
    for line in range(lines):
        current[line] = one
    for k in range(nodes - 1, -1, -1):
        for line in range(lines):
            o = line * across + k * along
            y = t[o] * current[line] + h[o]
            h[o] = y
            current[line] = y
            low = smaller(low, y)
    return smallest(low)


cdef inline void prepare(Wires* t, Ladders* c, const vec* g_bit, vec* scratch) noexcept nogil:
    """Prepare all lines of a tile from the conductances ``c.g`` (word layout) and ``g_bit`` (bit layout)."""
    cdef Py_ssize_t last = t.columns - 1, block, o
    cdef double low_word, low_bit, hold
    low_word = ladder(
        t.blocks, t.width, t.columns, -1, c.g + last, t.word + last, t.word_inverse + last, t.word_far,
        t.word_far_inverse, c.word_t + last, c.word_s + last, c.word_h + last, scratch)
    low_bit = ladder(
        t.groups, 1, t.rows, t.groups, g_bit, t.bit, t.bit_inverse, t.bit_far,
        t.bit_far_inverse, c.bit_t, c.bit_s, c.bit_h, scratch)
    for block in range(t.blocks):
        for o in range(block * t.width + t.columns, (block + 1) * t.width):
            c.word_t[o] = splat(0.0)
            c.word_s[o] = splat(0.0)
            c.word_h[o] = splat(0.0)
    for o in range(t.rows * t.groups, t.size):
        c.bit_t[o] = splat(0.0)
        c.bit_s[o] = splat(0.0)
        c.bit_h[o] = splat(0.0)
    hold = tied(low_word, low_bit)
    c.amplification = 1.0 / hold if hold > 0.0 else INFINITY


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
        for o in range(block * t.width + t.columns, (block + 1) * t.width):
            out[o] = splat(0.0)
