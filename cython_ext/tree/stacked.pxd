"""Transfer matrices of as many tiles of a stack as a vector has lanes, each in a lane from its cells to its results.

Every number is that of a tile computed by itself (``tree.pyx``), to the last bit: cells are merged into the same leaves,
leaves into the same blocks, and ``abreast.pxd`` does what ``dense_elimination.pxd`` does.
"""

from tree.abreast cimport merge_abreast
from tree.blocks cimport BOTTOM, LEFT, RIGHT, TOP, Block, Stack, Work, cut, lay_out, place_of, storage, take, upper
from tree.leaves cimport merge_leaf
from tree.dense_elimination cimport column
from simd.vectors cimport copy, lanes, load_turned, number, put, store_turned, wide, zero


cdef inline void fill_segment(
    wide* to, Stack* s, Py_ssize_t tile, const wide* source, Py_ssize_t step, Py_ssize_t offset
) noexcept nogil:
    """Take as many numbers as a vector has lanes, of as many tiles: lane t of vector j is number j of tile t."""
    cdef Py_ssize_t places[16]
    cdef Py_ssize_t w = lanes(to), lane
    for lane in range(w):
        places[lane] = place_of(s, tile + lane) * step + offset
    load_turned(to, source, places)


cdef inline void fill_leaf(wide* zeros, Work* work, Stack* s, Py_ssize_t tile, Py_ssize_t row, Py_ssize_t col) noexcept nogil:
    """Take the cells of a leaf; those beyond the tiles conduct nothing, and their wires are ideal."""
    cdef Py_ssize_t w = lanes(zeros), pad = s.leaf_rows * w - s.rows, i, j, p, q = col * w, lane
    cdef wide* cells = <wide*> work.cells
    cdef wide* words = <wide*> work.words
    cdef wide* bits = <wide*> work.bits
    cdef Py_ssize_t cell_step = s.rows * s.columns
    for i in range(w):
        p = row * w + i - pad
        if p >= 0 and q + w <= s.columns:
            fill_segment(cells + i * w, s, tile, <wide*> s.cells, cell_step, p * s.columns + q)
            fill_segment(words + i * w, s, tile, <wide*> s.words, s.word_step, p * (s.columns + 1) + q)
            fill_segment(bits + i * w, s, tile, <wide*> s.bits, s.bit_step, (p + 1) * s.columns + q)
            continue
        for j in range(w):
            for lane in range(w):
                put(cells, (i * w + j) * w + lane, 0.0)
                put(words, (i * w + j) * w + lane, s.ideal)
                put(bits, (i * w + j) * w + lane, s.ideal)
                if p >= 0 and q + j < s.columns:
                    copy(
                        cells, (i * w + j) * w + lane, <wide*> s.cells,
                        place_of(s, tile + lane) * cell_step + p * s.columns + q + j,
                    )
                    copy(
                        words, (i * w + j) * w + lane, <wide*> s.words,
                        place_of(s, tile + lane) * s.word_step + p * (s.columns + 1) + q + j,
                    )
                    copy(
                        bits, (i * w + j) * w + lane, <wide*> s.bits,
                        place_of(s, tile + lane) * s.bit_step + (p + 1) * s.columns + q + j,
                    )


