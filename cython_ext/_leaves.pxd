"""The leaves of the tree: squares of cells, merged from single cells, as many at a time as a vector has lanes.

Tiles that are no multiple of a leaf are extended by rows above and columns on the right whose wires are ideal and whose
cells conduct nothing, which changes nothing.
"""

from _blocks cimport BOTTOM, LEFT, RIGHT, TOP, Block, Stack, Work, cut, lay_out, merge, place_of, storage, take, upper
from _star cimport column
from _vectors cimport collect, copy, inverse, lanes, put, vec, zero


cdef inline void tie(vec* at, vec value, Block* block, int first, Py_ssize_t i, int second, Py_ssize_t j) noexcept nogil:
    """Set the conductance between two terminals of a block of single cells."""
    cdef Py_ssize_t p = block.offset[first] + i, q = block.offset[second] + j
    at[column(max(p, q), 1) + min(p, q)] = value


cdef inline void corner(vec* zeros, Work* work, Py_ssize_t row, Py_ssize_t col, Block* out) noexcept nogil:
    """Merge two by two cells: of their eight nodes, three have three neighbours, and one has four."""
    cdef Py_ssize_t w = lanes(zeros), n = row * w + col, i
    cdef vec* g = <vec*> work.cells + n
    cdef vec* word = <vec*> work.words + n
    cdef vec* bit = <vec*> work.bits + n
    cdef vec* at = <vec*> out.data
    cdef vec p, q, r, left, right, share
    for i in range(column(8, 1)):
        at[i] = zero(zeros)
    tie(at, g[1], out, RIGHT, 0, TOP, 1)
    share = inverse(word[0] + word[1] + g[0])  # the word-line node of cell (0, 0)
    p, q, r = word[0] * share, word[1] * share, g[0]
    tie(at, p * word[1], out, LEFT, 0, RIGHT, 0)
    tie(at, p * r, out, LEFT, 0, TOP, 0)
    tie(at, q * r, out, RIGHT, 0, TOP, 0)
    share = inverse(bit[1] + bit[w + 1] + g[w + 1])  # the bit-line node of cell (1, 1)
    p, q, r = bit[1] * share, bit[w + 1] * share, g[w + 1]
    tie(at, p * bit[w + 1], out, TOP, 1, BOTTOM, 1)
    tie(at, p * r, out, TOP, 1, RIGHT, 1)
    tie(at, q * r, out, BOTTOM, 1, RIGHT, 1)
    share = inverse(word[w] + word[w + 1] + g[w])  # the word-line node of cell (1, 0)
    left, right = word[w] * share * g[w], word[w + 1] * share * g[w]
    r = word[w] * share * word[w + 1]
    share = inverse(bit[0] + bit[w] + left + right)  # the bit-line node of cell (1, 0)
    p, q = bit[0] * share, bit[w] * share
    tie(at, p * bit[w], out, TOP, 0, BOTTOM, 0)
    tie(at, p * left, out, TOP, 0, LEFT, 1)
    tie(at, p * right, out, TOP, 0, RIGHT, 1)
    tie(at, q * left, out, BOTTOM, 0, LEFT, 1)
    tie(at, q * right, out, BOTTOM, 0, RIGHT, 1)
    tie(at, r + left * share * right, out, LEFT, 1, RIGHT, 1)


cdef inline void unpack(vec* zeros, Work* work, Py_ssize_t leaf, Block* out) noexcept nogil:
    """Take one leaf out of its batch, into tiles, its sides in the order of ``out``."""
    cdef Py_ssize_t w = lanes(zeros), lane = leaf % w, i, j
    cdef int first, second
    cdef vec* batch = <vec*> work.leaves + leaf // w * storage(4 * w, 1, 1)
    cdef vec* to
    for first in range(4):
        for second in range(4):
            if out.offset[first] > out.offset[second] or out.extent[first] == 0 or out.extent[second] == 0:
                continue
            to = <vec*> out.data + column(out.offset[second], w) + out.offset[first] * w
            for i in range(w):
                collect(to + i, batch, lane, work.places + (first * w + i) * 4 * w + second * w)
    for i in range(4):
        to = <vec*> out.data + column(i, w) + i * w
        for j in range(w):
            put(to + j, j, 0.0)


