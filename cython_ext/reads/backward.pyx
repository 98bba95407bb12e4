"""Gradients of a layer's weights through its tiles, in one call; ``circuitmem/_kernels/stack_gradients.py`` says it in
NumPy, and gets the same bits: nothing here multiplies and adds in one instruction (``setup.py``). So do Adam and
momentum, which ``circuitmem/_kernels/adam.py`` and ``momentum.py`` say.

A thread takes a tile, whose arrays stay in its cache. Word lines lie in transposed arrays, so that a step along all
lines of a tile is one pass through memory.
"""

from cython cimport floating
from cython.parallel cimport prange, threadid
from libc.math cimport isnan, sqrt
from libc.stdint cimport int32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from simd.threads cimport HAS_OPENMP, SMALL
from simd.vectors cimport ROWS, double_load, double_store, double_transpose, wide_d

import numpy as np

OPENMP = bool(HAS_OPENMP)


cdef void load_lines_of(
    const double* cells, const double* along, Py_ssize_t nodes, Py_ssize_t lines, double* pivot, double* ratio,
    double* found
) noexcept nogil:
    """Load lines with cells to ground; ``found`` becomes what 1 V at their ends is at each node."""
    cdef Py_ssize_t k, j, at
    # What a node sees of its cell and of the line before it, in ``found`` for the time. Nothing is subtracted: lines
    # that let next to nothing through keep their digits, and no pivot is 0.
    for j in range(lines):
        ratio[j] = 0.0
        found[j] = cells[j] + along[j]
        pivot[j] = found[j] + along[lines + j]
    for k in range(1, nodes):
        at = k * lines
        for j in range(lines):
            ratio[at + j] = along[at + j] / pivot[at - lines + j]
            found[at + j] = cells[at + j] + ratio[at + j] * found[at - lines + j]
            pivot[at + j] = found[at + j] + along[at + lines + j]
    memset(found, 0, nodes * lines * 8)
    for j in range(lines):
        found[j] = along[j]
    at = (nodes - 1) * lines
    for j in range(lines):
        found[at + j] = found[at + j] + along[at + lines + j]
    solve_lines(pivot, ratio, along, nodes, lines, found)


cdef void solve_lines(
    const floating* pivot, const floating* ratio, const double* along, Py_ssize_t nodes, Py_ssize_t lines, double* found
) noexcept nogil:
    """Turn currents into the nodes of loaded lines, whose ends are at 0 V, into their voltages."""
    cdef Py_ssize_t k, j, at
    for at in range(lines, nodes * lines):
        found[at] = found[at] + ratio[at] * found[at - lines]
    at = (nodes - 1) * lines
    for j in range(lines):
        found[at + j] = found[at + j] / pivot[at + j]
    for k in range(nodes - 2, -1, -1):
        at = k * lines
        for j in range(lines):
            found[at + j] = (found[at + j] + along[at + lines + j] * found[at + lines + j]) / pivot[at + j]


cdef inline void turn(const double* rows, Py_ssize_t count, Py_ssize_t columns, double* turned) noexcept nogil:
    """Transpose, in squares of as many numbers as a vector has."""
    cdef wide_d square[ROWS]  # as many as there are lanes
    cdef Py_ssize_t first = 0, second, i, j
    while first < count:
        second = 0
        while second < columns:
            if first + ROWS <= count and second + ROWS <= columns:
                for i in range(ROWS):
                    square[i] = double_load(rows + (first + i) * columns + second)
                double_transpose(square)
                for i in range(ROWS):
                    double_store(turned + (second + i) * count + first, square[i])
            else:
                for i in range(first, min(first + ROWS, count)):
                    for j in range(second, min(second + ROWS, columns)):
                        turned[j * count + i] = rows[i * columns + j]
            second += ROWS
        first += ROWS


cdef struct Lines:
    Py_ssize_t rows, columns
    const double* along_word
    const double* along_bit
    double* cells
    double* word_end
    double* bit_end
    double* word_pivot
    double* word_ratio
    double* bit_pivot
    double* bit_ratio


