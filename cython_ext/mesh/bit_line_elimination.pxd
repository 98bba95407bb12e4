"""Gaussian elimination of the bit lines, row by row: slower than conjugate gradients, but exact whatever the values.

Where strong cells tie parts of lines to each other that only weak cells tie to the rest, no iteration keeps its digits.
Elimination does, if nothing is ever subtracted (Grassmann, Taksar and Heyman, Operations Research 33:1107, 1985): a
node's own conductance is always summed from its ties to other nodes.
"""

from libc.stdlib cimport free, malloc

from mesh.ladder cimport Ladders, Wires
from simd.vectors cimport LANES, splat, total, vec


cdef struct BitLineFactors:
    double* memory
    double* ties  # (rows, columns, width): conductance from each node to the others of its row, when it is eliminated
    double* t  # (rows, columns), as for ladders, of the segment after each node
    double* s
    double* dense  # (columns, width): the present ties
    double* line  # (columns, width)
    double* known  # (width): ties to known voltages
    double* held  # (width): 0 where ideal wires join a node to the top sense amplifier
    double* current  # (width)


cdef inline bint fits(Wires* t) noexcept nogil:
    """Whether a tile is small enough: 256 x 256 takes 134 MB and a second."""
    return t.rows * t.columns * t.width <= 16_777_216


cdef inline bint allocate(BitLineFactors* f, Wires* t) noexcept nogil:
    """Take memory, unless there is some; return whether that worked."""
    cdef Py_ssize_t nodes = t.rows * t.width, square = t.columns * t.width
    cdef size_t wide = sizeof(vec)
    if f.memory != NULL:
        return True
    f.memory = <double*> malloc((nodes * t.columns + 2 * nodes + 2 * square + 3 * t.width + LANES) * sizeof(double))
    if f.memory == NULL:
        return False
    f.ties = <double*> ((<size_t> f.memory + wide - 1) // wide * wide)
    f.t = f.ties + nodes * t.columns
    f.s = f.t + nodes
    f.dense = f.s + nodes
    f.line = f.dense + square
    f.known = f.line + square
    f.held = f.known + t.width
    f.current = f.held + t.width
    return True


cdef inline void release(BitLineFactors* f) noexcept nogil:
    free(f.memory)
    f.memory = NULL


cdef inline void add_scaled(Py_ssize_t count, double factor, const double* source, double* target) noexcept nogil:
    cdef Py_ssize_t k
    cdef vec scale = splat(factor)
    for k in range(count):
        (<vec*> target)[k] = (<vec*> target)[k] + scale * (<vec*> source)[k]


cdef inline double dot(Py_ssize_t count, const double* first, const double* second) noexcept nogil:
    cdef Py_ssize_t k
    cdef vec products = splat(0.0)
    for k in range(count):
        products = products + (<vec*> first)[k] * (<vec*> second)[k]
    return total(products)


cdef inline void tie_row(Wires* t, Ladders* c, BitLineFactors* f, Py_ssize_t i) noexcept nogil:
    """Add what word line ``i`` ties: bit line j to bit line l by ``g_j (A_w^-1)_jl g_l``, to the driver by ``g_j h_j``."""
    cdef Py_ssize_t j, k, first = (i // LANES * t.width) * LANES + i % LANES
    cdef const double* g = <const double*> c.g + first
    cdef const double* h = <const double*> c.word_h + first
    cdef const double* word_t = <const double*> c.word_t + first
    cdef const double* word_s = <const double*> c.word_s + first
    cdef double* current = f.current
    cdef double* row
    cdef double factor
    # Row k of ``line``: the Norton current at node k for a current g_j into each node j; then the voltages.
    for j in range(t.width):
        current[j] = 0.0
    for k in range(t.columns - 1, -1, -1):
        current[k] = g[k * LANES]
        row = f.line + k * t.width
        for j in range(t.width):
            row[j] = word_s[k * LANES] * current[j]
            current[j] = word_t[k * LANES] * current[j]
    for j in range(t.width):
        current[j] = 0.0
    for k in range(t.columns):
        row = f.line + k * t.width
        factor = g[k * LANES]
        for j in range(t.width):
            current[j] = word_t[k * LANES] * current[j] + row[j]
            f.dense[k * t.width + j] += factor * current[j]
        f.known[k] += factor * h[k * LANES]


cdef inline void factor_tile(Wires* t, Ladders* c, BitLineFactors* f) noexcept nogil:
    """Eliminate all nodes of the bit lines, from the top; each leaves its place to the node below it."""
    cdef Py_ssize_t i, j, k, e
    cdef double* row
    cdef double ohms, tied, share, weight
    for e in range(t.columns * t.width):
        f.dense[e] = 0.0
    for j in range(t.width):
        f.known[j] = (<double*> t.bit_far_inverse)[j]
        f.held[j] = (<double*> t.bit_far)[j]
    for i in range(t.rows):
        tie_row(t, c, f, i)
        for k in range(t.columns):
            row = f.dense + k * t.width
            row[k] = 0.0
            e = i * t.width + k
            ohms = (<double*> t.bit)[e]
            if f.held[k] == 0.0:  # at 0 V
                for j in range(t.columns):
                    f.known[j] += row[j]
                    row[j] = 0.0
                    f.dense[j * t.width + k] = 0.0
                f.held[k] = ohms
                f.known[k] = (<double*> t.bit_inverse)[e]
                share = 0.0
                weight = 0.0
            else:
                tied = f.known[k]
                for j in range(t.columns):
                    tied += row[j]
                if ohms > 1e308:  # cut
                    share = 0.0
                    weight = 1.0 / tied if tied > 0.0 else 0.0
                else:
                    share = 1.0 / (1.0 + ohms * tied)
                    weight = ohms * share
                for j in range(t.columns):
                    if weight * row[j] > 0.0:
                        add_scaled(t.groups, weight * row[j], row, f.dense + j * t.width)
                        f.known[j] += weight * row[j] * f.known[k]
                f.known[k] *= share
            f.t[e] = share
            f.s[e] = weight
            for j in range(t.width):
                f.ties[(i * t.columns + k) * t.width + j] = row[j]
                row[j] = share * row[j]
            for j in range(t.columns):
                f.dense[j * t.width + k] = row[j]
    # What is left are the ties to the bottom sense amplifiers, at 0 V.


cdef inline void eliminate(Wires* t, const BitLineFactors* f, double* bits, double* current) noexcept nogil:
    """Turn currents into the bit-line nodes into their voltages (bit layout), the word lines' answers included.

    ``current`` has room for one row.
    """
    cdef Py_ssize_t i, k, e
    cdef double value
    cdef double* ties
    for k in range(t.width):
        current[k] = 0.0
    for i in range(t.rows):
        add_scaled(t.groups, 1.0, bits + i * t.width, current)
        for k in range(t.columns):
            e = i * t.width + k
            value = current[k]
            bits[e] = value
            add_scaled(t.groups, f.s[e] * value, f.ties + (i * t.columns + k) * t.width, current)
            current[k] = f.t[e] * value
    for k in range(t.width):
        current[k] = 0.0
    for i in range(t.rows - 1, -1, -1):
        for k in range(t.columns - 1, -1, -1):
            e = i * t.width + k
            ties = f.ties + (i * t.columns + k) * t.width
            current[k] = f.t[e] * current[k] + f.s[e] * (dot(t.groups, ties, current) + bits[e])
        for k in range(t.width):
            bits[i * t.width + k] = current[k]
