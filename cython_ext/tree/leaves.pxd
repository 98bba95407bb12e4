"""The leaves of the tree: squares of cells, merged from single cells, as many at a time as a vector has lanes.

Tiles that are no multiple of a leaf are extended by rows above and columns on the right whose wires are ideal and whose
cells conduct nothing, which changes nothing.
"""

from tree.blocks cimport (
    BOTTOM, CORNER, FACTOR, LEFT, RIGHT, TOP, UPDATE, Block, Stack, Step, Work, add_shared, cut, join, lay_out, place_of,
    storage, take,
)
from tree.dense_elimination cimport Front, column, single_factor, single_solve, single_update, sorted_update
from simd.vectors cimport collect, copy, inverse, lanes, put, wide, zero


cdef inline void corner(wide* zeros, Work* work, const Step* step) noexcept nogil:
    """Merge two by two cells: of their eight nodes, three have three neighbours, and one has four.

    :c:func:`list_ties` says what lies where.
    """
    cdef Py_ssize_t w = lanes(zeros), k
    cdef wide* g = <wide*> work.cells + step.cell
    cdef wide* word = <wide*> work.words + step.cell
    cdef wide* bit = <wide*> work.bits + step.cell
    cdef wide* at = <wide*> step.corner
    cdef const int* tie = step.ties
    cdef wide p, q, r, left, right, share
    at[tie[0]] = g[1]
    share = inverse(word[0] + word[1] + g[0])  # the word-line node of cell (0, 0)
    p, q, r = word[0] * share, word[1] * share, g[0]
    at[tie[1]] = p * word[1]
    at[tie[2]] = p * r
    at[tie[3]] = q * r
    share = inverse(bit[1] + bit[w + 1] + g[w + 1])  # the bit-line node of cell (1, 1)
    p, q, r = bit[1] * share, bit[w + 1] * share, g[w + 1]
    at[tie[4]] = p * bit[w + 1]
    at[tie[5]] = p * r
    at[tie[6]] = q * r
    share = inverse(word[w] + word[w + 1] + g[w])  # the word-line node of cell (1, 0)
    left, right = word[w] * share * g[w], word[w + 1] * share * g[w]
    r = word[w] * share * word[w + 1]
    share = inverse(bit[0] + bit[w] + left + right)  # the bit-line node of cell (1, 0)
    p, q = bit[0] * share, bit[w] * share
    at[tie[7]] = p * bit[w]
    at[tie[8]] = p * left
    at[tie[9]] = p * right
    at[tie[10]] = q * left
    at[tie[11]] = q * right
    at[tie[12]] = r + left * share * right
    for k in range(13, 28):
        at[tie[k]] = zero(zeros)


cdef inline void list_ties(const Block* out, int* ties) noexcept nogil:
    """Say where the conductances between the terminals of two by two cells are, those that are 0 last."""
    cdef int* pairs = [
        RIGHT, TOP + 4, LEFT, RIGHT, LEFT, TOP, RIGHT, TOP, TOP + 4, BOTTOM + 4, TOP + 4, RIGHT + 4, BOTTOM + 4, RIGHT + 4,
        TOP, BOTTOM, TOP, LEFT + 4, TOP, RIGHT + 4, BOTTOM, LEFT + 4, BOTTOM, RIGHT + 4, LEFT + 4, RIGHT + 4,
    ]
    cdef bint tied[8][8]
    cdef Py_ssize_t p, q
    cdef int k, first, second, count = 13
    for first in range(8):
        for second in range(8):
            tied[first][second] = False
    for k in range(13):
        first, second = pairs[2 * k], pairs[2 * k + 1]
        tied[first][second] = tied[second][first] = True
        p, q = out.offset[first % 4] + first // 4, out.offset[second % 4] + second // 4
        ties[k] = <int> (column(max(p, q), 1) + min(p, q))
    for first in range(8):
        for second in range(first):
            if not tied[first][second]:
                p, q = out.offset[first % 4] + first // 4, out.offset[second % 4] + second // 4
                ties[count] = <int> (column(max(p, q), 1) + min(p, q))
                count += 1


cdef inline void unpack(wide* zeros, Work* work, Py_ssize_t leaf, Block* out) noexcept nogil:
    """Take one leaf out of its batch, into tiles, its sides in the order of ``out``."""
    cdef Py_ssize_t w = lanes(zeros), lane = leaf % w, i, j
    cdef int first, second
    cdef wide* batch = <wide*> work.leaves + leaf // w * storage(4 * w, 1, 1)
    cdef wide* to
    for first in range(4):
        for second in range(4):
            if out.offset[first] > out.offset[second] or out.extent[first] == 0 or out.extent[second] == 0:
                continue
            to = <wide*> out.data + column(out.offset[second], w) + out.offset[first] * w
            for i in range(w):
                collect(to + i, batch, lane, work.places + (first * w + i) * 4 * w + second * w)
    for i in range(4):
        to = <wide*> out.data + column(i, w) + i * w
        for j in range(w):
            put(to + j, j, 0.0)