cdef void load_tile(
    const Lines* l, const double* measured, Py_ssize_t tile, int turns, double least_reach, double* memory
) noexcept nogil:
    """Find the cells of a tile, and load its lines with them."""
    cdef Py_ssize_t size = l.rows * l.columns, at = tile * size, n
    cdef const double* seen = measured + at
    cdef double* cells = l.cells + at
    cdef double* word_end = l.word_end + at
    cdef double* bit_end = l.bit_end + at
    cdef double reach
    cdef int turned
    for n in range(size):
        cells[n] = seen[n] if seen[n] > 0.0 else 0.0
    for turned in range(turns + 1):
        turn(cells, l.rows, l.columns, memory)
        load_lines_of(memory, l.along_word, l.columns, l.rows, l.word_pivot + at, l.word_ratio + at, memory + size)
        turn(memory + size, l.columns, l.rows, word_end)
        load_lines_of(cells, l.along_bit, l.rows, l.columns, l.bit_pivot + at, l.bit_ratio + at, bit_end)
        if turned < turns:
            for n in range(size):
                reach = word_end[n] * bit_end[n]
                cells[n] = (seen[n] if seen[n] > 0.0 else 0.0) / (reach if reach > least_reach else least_reach)


def load_lines(
    const double[:, :, ::1] measured, const double[:, ::1] along_word, const double[:, ::1] along_bit, int turns,
    double least_reach, int threads,
):
    """Return cells, voltages for 1 V at the ends of word and of bit lines, and pivots and ratios of both."""
    cdef Lines l
    cdef Py_ssize_t tiles = measured.shape[0], k, share
    cdef double* memory
    cdef double[:, :, ::1] view
    cdef double* places[7]
    l.rows, l.columns = measured.shape[1], measured.shape[2]
    upright, turned = (tiles, l.rows, l.columns), (tiles, l.columns, l.rows)
    found = [np.empty(shape) for shape in (upright, upright, upright, turned, turned, upright, upright)]
    if tiles == 0 or l.rows == 0 or l.columns == 0:
        return tuple(found)
    for k in range(7):
        view = found[k]
        places[k] = &view[0, 0, 0]
    l.cells, l.word_end, l.bit_end, l.word_pivot, l.word_ratio = places[0], places[1], places[2], places[3], places[4]
    l.bit_pivot, l.bit_ratio = places[5], places[6]
    l.along_word, l.along_bit = &along_word[0, 0], &along_bit[0, 0]
    share = 2 * l.rows * l.columns
    if tiles * share * 16 < SMALL:
        threads = 1
    memory = <double*> malloc(threads * share * 8)
    if memory == NULL:
        raise MemoryError("for the lines of a layer")
    with nogil:
        for k in prange(tiles, num_threads=threads, schedule="dynamic"):
            load_tile(&l, &measured[0, 0, 0], k, turns, least_reach, memory + threadid() * share)
        free(memory)
    return tuple(found)


cdef struct LayerGradient:
    Py_ssize_t tiles, rows, columns, groups, outputs
    const int32_t* input_places
    const int32_t* output_places
    const double* outer
    const double* weights
    const double* scale       # (groups, tiles, columns)
    const double* prefactor   # or NULL
    const double* stuck       # or NULL
    const void* cells         # of loaded lines, or NULL: wires are ideal
    const void* word_end
    const void* bit_end
    const void* word_pivot
    const void* word_ratio
    const void* bit_pivot
    const void* bit_ratio
    bint single               # whether these are in single precision
    const double* along_word
    const double* along_bit
    double* found


cdef inline Py_ssize_t run_of(const int32_t* outputs, Py_ssize_t pairs) noexcept nogil:
    """Return how many pairs from the first on have outputs that follow each other, as most do."""
    cdef Py_ssize_t run = 0
    while run < pairs and outputs[run] >= 0 and outputs[run] == outputs[0] + run:
        run += 1
    return run