cdef inline void find_places(vec* zeros, int* places) noexcept nogil:
    """Say where in a lane of a leaf the conductance between any two of its terminals is, its sides in their order."""
    cdef Py_ssize_t w = lanes(zeros), p, q
    for p in range(4 * w):
        for q in range(4 * w):
            places[p * 4 * w + q] = <int> ((column(max(p, q), 1) + min(p, q)) * w)


cdef inline void fill(vec* zeros, Work* work, Stack* s, Py_ssize_t lane, Py_ssize_t number, Py_ssize_t row,
               Py_ssize_t col) noexcept nogil:
    """Put the conductances of a leaf into a lane; cells beyond the tile conduct nothing, and their wires are ideal."""
    cdef Py_ssize_t w = lanes(zeros), pad = s.leaf_rows * w - s.rows, i, j, p, q, o
    cdef Py_ssize_t tile = place_of(s, number)
    cdef vec* g = <vec*> s.cells
    cdef vec* word = <vec*> s.words
    cdef vec* bit = <vec*> s.bits
    for i in range(w):
        p = row * w + i - pad
        for j in range(w):
            q = col * w + j
            o = (i * w + j) * w + lane
            if p >= 0 and q < s.columns:
                copy(<vec*> work.cells, o, g, (tile * s.rows + p) * s.columns + q)
                copy(<vec*> work.words, o, word, tile * s.word_step + p * (s.columns + 1) + q)
                copy(<vec*> work.bits, o, bit, tile * s.bit_step + (p + 1) * s.columns + q)
            else:
                put(<vec*> work.cells, o, 0.0)
                put(<vec*> work.words, o, s.ideal)
                put(<vec*> work.bits, o, s.ideal)


cdef inline void merge_cells(vec* zeros, Work* work, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t col, Py_ssize_t columns,
                      int depth, Block* out) noexcept nogil:
    """Work out a rectangle of cells of a batch of leaves."""
    cdef Py_ssize_t vector = sizeof(zeros[0]), mark = work.used, half
    cdef Block a, b
    if rows == 2 and columns == 2:
        corner(zeros, work, row, col, out)
        return
    cut(out, rows, columns, depth, &a, &b)
    a.data = take(work, storage(a.size, 1, vector))
    b.data = take(work, storage(b.size, 1, vector))
    if rows > columns:
        half = upper(rows)
        merge_cells(zeros, work, row, half, col, columns, depth + 1, &a)
        merge_cells(zeros, work, row + half, rows - half, col, columns, depth + 1, &b)
    else:
        half = upper(columns)
        merge_cells(zeros, work, row, rows, col, half, depth + 1, &a)
        merge_cells(zeros, work, row, rows, col + half, columns - half, depth + 1, &b)
    merge(zeros, work, &a, &b, min(rows, columns), out, 0, 1, 1)
    work.used = mark


cdef inline void build_leaves(vec* zeros, Work* work, Stack* s, Py_ssize_t tile, Py_ssize_t tiles,
                       Py_ssize_t row, Py_ssize_t rows, Py_ssize_t col, Py_ssize_t columns) noexcept nogil:
    """Merge the leaves of a rectangle, of some tiles, from single cells; they lie in the order tile, row, column."""
    cdef Py_ssize_t w = lanes(zeros), count = tiles * rows * columns, batch, lane, k
    cdef Block leaf
    cdef int i
    for i in range(4):
        leaf.time[i] = -i
    lay_out(&leaf, w, w, True)
    work.leaves = take(work, (count + w - 1) // w * storage(4 * w, 1, sizeof(zeros[0])))
    work.row, work.column, work.columns, work.index = row, col, columns, 0
    for batch in range((count + w - 1) // w):
        for lane in range(w):
            k = min(batch * w + lane, count - 1)  # idle lanes repeat the last leaf
            fill(zeros, work, s, lane, tile + k // (rows * columns), row + k // columns % rows, col + k % columns)
        leaf.data = <vec*> work.leaves + batch * storage(4 * w, 1, 1)
        merge_cells(zeros, work, 0, w, 0, w, 1, &leaf)