cdef inline void find_places(wide* zeros, int* places) noexcept nogil:
    """Say where in a lane of a leaf the conductance between any two of its terminals is, its sides in their order."""
    cdef Py_ssize_t w = lanes(zeros), p, q
    for p in range(4 * w):
        for q in range(4 * w):
            places[p * 4 * w + q] = <int> ((column(max(p, q), 1) + min(p, q)) * w)


cdef inline void fill(wide* zeros, Work* work, Stack* s, Py_ssize_t lane, Py_ssize_t number, Py_ssize_t row,
               Py_ssize_t col) noexcept nogil:
    """Put the conductances of a leaf into a lane; cells beyond the tile conduct nothing, and their wires are ideal."""
    cdef Py_ssize_t w = lanes(zeros), pad = s.leaf_rows * w - s.rows, i, j, p, q, o
    cdef Py_ssize_t tile = place_of(s, number)
    cdef wide* g = <wide*> s.cells
    cdef wide* word = <wide*> s.words
    cdef wide* bit = <wide*> s.bits
    for i in range(w):
        p = row * w + i - pad
        for j in range(w):
            q = col * w + j
            o = (i * w + j) * w + lane
            if p >= 0 and q < s.columns:
                copy(<wide*> work.cells, o, g, (tile * s.rows + p) * s.columns + q)
                copy(<wide*> work.words, o, word, tile * s.word_step + p * (s.columns + 1) + q)
                copy(<wide*> work.bits, o, bit, tile * s.bit_step + (p + 1) * s.columns + q)
            else:
                put(<wide*> work.cells, o, 0.0)
                put(<wide*> work.words, o, s.ideal)
                put(<wide*> work.bits, o, s.ideal)


cdef struct Node:
    # A rectangle of cells of a leaf; number k is merged from 2 k and 2 k + 1.
    Block block
    Py_ssize_t row, rows, column, columns