cdef inline void spread_row(
    const LayerGradient* l, Py_ssize_t tile, Py_ssize_t i, const int32_t* outputs, Py_ssize_t run, double* row
) noexcept nogil:
    """Put the outer products on the cells of a row, each with what the correction makes of its current."""
    cdef const double* scale = l.scale + (i * l.groups // l.rows * l.tiles + tile) * l.columns
    cdef int input = l.input_places[tile * l.rows + i]
    cdef const double* own
    cdef Py_ssize_t p
    if input < 0:
        memset(row, 0, l.columns * 8)
        return
    own = l.outer + input * l.outputs
    if run > 0:
        own = own + outputs[0]
        for p in range(run):
            row[2 * p] = own[p] * scale[2 * p]
            row[2 * p + 1] = -(own[p] * scale[2 * p + 1])
        own = own - outputs[0]
    for p in range(2 * run, l.columns):
        row[p] = 0.0
    for p in range(run, l.columns // 2):
        if outputs[p] >= 0:
            row[2 * p] = own[outputs[p]] * scale[2 * p]
            row[2 * p + 1] = -(own[outputs[p]] * scale[2 * p + 1])


cdef inline void through_lines(
    const LayerGradient* l, const floating* unused, Py_ssize_t tile, double* slopes, double* bits, double* words,
    double* turned
) noexcept nogil:
    """Turn slopes by the currents that columns see of the cells into slopes by the cells themselves."""
    cdef Py_ssize_t size = l.rows * l.columns, at = tile * l.rows * l.columns, n
    cdef const floating* cells = <const floating*> l.cells + at
    cdef const floating* word_end = <const floating*> l.word_end + at
    cdef const floating* bit_end = <const floating*> l.bit_end + at
    for n in range(size):
        bits[n] = <double> cells[n] * word_end[n] * slopes[n]
        words[n] = <double> cells[n] * bit_end[n] * slopes[n]
    solve_lines(
        <const floating*> l.bit_pivot + at, <const floating*> l.bit_ratio + at, l.along_bit, l.rows, l.columns, bits
    )
    turn(words, l.rows, l.columns, turned)
    solve_lines(
        <const floating*> l.word_pivot + at, <const floating*> l.word_ratio + at, l.along_word, l.columns, l.rows, turned
    )
    turn(turned, l.columns, l.rows, words)
    for n in range(size):
        slopes[n] = <double> word_end[n] * bit_end[n] * slopes[n] - bit_end[n] * bits[n] - word_end[n] * words[n]


cdef inline double chosen(double moved, double plus, double minus) noexcept nogil:
    cdef double other = minus if moved < 0.0 else 0.5 * (plus + minus)
    return plus if moved > 0.0 else other


cdef inline void collect_row(
    const LayerGradient* l, Py_ssize_t tile, Py_ssize_t i, const int32_t* outputs, Py_ssize_t run, const double* row
) noexcept nogil:
    """Take for each weight of a row what holds for the device that it moves."""
    cdef int input = l.input_places[tile * l.rows + i]
    cdef const double* weights
    cdef const double* stuck
    cdef double* found
    cdef Py_ssize_t p, place
    cdef double moved, first, second
    if input < 0:
        return
    weights, found = l.weights + input * l.outputs, l.found + input * l.outputs
    if run > 0:  # without branches, for which cells are stuck cannot be foreseen
        weights, found = weights + outputs[0], found + outputs[0]
        if l.stuck == NULL:
            for p in range(run):
                found[p] = chosen(weights[p], row[2 * p], -row[2 * p + 1])
        else:
            stuck = l.stuck + (tile * l.rows + i) * l.columns
            for p in range(run):
                moved, first, second = weights[p], stuck[2 * p], stuck[2 * p + 1]
                moved = -1.0 if first == first else moved
                moved = 1.0 if second == second else moved
                found[p] = chosen(moved, row[2 * p], -row[2 * p + 1])
        weights, found = weights - outputs[0], found - outputs[0]
    for p in range(run, l.columns // 2):
        if outputs[p] < 0:
            continue
        moved = weights[outputs[p]]
        if l.stuck != NULL:
            place = (tile * l.rows + i) * l.columns + 2 * p
            if not isnan(l.stuck[place + 1]):
                moved = 1.0
            elif not isnan(l.stuck[place]):
                moved = -1.0
        found[outputs[p]] = chosen(moved, row[2 * p], -row[2 * p + 1])


cdef void gradient_of_tile(const LayerGradient* l, Py_ssize_t tile, double* memory) noexcept nogil:
    cdef Py_ssize_t size = l.rows * l.columns, i, n
    cdef const int32_t* outputs = l.output_places + tile * (l.columns // 2)
    cdef Py_ssize_t run = run_of(outputs, l.columns // 2)
    cdef const double* factor
    cdef double* row
    if l.cells != NULL:
        for i in range(l.rows):
            spread_row(l, tile, i, outputs, run, memory + i * l.columns)
        if l.single:
            through_lines(l, <float*> NULL, tile, memory, memory + size, memory + 2 * size, memory + 3 * size)
        else:
            through_lines(l, <double*> NULL, tile, memory, memory + size, memory + 2 * size, memory + 3 * size)
    for i in range(l.rows):
        row = memory if l.cells == NULL else memory + i * l.columns
        if l.cells == NULL:  # no row depends on another
            spread_row(l, tile, i, outputs, run, row)
        if l.prefactor != NULL:
            factor = l.prefactor + tile * size + i * l.columns
            for n in range(l.columns):
                row[n] = row[n] * factor[n]
        collect_row(l, tile, i, outputs, run, row)


cdef const void* start_of(const floating* unused, array) except NULL:
    cdef const floating[:, :, ::1] view = array
    return &view[0, 0, 0]


def weight_gradient(
    const double[:, ::1] outer, const int32_t[:, ::1] inputs, const int32_t[:, ::1] outputs,
    const double[:, :, ::1] scale, const double[:, ::1] weights, const double[:, :, ::1] stuck,
    const double[:, :, ::1] prefactor, lines, const double[:, ::1] along_word, const double[:, ::1] along_bit,
    int threads,
):
    """Return the gradient of each weight, (inputs, outputs)."""
    cdef LayerGradient l
    cdef Py_ssize_t k, share
    cdef double* memory
    cdef const void* places[7]
    cdef double[:, ::1] found = np.zeros((outer.shape[0], outer.shape[1]))
    memset(&l, 0, sizeof(LayerGradient))
    l.tiles, l.rows, l.columns, l.groups = inputs.shape[0], inputs.shape[1], scale.shape[2], scale.shape[0]
    if l.columns < 2 or outer.shape[0] == 0 or outer.shape[1] == 0:
        return np.asarray(found)
    l.outputs, l.outer, l.weights, l.found = outer.shape[1], &outer[0, 0], &weights[0, 0], &found[0, 0]
    l.input_places, l.output_places, l.scale = &inputs[0, 0], &outputs[0, 0], &scale[0, 0, 0]
    if stuck is not None:
        l.stuck = &stuck[0, 0, 0]
    if prefactor is not None:
        l.prefactor = &prefactor[0, 0, 0]
    if lines is not None:
        l.single = lines[0].dtype == np.float32
        for k in range(7):
            places[k] = start_of(<float*> NULL, lines[k]) if l.single else start_of(<double*> NULL, lines[k])
        l.cells, l.word_end, l.bit_end, l.word_pivot, l.word_ratio = places[0], places[1], places[2], places[3], places[4]
        l.bit_pivot, l.bit_ratio = places[5], places[6]
        l.along_word, l.along_bit = &along_word[0, 0], &along_bit[0, 0]
    share = l.columns if lines is None else 4 * l.rows * l.columns
    if l.tiles * l.rows * l.columns * 16 < SMALL:
        threads = 1
    memory = <double*> malloc(threads * share * 8)
    if memory == NULL:
        raise MemoryError("for the gradients of a layer")
    with nogil:
        for k in prange(l.tiles, num_threads=threads, schedule="dynamic"):
            gradient_of_tile(&l, k, memory + threadid() * share)
        free(memory)
    return np.asarray(found)


# Fewest parameters for which another thread is woken, and how many are moved before they are held within their limits:
# so few that the processor still divides for some of them while it compares others.
cdef Py_ssize_t SHARE = 32768
cdef Py_ssize_t HELD = 64


cdef Py_ssize_t share_of(Py_ssize_t count, int threads) noexcept nogil:
    """Return how many of ``count`` parameters each thread moves; all begin at a whole cache line."""
    cdef Py_ssize_t shares = max(1, min(threads, count // SHARE))
    return ((count + shares - 1) // shares + HELD - 1) // HELD * HELD


cdef void move(
    double* p, double* m, double* v, const double* gradient, Py_ssize_t count, double mean, double square, double rate
) noexcept nogil:
    """Move parameters that follow each other."""
    cdef Py_ssize_t k
    cdef double step
    for k in range(count):
        m[k] = m[k] + 0.1 * (gradient[k] - m[k])
        v[k] = v[k] + 0.001 * (gradient[k] * gradient[k] - v[k])
        step = m[k] if mean == 1.0 else m[k] / mean  # 1 from step 356 on: divisions are what this loop waits for
        p[k] = p[k] - rate * step / (sqrt(v[k] / square) + 1e-8)


cdef void hold(double* p, const double* lowest, const double* highest, Py_ssize_t count) noexcept nogil:
    """Keep parameters that follow each other within their limits."""
    cdef Py_ssize_t k
    cdef double held
    for k in range(count):
        held = lowest[k] if lowest[k] >= p[k] else p[k]  # what is not a number stays so
        p[k] = highest[k] if highest[k] <= held else held


def adam_step(
    double[::1] parameters, double[::1] first, double[::1] second, const double[::1] gradient,
    const double[::1] lowest, const double[::1] highest, double mean, double square, double rate, int threads,
):
    """Move parameters against their gradients, in place, within limits if there are any."""
    cdef Py_ssize_t count = parameters.shape[0], own = share_of(count, threads), k, start, end, size
    if count == 0:
        return
    cdef double* p = &parameters[0]
    cdef double* m = &first[0]
    cdef double* v = &second[0]
    cdef const double* g = &gradient[0]
    cdef const double* low = NULL if lowest is None else &lowest[0]
    cdef const double* high = NULL if highest is None else &highest[0]
    with nogil:
        for k in prange((count + own - 1) // own, num_threads=<int> ((count + own - 1) // own), schedule="static"):
            start = k * own
            end = min(start + own, count)
            while start < end:
                size = min(HELD, end - start)
                move(p + start, m + start, v + start, g + start, size, mean, square, rate)
                if low != NULL:
                    hold(p + start, low + start, high + start, size)
                start = start + size


cdef void roll(
    double* p, double* v, const double* gradient, Py_ssize_t count, double rate, double momentum
) noexcept nogil:
    """Move parameters that follow each other, without limits."""
    cdef Py_ssize_t k
    for k in range(count):
        v[k] = v[k] * momentum - rate * gradient[k]
        p[k] = p[k] + v[k]


cdef void roll_within(
    double* p, double* v, const double* gradient, const double* lowest, const double* highest, Py_ssize_t count,
    double rate, double momentum
) noexcept nogil:
    """Move parameters that follow each other, each within its limits."""
    cdef Py_ssize_t k
    cdef double moved
    for k in range(count):
        v[k] = v[k] * momentum - rate * gradient[k]
        moved = p[k] + v[k]
        moved = lowest[k] if lowest[k] >= moved else moved  # what is not a number stays so
        p[k] = highest[k] if highest[k] <= moved else moved


def momentum_step(
    double[::1] parameters, double[::1] velocity, const double[::1] gradient, const double[::1] lowest,
    const double[::1] highest, double rate, double momentum, int threads,
):
    """Move parameters by their velocities, in place, within limits if there are any."""
    cdef Py_ssize_t count = parameters.shape[0], own = share_of(count, threads), k, start, size
    if count == 0:
        return
    cdef double* p = &parameters[0]
    cdef double* v = &velocity[0]
    cdef const double* g = &gradient[0]
    cdef const double* low = NULL if lowest is None else &lowest[0]
    cdef const double* high = NULL if highest is None else &highest[0]
    with nogil:
        for k in prange((count + own - 1) // own, num_threads=<int> ((count + own - 1) // own), schedule="static"):
            start = k * own
            size = min(own, count - start)
            if low == NULL:
                roll(p + start, v + start, g + start, size, rate, momentum)
            else:
                roll_within(p + start, v + start, g + start, low + start, high + start, size, rate, momentum)
