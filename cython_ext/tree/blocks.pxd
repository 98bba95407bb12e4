"""Blocks of a tile and their merging: the vocabulary of the tree kernel.

A side of a block is the sooner eliminated, the deeper the cut that it lies at. Terminals are sorted by that, so that
the ones to eliminate always come first, and the upper triangles of merged blocks fit into each other.
"""

from cython.parallel cimport prange
from libc.stdint cimport int64_t

from simd.threads cimport SMALL
from tree.dense_elimination cimport Front, column, tile_factor, tile_solve, tile_sums, tile_update
from simd.vectors cimport STRIP, wide


cdef enum:
    LEFT, RIGHT, TOP, BOTTOM

cdef enum:
    AT_ONCE = 1000  # from this time on a side is eliminated that leads nowhere: before all others

cdef struct Block:
    void* data             # conductances between its terminals, or NULL: to be allocated
    Py_ssize_t size        # terminals, in units
    Py_ssize_t grain       # units a side of a leaf, or of a cell, whichever the block is counted in
    Py_ssize_t extent[4]   # of each side, in units
    Py_ssize_t offset[4]   # of each side, in the order of elimination
    int time[4]            # when each side is eliminated; the largest is the first


cdef enum:
    CORNER, FACTOR, UPDATE

cdef struct Step:
    # A step of the merging of single cells into a leaf: the same for every leaf, so it is laid out but once.
    int kind
    Front front            # of two blocks,
    void* other            # the second of which this is
    int* starts            # where the numbers are that those of the result begin with
    void* corner           # of four cells: what becomes of them,
    int ties[28]           # where in it the conductances are, those that are 0 last,
    Py_ssize_t cell        # and the first of the cells


cdef struct Work:
    char* memory           # of this thread
    Py_ssize_t used
    void* zeros            # a unit of zeros
    void* cells            # conductances of the cells of a batch of leaves, and of their segments
    void* words
    void* bits
    int* places            # where in a leaf the conductance between two terminals is, of all pairs of 4 sides
    Step* steps            # how a leaf is merged from single cells,
    Py_ssize_t count
    void* data             # and what lies in between
    void* leaves           # the leaves of a group, or NULL
    Py_ssize_t row         # where the group begins,
    Py_ssize_t column
    Py_ssize_t columns     # how wide it is,
    Py_ssize_t index       # and the first leaf of the present tile in it
    Block* done            # subtrees computed already, or NULL
    Py_ssize_t next
    Py_ssize_t tile


cdef struct Stack:
    void* cells
    void* words
    void* bits
    void* matrix
    void* admittance
    const int64_t* which                # of each tile that is worked out, its place in the stack; NULL: all, in order
    Py_ssize_t tiles, rows, columns
    Py_ssize_t word_step, bit_step      # from tile to tile; 0 if they are shared
    Py_ssize_t leaf_rows, leaf_columns  # leaves a tile
    double ideal                        # conductance of an ideal segment
    double unit                         # of all conductances, by which results are multiplied: a power of 2
    bint both_drive, both_sense


cdef inline Py_ssize_t place_of(const Stack* s, Py_ssize_t tile) noexcept nogil:
    return tile if s.which == NULL else s.which[tile]


cdef inline void* take(Work* work, Py_ssize_t size) noexcept nogil:
    cdef void* start = work.memory + work.used
    work.used += (size + 63) // 64 * 64
    return start


cdef inline Py_ssize_t storage(Py_ssize_t size, Py_ssize_t unit, Py_ssize_t vector) noexcept nogil:
    """Bytes of a block of ``size`` units; reading whole groups of four may go a little beyond the last column."""
    return (column(size, unit) + (64 if unit == 1 else 0)) * vector


cdef inline void lay_out(Block* block, Py_ssize_t rows, Py_ssize_t columns, bint whole) noexcept nogil:
    """Sort the sides of a block by the time of their elimination; ``whole`` says whether it still has all of them."""
    cdef int i, j
    block.data = NULL
    block.size = 0
    for i in range(4):
        block.extent[i] = 0
        block.offset[i] = 0
        if whole or block.time[i] < AT_ONCE:
            block.extent[i] = (rows if i <= RIGHT else columns) * block.grain
        block.size += block.extent[i]
    for i in range(4):
        for j in range(4):
            if block.time[j] > block.time[i]:
                block.offset[i] += block.extent[j]


cdef inline Py_ssize_t upper(Py_ssize_t n) noexcept nogil:
    """The larger half."""
    return (n + 1) // 2