cdef inline void list_starts(wide* zeros, Work* work, const Front* f, Step* step) noexcept nogil:
    """Say which number each of a result begins with, those above the diagonal."""
    cdef Py_ssize_t i, j, l, first
    cdef char* data = <char*> work.data
    cdef int* starts = <int*> take(work, f.size * (f.size + 4) // 2 * <Py_ssize_t> sizeof(int))
    step.starts = starts
    for first in range(0, f.size, 4):
        for i in range(0, first + 4, 4):
            for j in range(first, first + 4):
                for l in range(i, i + 4):
                    starts[0] = 0
                    if l < j and f.owner[l] == f.owner[j]:
                        starts[0] = <int> (<char*> (<wide*> f.panel[j] + f.index[l]) - data)
                    starts += 1


cdef inline void plan_level(wide* zeros, Work* work, Node* nodes, Py_ssize_t first, Py_ssize_t count, bint corners) noexcept nogil:
    """Add the steps for rectangles that do not depend on each other: a processor works at several of them at once."""
    cdef Py_ssize_t k
    cdef Step* step
    cdef Node* node
    cdef Node* child
    for k in range(first, first + count):
        step, node, child = work.steps + work.count, nodes + k, nodes + 2 * k
        work.count += 1
        if corners:
            step.kind, step.corner, step.cell = CORNER, node.block.data, node.row * lanes(zeros) + node.column
            list_ties(&node.block, step.ties)
        else:
            step.kind, step.other = FACTOR, child[1].block.data
            join(
                zeros, work, &child[0].block, &child[1].block, min(node.rows, node.columns), &node.block, 0, 1,
                &step.front,
            )
    if not corners:
        for k in range(count):
            step = work.steps + work.count
            step.kind, step.front = UPDATE, work.steps[work.count - count].front
            list_starts(zeros, work, &step.front, step)
            work.count += 1


cdef inline void plan_leaf(wide* zeros, Work* work) noexcept nogil:
    """Lay out how leaves are merged, in the memory of a thread; without any, only take as much of it."""
    cdef Py_ssize_t w = lanes(zeros), vector = sizeof(zeros[0]), corners = w * w // 4, k, group, width, mark, done
    cdef Node nodes[128]
    cdef Node* node
    cdef Work data
    cdef int i, depth = 1
    work.count = 0
    work.steps = <Step*> take(work, 3 * corners * <Py_ssize_t> sizeof(Step))
    work.data = take(work, 48 * w * w * vector)  # as the blocks below take together, and a little more
    if work.memory == NULL:
        take(work, 16 * w * w * 64)  # tables
        return
    nodes[1].row = nodes[1].column = 0
    nodes[1].rows = nodes[1].columns = w
    nodes[1].block.grain = 1
    for i in range(4):
        nodes[1].block.time[i] = -i
    lay_out(&nodes[1].block, w, w, True)
    for k in range(1, corners):
        node = nodes + k
        if k == 1 << depth:
            depth += 1
        nodes[2 * k], nodes[2 * k + 1] = node[0], node[0]
        cut(&node.block, node.rows, node.columns, depth, &nodes[2 * k].block, &nodes[2 * k + 1].block)
        if node.rows > node.columns:
            nodes[2 * k].rows = nodes[2 * k + 1].rows = node.rows // 2
            nodes[2 * k + 1].row += node.rows // 2
        else:
            nodes[2 * k].columns = nodes[2 * k + 1].columns = node.columns // 2
            nodes[2 * k + 1].column += node.columns // 2
    # Number 0 of the data is 0. Groups of eight corners, one after another, lie in the same memory, but for what they
    # become, and so in the nearest cache.
    group = max(<Py_ssize_t> 1, corners // 8)
    data.memory, data.used = <char*> work.data, 0
    take(&data, vector)
    (<wide*> work.data)[0] = zero(zeros)
    for k in range(1, 2 * group):
        nodes[k].block.data = take(&data, column(nodes[k].block.size, 1) * vector)
    for k in range(group):
        mark, width = data.used, 1
        while (group + k) * width < corners:
            width = 2 * width
            for done in range((group + k) * width, (group + k + 1) * width):
                nodes[done].block.data = take(&data, column(nodes[done].block.size, 1) * vector)
        plan_level(zeros, work, nodes, (group + k) * width, width, True)
        while width > 1:
            width = width // 2
            plan_level(zeros, work, nodes, (group + k) * width, width, False)
        data.used = mark
    while group > 1:
        group = group // 2
        plan_level(zeros, work, nodes, group, group, False)


cdef inline void take_step(
    wide* zeros, Work* work, Step* step, const Py_ssize_t* offset, Py_ssize_t depth
) noexcept nogil:
    """Take a step of the merging of two blocks that share ``depth`` terminals, a number that the compiler may know."""
    cdef Py_ssize_t i
    cdef Front* f = &step.front
    cdef wide* factor = <wide*> f.factor
    if step.kind == FACTOR:
        add_shared(f, factor, <const wide*> step.other, 1)
        single_factor(f, factor, depth)
        for i in range(0, f.size, 4):
            single_solve(f, factor, i, depth)
    elif offset != NULL:
        sorted_update(f, factor, <wide*> work.data, step.starts, <wide*> f.target, offset, depth)
    else:
        single_update(f, factor, <wide*> work.data, step.starts, depth)


cdef inline void merge_leaf(wide* zeros, Work* work, wide* out, const Py_ssize_t* offset) noexcept nogil:
    """Merge leaves from the single cells of a batch, whose sides shall begin at ``offset``; NULL: in their order."""
    cdef Py_ssize_t k
    cdef Step* step
    work.steps[work.count - 1].front.target = out
    for k in range(work.count):
        step = work.steps + k
        if step.kind == CORNER:
            corner(zeros, work, step)
        elif step.front.shared == 2:
            take_step(zeros, work, step, NULL, 2)
        elif step.front.shared == 4:
            take_step(zeros, work, step, offset if k == work.count - 1 else NULL, 4)
        elif step.front.shared == 8:
            take_step(zeros, work, step, offset if k == work.count - 1 else NULL, 8)
        else:
            take_step(zeros, work, step, offset if k == work.count - 1 else NULL, step.front.shared)


cdef inline void build_leaves(wide* zeros, Work* work, Stack* s, Py_ssize_t tile, Py_ssize_t tiles,
                       Py_ssize_t row, Py_ssize_t rows, Py_ssize_t col, Py_ssize_t columns) noexcept nogil:
    """Merge the leaves of a rectangle, of some tiles, from single cells; they lie in the order tile, row, column."""
    cdef Py_ssize_t w = lanes(zeros), count = tiles * rows * columns, batch, lane, k
    work.leaves = take(work, (count + w - 1) // w * storage(4 * w, 1, sizeof(zeros[0])))
    work.row, work.column, work.columns, work.index = row, col, columns, 0
    for batch in range((count + w - 1) // w):
        for lane in range(w):
            k = min(batch * w + lane, count - 1)  # idle lanes repeat the last leaf
            fill(zeros, work, s, lane, tile + k // (rows * columns), row + k // columns % rows, col + k % columns)
        merge_leaf(zeros, work, <wide*> work.leaves + batch * storage(4 * w, 1, 1), NULL)
