"""The transfer matrix of linear tiles, by nested merging of blocks of cells; ``_reference_tree.py`` says it in NumPy.

Leaves are merged from single cells (``leaves.pxd``), as many at a time as there are lanes, each in a lane; then blocks of
leaves are merged (``blocks.pxd``), one at a time, in tiles (``dense_elimination.pxd``). Tiles of a stack stay in their
lanes from first to last, where there are enough of them (``stacked.pxd``), with the same bits.

Work is cut up the same way whatever the number of threads, and every number is computed by one thread: so are the bits.
"""

from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.stdint cimport int64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from tree.blocks cimport (
    AT_ONCE, BOTTOM, LEFT, RIGHT, TOP, Block, Stack, Work, cut, lay_out, merge, need, place_of, storage, take, upper,
)
from tree.leaves cimport build_leaves, find_places, plan_leaf, unpack
from simd.threads cimport HAS_OPENMP, SMALL
from tree.stacked cimport build_abreast, read_off
from tree.pivots cimport narrow
from tree.dense_elimination cimport column
from simd.vectors cimport get, lanes, put, wide, wide_d, wide_f

import numpy as np

OPENMP = bool(HAS_OPENMP)

# Leaves that are merged from single cells before blocks of them are merged: few enough for the cache.
cdef Py_ssize_t GROUP = 64
# Tiles of more leaves are computed one after another by all threads, others side by side, each by one.
cdef Py_ssize_t LARGE = 256
# Cells of a tile, up to which tiles of a stack are computed abreast.
cdef Py_ssize_t ABREAST = 96 * 96


cdef struct Task:
    Block out
    Py_ssize_t row, rows, col, columns
    int depth


cdef void build(wide* zeros, Work* work, Stack* s, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t col, Py_ssize_t columns,
                int depth, Block* out, Py_ssize_t first, int threads) noexcept nogil:
    """Work out a rectangle of leaves."""
    cdef Py_ssize_t unit = lanes(zeros), vector = sizeof(zeros[0]), mark, half, leaf
    cdef Block a, b
    cdef bint own_leaves = False
    if work.done != NULL and rows * columns <= GROUP:
        out[0] = work.done[work.next]
        work.next += 1
        return
    if out.data == NULL:
        out.data = take(work, storage(out.size, unit, vector))
    mark = work.used
    if work.leaves == NULL and rows * columns <= GROUP:
        own_leaves = True
        build_leaves(zeros, work, s, work.tile, 1, row, rows, col, columns)
    if rows == 1 and columns == 1:
        leaf = work.index + (row - work.row) * work.columns + col - work.column
        if out.size == 4:
            unpack(zeros, work, leaf, out)
        else:
            a = out[0]
            lay_out(&a, 1, 1, True)
            a.data = take(work, storage(4, unit, vector))
            unpack(zeros, work, leaf, &a)
            merge(zeros, work, &a, NULL, 4 - out.size, out, first, unit, 1)
    else:
        cut(out, rows, columns, depth, &a, &b)
        if rows > columns:
            half = upper(rows)
            build(zeros, work, s, row, half, col, columns, depth + 1, &a, 0, threads)
            build(zeros, work, s, row + half, rows - half, col, columns, depth + 1, &b, 0, threads)
        else:
            half = upper(columns)
            build(zeros, work, s, row, rows, col, half, depth + 1, &a, 0, threads)
            build(zeros, work, s, row, rows, col + half, columns - half, depth + 1, &b, 0, threads)
        merge(zeros, work, &a, &b, min(rows, columns), out, first, unit, threads)
    if own_leaves:
        work.leaves = NULL
    work.used = mark


cdef void begin(Stack* s, Block* root, Py_ssize_t grain) noexcept nogil:
    """Describe a whole tile. Drivers and grounds stay; second ends are eliminated last, or at once if not in use."""
    root.grain = grain
    root.time[RIGHT] = 0 if s.both_drive else AT_ONCE
    root.time[TOP] = -1 if s.both_sense else AT_ONCE + 1
    root.time[BOTTOM] = -2
    root.time[LEFT] = -3
    lay_out(root, s.leaf_rows, s.leaf_columns, False)


