"""Elimination of terminals, subtracting nothing: the arithmetic of the tree kernel, in two layouts.

The conductances between the terminals of a block are stored as the upper triangle, column after column, of *units*. In
the layout ``single`` a unit is one number of each of several blocks that are treated together, one a lane of a vector.
Otherwise it is a square tile of numbers of one block, each row a vector, and only whole tiles of terminals occur.

The terminals to eliminate come first. With d the sum of the conductances at a terminal when its turn comes, its row is
divided by sqrt(d), after which the product of its elements i and j is what its elimination adds between i and j. The
diagonal is never needed, and holds nothing of meaning.
"""

from tree.products cimport double_add_from, float_add_from
from tree.pivots cimport narrow, tile_pivots
from simd.vectors cimport BROAD, ROWS, STRIP, get, inverse_root, lanes, put, spread, wide, wide_d, zero

# Types that only tell the compiler how many vectors wide a strip of columns is, so that it can hold it in registers.
ctypedef signed char one
ctypedef short two
ctypedef int three
ctypedef fused width:
    one
    two
    three


cdef struct Front:
    Py_ssize_t shared    # units to eliminate
    Py_ssize_t size      # units that stay
    Py_ssize_t first     # the first column of the result that is wanted
    void* factor         # the block whose first columns are those to eliminate
    void** panel         # of each unit that stays: its column, whose first rows are those to eliminate
    int* owner           # and the block that it comes from,
    Py_ssize_t* index    # and its place there
    void* target         # the result
    void* sums           # of the conductances to the units that stay, of each terminal to eliminate
    void* roots          # single: 1/sqrt(d); else the sums as elimination leaves them
    void* zeros          # a unit of zeros