cdef inline Py_ssize_t need(Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t unit, Py_ssize_t vector) noexcept nogil:
    """Bytes that the construction of a rectangle takes, its leaves not counted."""
    cdef Py_ssize_t size = 2 * (rows + columns), tables = size * (32 + 2 * vector) + 1024
    cdef Py_ssize_t own = storage(size, unit, vector) + 64
    if max(rows, columns) <= 2 // min(unit, 2):
        return 2 * own + tables
    if rows > columns:
        rows = upper(rows)
    else:
        columns = upper(columns)
    return own + storage(2 * (rows + columns), unit, vector) + tables + need(rows, columns, unit, vector)


cdef inline void cut(Block* whole, Py_ssize_t rows, Py_ssize_t columns, int depth, Block* a, Block* b) noexcept nogil:
    """Describe the two halves of a rectangle, cut across its longer sides."""
    a[0], b[0] = whole[0], whole[0]
    if rows > columns:
        a.time[BOTTOM] = b.time[TOP] = depth
        lay_out(a, upper(rows), columns, False)
        lay_out(b, rows - upper(rows), columns, False)
    else:
        a.time[RIGHT] = b.time[LEFT] = depth
        lay_out(a, rows, upper(columns), False)
        lay_out(b, rows, columns - upper(columns), False)


cdef inline void sums_in_parallel(Front* f, wide* factor, int threads) noexcept nogil:
    cdef Py_ssize_t i
    for i in prange(f.shared, num_threads=threads, schedule="static"):
        tile_sums(f, factor, i)


cdef inline void solve_in_parallel(Front* f, wide* factor, int threads) noexcept nogil:
    cdef Py_ssize_t i
    for i in prange((f.size + STRIP - 1) // STRIP, num_threads=threads, schedule="dynamic"):
        tile_solve(f, factor, i * STRIP)


cdef inline void update_in_parallel(Front* f, wide* factor, int threads) noexcept nogil:
    """The longest columns first, so that no thread ends long after the others."""
    cdef Py_ssize_t i, strips = (f.size - f.first + STRIP - 1) // STRIP
    for i in prange(strips, num_threads=threads, schedule="dynamic"):
        tile_update(f, factor, f.first + (strips - 1 - i) * STRIP)


cdef inline void join(
    wide* zeros, Work* work, Block* a, Block* b, Py_ssize_t shared, Block* out, Py_ssize_t first, Py_ssize_t unit, Front* f
) noexcept nogil:
    """Describe the joining of two blocks at the first ``shared`` units of each; ``b`` may be NULL."""
    cdef Py_ssize_t i, n, vector = sizeof(zeros[0])
    cdef int side, child
    cdef Block* source
    f.shared, f.size, f.first, f.factor, f.target, f.zeros = shared, out.size, first, a.data, out.data, zeros
    f.panel = <void**> take(work, out.size * sizeof(void*))
    f.owner = <int*> take(work, out.size * sizeof(int))
    f.index = <Py_ssize_t*> take(work, out.size * sizeof(Py_ssize_t))
    f.sums = take(work, shared * vector)
    f.roots = take(work, shared * vector)
    for side in range(4):
        n = out.offset[side]
        for child in range(2):
            source = b if child else a
            if source != NULL and source.offset[side] >= shared:
                for i in range(source.extent[side]):
                    f.panel[n] = <wide*> source.data + column(source.offset[side] + i, unit)
                    f.owner[n] = child
                    f.index[n] = source.offset[side] + i
                    n += 1


cdef inline void add_shared(Front* f, wide* factor, const wide* other, Py_ssize_t unit) noexcept nogil:
    """Add what the second of two joined blocks has between the terminals that they share."""
    cdef Py_ssize_t i, j, n
    for j in range(f.shared):
        i = column(j, unit)
        for n in range(i, i + (j if unit == 1 else (j + 1) * unit)):
            factor[n] = factor[n] + other[n]


cdef inline void merge(
    wide* zeros, Work* work, Block* a, Block* b, Py_ssize_t shared, Block* out, Py_ssize_t first, Py_ssize_t unit,
    int threads,
) noexcept nogil:
    """Join two blocks in tiles at the first ``shared`` units of each and eliminate these; ``b`` may be NULL."""
    cdef Front f
    cdef Py_ssize_t mark = work.used, i
    cdef wide* factor = <wide*> a.data
    join(zeros, work, a, b, shared, out, first, unit, &f)
    if b != NULL:
        add_shared(&f, factor, <wide*> b.data, unit)
    if threads > 1 and shared * out.size * out.size * unit * unit * unit > SMALL:
        sums_in_parallel(&f, factor, threads)
        tile_factor(&f, factor)
        solve_in_parallel(&f, factor, threads)
        update_in_parallel(&f, factor, threads)
    else:
        for i in range(shared):
            tile_sums(&f, factor, i)
        tile_factor(&f, factor)
        for i in range((f.size + STRIP - 1) // STRIP):
            tile_solve(&f, factor, i * STRIP)
        for i in range((f.size - first + STRIP - 1) // STRIP):
            tile_update(&f, factor, first + i * STRIP)
    work.used = mark
