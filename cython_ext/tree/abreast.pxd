"""Elimination of terminals of as many blocks side by side as a vector has lanes: the arithmetic of tiles, all at once.

Each number is worked out by the same operations in the same order as in tiles (``dense_elimination.pxd``), and so to the
same bits. Nothing has to be turned, pivots are as fast as all else, and only the triangle that is wanted is computed.
"""

from tree.blocks cimport Block, Work, add_shared, join
from tree.pivots cimport lane_pivots
from tree.products cimport double_add_products, float_add_products
from tree.dense_elimination cimport Front, column
from simd.vectors cimport BROAD, ROWS, lanes, wide, wide_d, zero


cdef inline void sum_rows(Front* f, wide* factor, Py_ssize_t base) noexcept nogil:
    """Sum the conductances of ROWS terminals to those that stay."""
    cdef wide* row
    cdef wide* sums = <wide*> f.sums + base
    cdef wide part[ROWS]
    cdef wide total[ROWS]
    cdef Py_ssize_t w = lanes(sums), i, l, j
    for i in range(ROWS):
        total[i] = zero(sums)
    for l in range(w):
        for i in range(ROWS):
            part[i] = zero(sums)
        for j in range(f.size // w):
            row = <wide*> f.panel[j * w + l] + base
            for i in range(ROWS):
                part[i] = part[i] + row[i]
        for i in range(ROWS):
            total[i] = total[i] + part[i]
    for i in range(ROWS):
        sums[i] = total[i]


cdef inline void add_earlier(wide* factor, wide** b, Py_ssize_t base, Py_ssize_t rows) noexcept nogil:
    """Add to ``rows`` rows from ``base`` on of BROAD columns what the elimination of the terminals before them does."""
    cdef wide* to[BROAD]
    cdef wide* a[4]
    cdef Py_ssize_t row, j
    for row in range(base, base + rows, 4):
        for j in range(4):
            a[j] = factor + column(row + j, 1)
        for j in range(BROAD):
            to[j] = b[j] + row
        if wide is wide_d:
            double_add_products(to, to, a, b, 0, base)
        else:
            float_add_products(to, to, a, b, 0, base)


cdef inline void divide(Front* f, wide* factor, wide** b, Py_ssize_t base) noexcept nogil:
    """Do to ROWS rows of BROAD columns what the elimination of their own terminals does."""
    cdef wide* to[BROAD]
    cdef wide* start[BROAD]
    cdef wide* a[4]
    cdef Py_ssize_t row = base + ROWS, j
    for j in range(BROAD):
        start[j] = <wide*> f.zeros
    while row > base:  # the last rows first: they need the others as they were
        row -= 4
        for j in range(4):
            a[j] = factor + column(row + j, 1)
        for j in range(BROAD):
            to[j] = b[j] + row
        if wide is wide_d:
            double_add_products(to, start, a, b, base, row + 4)
        else:
            float_add_products(to, start, a, b, base, row + 4)


cdef inline void factor_abreast(Front* f, wide* factor) noexcept nogil:
    """Eliminate the shared terminals among each other, ROWS at a time."""
    cdef wide* sums = <wide*> f.sums
    cdef wide* carried = <wide*> f.roots
    cdef wide* b[BROAD]
    cdef wide* own[ROWS]
    cdef wide* other
    cdef wide outside[ROWS]
    cdef wide part[ROWS]
    cdef wide x
    cdef Py_ssize_t w = lanes(factor), base, end, turn, i, j, k, l
    for turn in range(f.shared // ROWS):
        base = turn * ROWS
        end = base // w * w + w
        for i in range(ROWS):
            own[i] = factor + column(base + i, 1)
            x = sums[base + i]
            for k in range(base):
                x = x + own[i][k] * carried[k]
            sums[base + i] = x
            outside[i] = x
        if base > 0:
            for k in range((f.shared - base) // BROAD):
                j = base + k * BROAD
                for i in range(BROAD):
                    b[i] = factor + column(j + i, 1)
                add_earlier(factor, b, base, min(<Py_ssize_t> ROWS, (j + BROAD + 3 - base) // 4 * 4))
        for l in range(w):
            for i in range(ROWS):
                part[i] = zero(factor)
            for j in range((f.shared - end) // w):
                other = factor + column(end + j * w + l, 1) + base
                for i in range(ROWS):
                    part[i] = part[i] + other[i]
            for i in range(ROWS):
                outside[i] = outside[i] + part[i]
        for j in range(base + ROWS, end):
            other = factor + column(j, 1) + base
            for i in range(ROWS):
                outside[i] = outside[i] + other[i]
        for i in range(ROWS):
            own[i] = own[i] + base
        lane_pivots(own, outside, sums + base, carried + base)
        for j in range((f.shared - base - ROWS) // BROAD):
            for i in range(BROAD):
                b[i] = factor + column(base + ROWS + j * BROAD + i, 1)
            divide(f, factor, b, base)


cdef inline void solve_abreast(Front* f, wide* factor, Py_ssize_t first) noexcept nogil:
    """Eliminate the shared terminals from BROAD columns."""
    cdef wide* b[BROAD]
    cdef Py_ssize_t base, turn, i
    for i in range(BROAD):
        b[i] = <wide*> f.panel[first + i]
    for turn in range(f.shared // ROWS):
        base = turn * ROWS
        if base > 0:
            add_earlier(factor, b, base, ROWS)
        divide(f, factor, b, base)


cdef inline void update_abreast(Front* f, wide* factor, Py_ssize_t first) noexcept nogil:
    """Work out 2 BROAD columns of the result, as many as stay in the cache while rows pass by."""
    cdef wide* to[2 * BROAD]
    cdef wide* start[2 * BROAD]
    cdef wide* a[4]
    cdef wide* b[2 * BROAD]
    cdef Py_ssize_t i, j, l
    cdef int owner = f.owner[first]  # of all these columns: sides are whole vectors long
    for j in range(2 * BROAD):
        b[j] = <wide*> f.panel[first + j]
        to[j] = <wide*> f.target + column(first + j, 1)
    for i in range(0, first + 2 * BROAD, 4):
        for l in range(4):
            a[l] = <wide*> f.panel[i + l]
        if f.owner[i] == owner:
            for j in range(2 * BROAD):
                start[j] = b[j] + f.index[i]
        else:
            for j in range(2 * BROAD):
                start[j] = <wide*> f.zeros
        if i < first + BROAD:
            if wide is wide_d:
                double_add_products(to, start, a, b, 0, f.shared)
            else:
                float_add_products(to, start, a, b, 0, f.shared)
        if wide is wide_d:
            double_add_products(to + BROAD, start + BROAD, a, b + BROAD, 0, f.shared)
        else:
            float_add_products(to + BROAD, start + BROAD, a, b + BROAD, 0, f.shared)
        for j in range(2 * BROAD):
            to[j] += 4


cdef inline void merge_abreast(
    wide* zeros, Work* work, Block* a, Block* b, Py_ssize_t shared, Block* out, Py_ssize_t first
) noexcept nogil:
    """Join two blocks at the first ``shared`` terminals of each and eliminate these; ``b`` may be NULL.

    Every side of a block is a whole number of vectors long; columns of the result before ``first`` are not wanted.
    """
    cdef Front f
    cdef Py_ssize_t mark = work.used, i
    cdef wide* factor = <wide*> a.data
    join(zeros, work, a, b, shared, out, first, 1, &f)
    if b != NULL:
        add_shared(&f, factor, <wide*> b.data, 1)
    for i in range(shared // ROWS):
        sum_rows(&f, factor, i * ROWS)
    factor_abreast(&f, factor)
    for i in range(f.size // BROAD):
        solve_abreast(&f, factor, i * BROAD)
    for i in range((f.size - first) // (2 * BROAD)):
        update_abreast(&f, factor, first + i * 2 * BROAD)
    work.used = mark