cdef inline Py_ssize_t place_in(Py_ssize_t i, Py_ssize_t j, Py_ssize_t w) noexcept nogil:
    """Where in a block of tiles the conductance between terminals i <= j lies."""
    return (column(j // w, w) + i) * w + j % w


cdef void finish(wide* zeros, Work* work, Stack* s, Py_ssize_t number_of, Block* root, int threads) noexcept nogil:
    """Join the second ends of the lines to the first, and read off the results."""
    cdef Py_ssize_t tile = place_of(s, number_of)
    cdef Py_ssize_t w = lanes(zeros), pad = s.leaf_rows * w - s.rows, shared = 0, i, j, o, p
    cdef Block out = root[0]
    cdef wide* at = <wide*> root.data
    cdef wide* matrix = <wide*> s.matrix
    cdef wide* admittance = <wide*> s.admittance
    cdef double total
    if s.both_drive:
        shared += s.leaf_rows
        for i in range(s.rows):
            o = place_in(root.offset[RIGHT] * w + i + pad, root.offset[LEFT] * w + i + pad, w)
            put(at, o, get(at, o) + get(<wide*> s.words, tile * s.word_step + (i + 1) * (s.columns + 1) - 1))
    if s.both_sense:
        shared += s.leaf_columns
        for j in range(s.columns):
            o = place_in(root.offset[TOP] * w + j, root.offset[BOTTOM] * w + j, w)
            put(at, o, get(at, o) + get(<wide*> s.bits, tile * s.bit_step + j))
    if shared:
        out.time[RIGHT], out.time[TOP] = AT_ONCE, AT_ONCE + 1
        lay_out(&out, s.leaf_rows, s.leaf_columns, False)
        out.data = take(work, storage(out.size, w, sizeof(zeros[0])))
        merge(zeros, work, root, NULL, shared, &out, out.offset[LEFT], w, threads)
        at = <wide*> out.data
    for i in range(s.rows):
        total = 0.0
        p = out.offset[LEFT] * w + i + pad
        for j in range(s.columns):
            o = place_in(out.offset[BOTTOM] * w + j, p, w)
            total = narrow(zeros, total + get(at, o))
            put(matrix, (tile * s.columns + j) * s.rows + i, s.unit * get(at, o))
        for j in range(s.rows):
            if j != i:
                o = place_in(min(p, p + j - i), max(p, p + j - i), w)
                total = narrow(zeros, total + get(at, o))
                put(admittance, (tile * s.rows + i) * s.rows + j, -s.unit * get(at, o))
        put(admittance, (tile * s.rows + i) * s.rows + i, s.unit * total)


cdef Py_ssize_t prepare(wide* zeros, Work* work, char* memory) noexcept nogil:
    """Give a thread its memory and return how much of it is used for good; with NULL, only say how much."""
    cdef Py_ssize_t w = lanes(zeros), vector = sizeof(zeros[0])
    work.memory, work.used = memory, 0
    work.leaves = work.done = NULL
    work.index = work.next = 0
    work.zeros = take(work, w * vector)
    work.cells = take(work, w * w * vector)
    work.words = take(work, w * w * vector)
    work.bits = take(work, w * w * vector)
    work.places = <int*> take(work, 16 * w * w * <Py_ssize_t> sizeof(int))
    plan_leaf(<wide*> work.zeros, work)
    if memory != NULL:
        find_places(zeros, work.places)
        memset(work.zeros, 0, w * vector)
    return work.used


cdef void compute_one(wide* zeros, Work* work, Stack* s, int threads) noexcept nogil:
    cdef Block root
    cdef Py_ssize_t first
    begin(s, &root, 1)
    first = 0 if s.both_drive or s.both_sense else root.offset[LEFT]
    build(zeros, work, s, 0, s.leaf_rows, 0, s.leaf_columns, 1, &root, first, threads)
    finish(zeros, work, s, work.tile, &root, threads)


cdef void compute(wide* zeros, Work* work, Stack* s, Py_ssize_t tile, Py_ssize_t tiles) noexcept nogil:
    """Compute some tiles one after another, whose leaves are built together if a tile has too few."""
    cdef Py_ssize_t mark = work.used, w = lanes(zeros), t, blocks = s.leaf_rows * s.leaf_columns, inner
    if tiles > 1:
        build_leaves(zeros, work, s, tile, tiles, 0, s.leaf_rows, 0, s.leaf_columns)
    inner = work.used
    for t in range(tiles):
        work.tile, work.index = tile + t, t * blocks
        compute_one(zeros, work, s, 1)
        work.used = inner
    work.leaves = NULL
    work.index = 0
    work.used = mark


cdef void compute_abreast(wide* zeros, Work* work, Stack* s, Py_ssize_t tile) noexcept nogil:
    """Compute as many tiles as a vector has lanes."""
    cdef Block root
    cdef Py_ssize_t mark = work.used
    begin(s, &root, lanes(zeros))
    build_abreast(zeros, work, s, tile, 0, s.leaf_rows, 0, s.leaf_columns, 1, &root, root.offset[LEFT])
    read_off(zeros, s, tile, &root)
    work.used = mark


cdef Py_ssize_t count_abreast(wide* unused, Stack* s, int threads) noexcept nogil:
    """How many groups of tiles are computed abreast: none where it takes more memory than is near, or threads idle."""
    cdef Py_ssize_t groups = s.tiles // lanes(unused)
    if s.both_drive or s.both_sense or s.rows * s.columns > ABREAST or 2 * groups < threads:
        return 0
    return groups


cdef void list_tasks(Block* whole, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t col, Py_ssize_t columns, int depth,
                     Task* tasks, Py_ssize_t* count) noexcept nogil:
    """List the subtrees of a large tile that one thread each works out; with NULL, only count them."""
    cdef Block a, b
    if rows * columns <= GROUP:
        if tasks != NULL:
            tasks[count[0]].out = whole[0]
            tasks[count[0]].row, tasks[count[0]].rows = row, rows
            tasks[count[0]].col, tasks[count[0]].columns = col, columns
            tasks[count[0]].depth = depth
        count[0] += 1
        return
    cut(whole, rows, columns, depth, &a, &b)
    if rows > columns:
        list_tasks(&a, row, upper(rows), col, columns, depth + 1, tasks, count)
        list_tasks(&b, row + upper(rows), rows - upper(rows), col, columns, depth + 1, tasks, count)
    else:
        list_tasks(&a, row, rows, col, upper(columns), depth + 1, tasks, count)
        list_tasks(&b, row, rows, col + upper(columns), columns - upper(columns), depth + 1, tasks, count)


cdef int run_small(wide* unused, Stack* s, int threads) except -1 nogil:
    """Compute tiles side by side, each by one thread."""
    cdef Py_ssize_t w = lanes(unused), vector = sizeof(unused[0]), blocks = s.leaf_rows * s.leaf_columns
    cdef Py_ssize_t together = max(1, w // blocks), groups = count_abreast(unused, s, threads), k, size, rest, items
    cdef Work* works
    cdef Work* work
    cdef char* memory
    cdef Work probe
    size = prepare(unused, &probe, NULL) + 2 * need(s.leaf_rows, s.leaf_columns, w, vector)
    size += (max(GROUP, w) // w + 2) * storage(4 * w, 1, vector)
    if groups > 0:
        size = max(size, prepare(unused, &probe, NULL) + need(s.leaf_rows * w, s.leaf_columns * w, 1, vector)
                   + 2 * storage(4 * w, 1, vector))
    size = (size + 4095) // 4096 * 4096 + 64
    rest = s.tiles - groups * w
    items = groups + (rest + together - 1) // together
    threads = max(1, min(threads, items))
    works = <Work*> malloc(threads * sizeof(Work))
    memory = <char*> malloc(threads * size + 4096)
    if works == NULL or memory == NULL:
        free(works)
        free(memory)
        raise MemoryError
    for k in range(threads):
        prepare(unused, &works[k], <char*> ((<uintptr_t> memory + 4095) & ~(<uintptr_t> 4095)) + k * size)
    for k in prange(items, num_threads=threads, schedule="dynamic"):
        work = &works[threadid()]
        if k < groups:
            compute_abreast(<wide*> work.zeros, work, s, k * w)
        else:
            compute(<wide*> work.zeros, work, s, groups * w + (k - groups) * together,
                    min(together, rest - (k - groups) * together))
    free(works)
    free(memory)
    return 0


cdef int run_large(wide* unused, Stack* s, int threads) except -1 nogil:
    """Compute tiles one after another, each by all threads."""
    cdef Py_ssize_t w = lanes(unused), vector = sizeof(unused[0]), count = 0, k, t, size, own, all_size
    cdef Block root
    cdef Task* tasks
    cdef Task* task
    cdef Block* done
    cdef Work* works
    cdef Work* work
    cdef Work probe
    cdef char* memory
    cdef char* start
    begin(s, &root, 1)
    list_tasks(&root, 0, s.leaf_rows, 0, s.leaf_columns, 1, NULL, &count)
    tasks = <Task*> malloc(count * sizeof(Task))
    done = <Block*> malloc(count * sizeof(Block))
    works = <Work*> malloc(threads * sizeof(Work))
    if tasks == NULL or done == NULL or works == NULL:
        free(tasks)
        free(done)
        free(works)
        raise MemoryError
    count = 0
    list_tasks(&root, 0, s.leaf_rows, 0, s.leaf_columns, 1, tasks, &count)
    size = prepare(unused, &probe, NULL)
    own = 0
    for k in range(count):
        own = max(own, need(tasks[k].rows, tasks[k].columns, w, vector))
    own += size + (GROUP // w + 2) * storage(4 * w, 1, vector)
    own = (own + 4095) // 4096 * 4096 + 64
    all_size = size + 2 * need(s.leaf_rows, s.leaf_columns, w, vector)
    for k in range(count):
        all_size += storage(tasks[k].out.size, w, vector) + 64
    memory = <char*> malloc(threads * own + all_size + 4096)
    if memory == NULL:
        free(tasks)
        free(done)
        free(works)
        raise MemoryError
    start = <char*> ((<uintptr_t> memory + 4095) & ~(<uintptr_t> 4095))
    for t in range(s.tiles):
        prepare(unused, &probe, start + threads * own)
        for k in range(count):
            tasks[k].out.data = take(&probe, storage(tasks[k].out.size, w, vector))
            done[k] = tasks[k].out
        for k in range(threads):
            prepare(unused, &works[k], start + k * own)
            works[k].tile = t
        for k in prange(count, num_threads=threads, schedule="dynamic"):
            work = &works[threadid()]
            task = &tasks[k]
            build(<wide*> work.zeros, work, s, task.row, task.rows, task.col, task.columns, task.depth, &task.out, 0, 1)
        probe.tile = t
        probe.done = done
        compute_one(<wide*> probe.zeros, &probe, s, threads)
    free(tasks)
    free(done)
    free(works)
    free(memory)
    return 0


cdef int run(wide* unused, Stack* s, int threads) except -1 nogil:
    cdef Py_ssize_t w = lanes(unused)
    s.leaf_rows = (s.rows + w - 1) // w
    s.leaf_columns = (s.columns + w - 1) // w
    if s.leaf_rows * s.leaf_columns > LARGE:
        return run_large(unused, s, threads)
    return run_small(unused, s, threads)


cdef double largest_of(const double* cells, Py_ssize_t count) noexcept nogil:
    cdef double found[8]
    cdef Py_ssize_t k, l
    for l in range(8):
        found[l] = 0.0
    for k in range(0, count - 7, 8):
        for l in range(8):
            found[l] = cells[k + l] if cells[k + l] > found[l] else found[l]
    for k in range(count // 8 * 8, count):
        found[0] = max(found[0], cells[k])
    for l in range(8):
        found[0] = max(found[0], found[l])
    return found[0]


def largest(const double[:, :, ::1] cells, const int64_t[::1] which, int threads):
    """Return the largest conductance of some tiles, of all if ``which`` is None; 0 if there is none."""
    cdef Py_ssize_t count = cells.shape[0] if which is None else which.shape[0], size, k
    cdef double[::1] found = np.zeros(count)
    size = cells.shape[1] * cells.shape[2]
    if count * size == 0:
        return 0.0
    if count * size * 8 < SMALL:
        threads = 1
    with nogil:
        for k in prange(count, num_threads=threads, schedule="static"):
            found[k] = largest_of(&cells[k if which is None else which[k], 0, 0], size)
    return max(found)


cdef void narrow_tile(const double* cells, Py_ssize_t count, double scale, float* found) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(count):
        found[k] = <float> (cells[k] * scale)


def narrowed(const double[:, :, ::1] cells, double scale, const int64_t[::1] which, int threads):
    """Return scaled conductances in single precision; those of tiles that are not in ``which`` are 0."""
    cdef Py_ssize_t count = cells.shape[0] if which is None else which.shape[0], size, k, tile
    make = np.empty if count == cells.shape[0] else np.zeros
    cdef float[:, :, ::1] found = make((cells.shape[0], cells.shape[1], cells.shape[2]), dtype=np.float32)
    size = cells.shape[1] * cells.shape[2]
    if count * size * 8 < SMALL:
        threads = 1
    if count * size > 0:
        with nogil:
            for k in prange(count, num_threads=threads, schedule="static"):
                tile = k if which is None else which[k]
                narrow_tile(&cells[tile, 0, 0], size, scale, &found[tile, 0, 0])
    return np.asarray(found)


def transfer(
    const floating[:, :, ::1] cells, const floating[:, :, ::1] words, const floating[:, :, ::1] bits, double ideal,
    bint both_drive, bint both_sense, int threads, const int64_t[::1] which=None, out=None, double unit=1.0,
):
    """Return transfer matrices and input admittances, as ``circuitmem._kernels._reference_tree.transfer`` does."""
    cdef Stack s
    dtype = np.float64 if floating is double else np.float32
    if out is None:
        matrix = np.empty((cells.shape[0], cells.shape[2], cells.shape[1]), dtype=dtype)
        admittance = np.empty((cells.shape[0], cells.shape[1], cells.shape[1]), dtype=dtype)
    else:
        matrix, admittance = out
    cdef floating[:, :, ::1] to_matrix = matrix, to_admittance = admittance
    s.tiles, s.rows, s.columns = cells.shape[0], cells.shape[1], cells.shape[2]
    if which is not None:
        s.tiles = which.shape[0]
    if s.tiles == 0:
        return matrix, admittance
    s.which = NULL if which is None else &which[0]
    s.cells, s.words, s.bits = <void*> &cells[0, 0, 0], <void*> &words[0, 0, 0], <void*> &bits[0, 0, 0]
    s.matrix, s.admittance = &to_matrix[0, 0, 0], &to_admittance[0, 0, 0]
    s.word_step = 0 if words.shape[0] == 1 else s.rows * (s.columns + 1)
    s.bit_step = 0 if bits.shape[0] == 1 else (s.rows + 1) * s.columns
    s.ideal, s.unit, s.both_drive, s.both_sense = ideal, unit, both_drive, both_sense
    with nogil:
        if floating is double:
            run(<wide_d*> NULL, &s, threads)
        else:
            run(<wide_f*> NULL, &s, threads)
    return matrix, admittance