cdef inline Py_ssize_t column(Py_ssize_t j, Py_ssize_t unit) noexcept nogil:
    """Where column ``j`` begins. Single columns are padded to a multiple of four."""
    if unit == 1:
        return (8 * (j // 4) + 4 * (j % 4)) * (j // 4 + 1)
    return unit * (j * (j + 1) // 2)


cdef inline void rank_rows(
    width unused, wide** to, wide** start, const wide* a, Py_ssize_t lane, wide** b, Py_ssize_t depth
) noexcept nogil:
    """Set ROWS rows of a strip to those of ``start`` plus the product of ROWS columns of ``a``, transposed, with ``b``.

    In single precision ``start`` comes last, as ``products.pxd`` explains.
    """
    cdef wide c[3 * ROWS]
    cdef wide x, y0, y1, y2
    cdef Py_ssize_t i, k
    for i in range(ROWS):
        c[3 * i] = start[0][i] if wide is wide_d else zero(a)
        if width is not one:
            c[3 * i + 1] = start[1][i] if wide is wide_d else zero(a)
        if width is three:
            c[3 * i + 2] = start[2][i] if wide is wide_d else zero(a)
    for k in range(depth):
        y0 = b[0][k]
        if width is not one:
            y1 = b[1][k]
        if width is three:
            y2 = b[2][k]
        for i in range(ROWS):
            x = spread(a + k, lane + i)
            c[3 * i] = c[3 * i] + x * y0
            if width is not one:
                c[3 * i + 1] = c[3 * i + 1] + x * y1
            if width is three:
                c[3 * i + 2] = c[3 * i + 2] + x * y2
    for i in range(ROWS):
        to[0][i] = c[3 * i] if wide is wide_d else start[0][i] + c[3 * i]
        if width is not one:
            to[1][i] = c[3 * i + 1] if wide is wide_d else start[1][i] + c[3 * i + 1]
        if width is three:
            to[2][i] = c[3 * i + 2] if wide is wide_d else start[2][i] + c[3 * i + 2]


cdef inline void rank(
    Py_ssize_t count, wide** to, wide** start, const wide* a, Py_ssize_t lane, wide** b, Py_ssize_t depth
) noexcept nogil:
    if count == 3:
        rank_rows(<three> 0, to, start, a, lane, b, depth)
    elif count == 2:
        rank_rows(<two> 0, to, start, a, lane, b, depth)
    else:
        rank_rows(<one> 0, to, start, a, lane, b, depth)


cdef inline void tile_sums(Front* f, wide* factor, Py_ssize_t block) noexcept nogil:
    """Sum the conductances of one row of tiles to the terminals that stay."""
    cdef Py_ssize_t w = lanes(factor), base, turn, i, j, l
    cdef wide part[ROWS]
    cdef wide* row
    cdef double total
    for turn in range(w // ROWS):
        base = block * w + turn * ROWS
        for i in range(ROWS):
            part[i] = zero(factor)
        for j in range(f.size):
            row = <wide*> f.panel[j] + base
            for i in range(ROWS):
                part[i] = part[i] + row[i]
        for i in range(ROWS):
            total = 0.0
            for l in range(w):
                total = narrow(factor, total + get(part + i, l))
            put(<wide*> f.sums, base + i, total)


cdef inline void tile_factor(Front* f, wide* factor) noexcept nogil:
    """Eliminate the shared terminals among each other, ROWS at a time.

    Leaves in each column of tiles the rows above it as the elimination of others needs them, and in its last tile the
    ``inverse`` of :c:func:`tile_pivots`.
    """
    cdef Py_ssize_t w = lanes(factor), base, block, lane, low, count, turn, i, j, k
    cdef wide* a
    cdef wide* row
    cdef wide* sums = <wide*> f.sums
    cdef wide* carried = <wide*> f.roots
    cdef wide* to[3]
    cdef wide* start[3]
    cdef wide* b[3]
    cdef wide part[ROWS]
    cdef wide inverse[ROWS]
    cdef wide x
    cdef double outside[ROWS]
    for turn in range(f.shared * w // ROWS):
        base = turn * ROWS
        block = base // w
        lane = base % w
        a = factor + column(block, w)
        x = sums[block]
        low = block * w if lane else 0
        for k in range(low, base):
            x = x + a[k] * spread(carried, k)
        sums[block] = x
        j = block
        while j < f.shared:
            count = min(STRIP, f.shared - j)
            for i in range(count):
                b[i] = factor + column(j + i, w)
                to[i] = b[i] + base
            rank(count, to, to, a, lane, b, base)
            j += STRIP
        for i in range(ROWS):
            part[i] = zero(factor)
        for j in range(block + 1, f.shared):
            row = factor + column(j, w) + base
            for i in range(ROWS):
                part[i] = part[i] + row[i]
        for i in range(ROWS):
            outside[i] = get(sums, base + i)
            for k in range(w):
                outside[i] = narrow(factor, outside[i] + get(part + i, k))
            for k in range(lane + ROWS, w):
                outside[i] = narrow(factor, outside[i] + get(a + base + i, k))
        tile_pivots(a, base, lane, outside, sums, carried, inverse)
        for i in range(3):
            start[i] = <wide*> f.zeros
        j = block if lane + ROWS < w else block + 1
        while j < f.shared:
            count = min(STRIP, f.shared - j)
            for i in range(count):
                to[i] = factor + column(j + i, w) + base
            rank(count, to, start, inverse, lane, to, ROWS)
            j += STRIP
        for i in range(ROWS):
            for k in range(ROWS):
                put(a + base + i, lane + k, get(inverse + i, lane + k))


cdef inline void tile_solve(Front* f, wide* factor, Py_ssize_t first) noexcept nogil:
    """Eliminate the shared terminals from a strip of columns."""
    cdef Py_ssize_t w = lanes(factor), base, lane, turn, i, count = min(STRIP, f.size - first)
    cdef wide* a
    cdef wide* to[3]
    cdef wide* start[3]
    cdef wide* b[3]
    for i in range(3):
        start[i] = <wide*> f.zeros
    for i in range(count):
        b[i] = <wide*> f.panel[first + i]
    for turn in range(f.shared * w // ROWS):
        base = turn * ROWS
        lane = base % w
        a = factor + column(base // w, w)
        for i in range(count):
            to[i] = b[i] + base
        rank(count, to, to, a, lane, b, base)
        rank(count, to, start, a + base, lane, to, ROWS)


cdef inline void tile_update(Front* f, wide* factor, Py_ssize_t first) noexcept nogil:
    """Work out a strip of columns of the result."""
    cdef Py_ssize_t w = lanes(factor), lane, turn, i, j, k, low, count = min(STRIP, f.size - first)
    cdef wide* to[3]
    cdef wide* start[3]
    cdef wide* b[3]
    for i in range(first + count):
        low = max(first, i)
        for turn in range(w // ROWS):
            lane = turn * ROWS
            for k in range(first + count - low):
                j = low + k
                b[k] = <wide*> f.panel[j]
                to[k] = <wide*> f.target + column(j, w) + i * w + lane
                start[k] = <wide*> f.zeros
                if f.owner[i] == f.owner[j]:
                    start[k] = b[k] + f.index[i] * w + lane
            rank(first + count - low, to, start, <wide*> f.panel[i], lane, b, f.shared * w)


cdef inline void single_factor(Front* f, wide* factor, Py_ssize_t depth) noexcept nogil:
    """Eliminate the shared terminals among each other, and all others' share in their sums."""
    cdef Py_ssize_t i, j, l
    cdef wide* sums = <wide*> f.sums
    cdef wide* roots = <wide*> f.roots
    cdef wide* row
    cdef wide d, u
    for i in range(depth):
        d = zero(factor)
        for j in range(f.size):
            d = d + (<wide*> f.panel[j])[i]
        sums[i] = d
    for i in range(depth):
        d = sums[i]
        for j in range(i + 1, depth):
            d = d + factor[column(j, 1) + i]
        d = inverse_root(d)
        roots[i] = d
        sums[i] = sums[i] * d
        for j in range(i + 1, depth):
            row = factor + column(j, 1)
            u = row[i] * d
            row[i] = u
            sums[j] = sums[j] + u * sums[i]
            for l in range(i + 1, j):
                row[l] = row[l] + u * factor[column(l, 1) + i]


cdef inline void single_solve(Front* f, wide* factor, Py_ssize_t first, Py_ssize_t depth) noexcept nogil:
    """Eliminate the shared terminals from four columns."""
    cdef Py_ssize_t i, k
    cdef wide* p0 = <wide*> f.panel[first]
    cdef wide* p1 = <wide*> f.panel[first + 1]
    cdef wide* p2 = <wide*> f.panel[first + 2]
    cdef wide* p3 = <wide*> f.panel[first + 3]
    cdef wide* roots = <wide*> f.roots
    cdef wide* u
    cdef wide x0, x1, x2, x3
    for i in range(depth):
        u = factor + column(i, 1)
        x0, x1, x2, x3 = p0[i], p1[i], p2[i], p3[i]
        for k in range(i):
            x0 = x0 + u[k] * p0[k]
            x1 = x1 + u[k] * p1[k]
            x2 = x2 + u[k] * p2[k]
            x3 = x3 + u[k] * p3[k]
        p0[i] = x0 * roots[i]
        p1[i] = x1 * roots[i]
        p2[i] = x2 * roots[i]
        p3[i] = x3 * roots[i]


cdef inline void single_update(Front* f, wide* factor, wide* data, const int* starts, Py_ssize_t depth) noexcept nogil:
    """Work out the result, four columns and four rows at a time; ``starts`` says where what it begins with is in ``data``.

    ``depth`` is as many terminals as are eliminated: a number that the compiler may know.
    """
    cdef Py_ssize_t first, i, l, turn
    cdef wide* to[4]
    cdef wide* a[4]
    cdef wide* b[4]
    for first in range(0, f.size, 4):
        for l in range(4):
            b[l] = <wide*> f.panel[first + l]
            to[l] = <wide*> f.target + column(first + l, 1)
        for i in range(0, first + 4, 4):
            for l in range(4):
                a[l] = <wide*> f.panel[i + l]
            for turn in range(4 // BROAD):
                if wide is wide_d:
                    double_add_from(to + turn * BROAD, data, starts, 4, 1, a, b + turn * BROAD, depth)
                else:
                    float_add_from(to + turn * BROAD, data, starts, 4, 1, a, b + turn * BROAD, depth)
                starts += 4 * BROAD
            for l in range(4):
                to[l] += 4


cdef inline void sorted_update(
    Front* f, wide* factor, wide* data, const int* starts, wide* target, const Py_ssize_t* offset, Py_ssize_t depth
) noexcept nogil:
    """As :c:func:`single_update`, of a leaf whose sides shall begin at ``offset``."""
    cdef Py_ssize_t side = f.size // 4, first, second, i, j, l, row, col, low, high, across, down, turn
    cdef const int* block
    cdef wide* to[BROAD]
    cdef wide* a[4]
    cdef wide* b[BROAD]
    for second in range(4):
        for first in range(4):
            if offset[first] > offset[second]:
                continue
            for j in range(0, side, 4):
                for i in range(0, j + 4 if first == second else side, 4):
                    row, col = (first * side + i) // 4, (second * side + j) // 4
                    for l in range(4):
                        a[l] = <wide*> f.panel[4 * row + l]
                    low, high = min(row, col), max(row, col)
                    block = starts + 16 * (high * (high + 1) // 2 + low)
                    across = 4 if row <= col else 1  # of a block below the diagonal: its mirror image
                    down = 5 - across
                    for turn in range(4 // BROAD):
                        for l in range(BROAD):
                            b[l] = <wide*> f.panel[4 * col + turn * BROAD + l]
                            to[l] = target + column(offset[second] + j + turn * BROAD + l, 1) + offset[first] + i
                        if wide is wide_d:
                            double_add_from(to, data, block, across, down, a, b, depth)
                        else:
                            float_add_from(to, data, block, across, down, a, b, depth)
                        block += across * BROAD