cdef inline void clear_diagonal(wide* at, Py_ssize_t size) noexcept nogil:
    """Put numbers where none is ever looked at, though it is computed with."""
    cdef Py_ssize_t i, j
    for j in range(size):
        for i in range(j, j // 4 * 4 + 4):
            at[column(j, 1) + i] = zero(at)


cdef inline void build_abreast(
    wide* zeros, Work* work, Stack* s, Py_ssize_t tile, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t col,
    Py_ssize_t columns, int depth, Block* out, Py_ssize_t first
) noexcept nogil:
    """Work out a rectangle of leaves of tiles from number ``tile`` on."""
    cdef Py_ssize_t w = lanes(zeros), vector = sizeof(zeros[0]), mark, half
    cdef Block a, b
    if out.data == NULL:
        out.data = take(work, storage(out.size, 1, vector))
    mark = work.used
    if rows == 1 and columns == 1:
        fill_leaf(zeros, work, s, tile, row, col)
        if out.size == 4 * w:
            merge_leaf(zeros, work, <wide*> out.data, out.offset)
            clear_diagonal(<wide*> out.data, out.size)
        else:
            a = out[0]
            lay_out(&a, 1, 1, True)
            a.data = take(work, storage(a.size, 1, vector))
            merge_leaf(zeros, work, <wide*> a.data, a.offset)
            clear_diagonal(<wide*> a.data, a.size)
            merge_abreast(zeros, work, &a, NULL, a.size - out.size, out, first)
    else:
        cut(out, rows, columns, depth, &a, &b)
        if rows > columns:
            half = upper(rows)
            build_abreast(zeros, work, s, tile, row, half, col, columns, depth + 1, &a, 0)
            build_abreast(zeros, work, s, tile, row + half, rows - half, col, columns, depth + 1, &b, 0)
        else:
            half = upper(columns)
            build_abreast(zeros, work, s, tile, row, rows, col, half, depth + 1, &a, 0)
            build_abreast(zeros, work, s, tile, row, rows, col + half, columns - half, depth + 1, &b, 0)
        merge_abreast(zeros, work, &a, &b, min(rows, columns) * w, out, first)
    work.used = mark


cdef inline void read_row(
    wide* zeros, const Py_ssize_t* places, wide* to, Py_ssize_t step, Py_ssize_t offset, wide** source, Py_ssize_t count,
    wide* total, double unit
) noexcept nogil:
    """Add what ``count`` drivers give into one terminal to their totals, and store it in the unit that is wanted."""
    cdef wide found[16]
    cdef wide factor = number(zeros, unit)
    cdef Py_ssize_t p
    for p in range(count):
        total[p] = total[p] + source[p][0]
        found[p] = source[p][0] * factor
    store_turned(to, places, step, offset, found, count)


cdef inline void read_drivers(
    wide* zeros, Stack* s, const Py_ssize_t* places, Block* root, Py_ssize_t i, Py_ssize_t count
) noexcept nogil:
    """Read off what ``count`` drivers from number ``i`` on do."""
    cdef Py_ssize_t w = lanes(zeros), j, p, lane, own_step = s.rows * s.rows
    cdef Py_ssize_t driver = root.offset[LEFT] + s.leaf_rows * w - s.rows, ground = root.offset[BOTTOM]
    cdef wide* at = <wide*> root.data
    cdef wide* own = <wide*> s.admittance
    cdef wide total[16]
    cdef wide* source[16]
    for p in range(count):
        total[p] = zero(zeros)
        source[p] = at + column(driver + i + p, 1) + ground
    for j in range(s.columns):
        read_row(zeros, places, <wide*> s.matrix, s.columns * s.rows, j * s.rows + i, source, count, total, s.unit)
        for p in range(count):
            source[p] = source[p] + 1
    for j in range(s.rows):
        for p in range(count):
            if j < i + p:
                source[p] = at + column(driver + i + p, 1) + driver + j
            elif j == i + p:
                source[p] = zeros
            else:
                source[p] = at + column(driver + j, 1) + driver + i + p
        read_row(zeros, places, own, own_step, j * s.rows + i, source, count, total, -s.unit)
    for p in range(count):
        total[p] = total[p] * number(zeros, s.unit)
        for lane in range(w):
            copy(own, places[lane] * own_step + (i + p) * (s.rows + 1), total + p, lane)


cdef inline void read_off(wide* zeros, Stack* s, Py_ssize_t tile, Block* root) noexcept nogil:
    """Read off the results, as many drivers at a time as a vector has lanes."""
    cdef Py_ssize_t w = lanes(zeros), i
    cdef Py_ssize_t places[16]
    for i in range(w):
        places[i] = place_of(s, tile + i)
    for i in range(s.rows // w):
        read_drivers(zeros, s, places, root, i * w, w)
    if s.rows % w:
        read_drivers(zeros, s, places, root, s.rows // w * w, s.rows % w)
