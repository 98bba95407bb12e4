"""Two-pulse programming of all tiles of a layer in one call; ``circuitmem/_kernels/stack_pulses.py`` says it in NumPy.

A thread takes a tile, row after row: so the bits do not depend on how many threads there are.
"""

from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, isinf
from libc.stdint cimport int32_t, int64_t, uint64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from pulses.listed cimport draw_cells, list_cells
from pulses.row_power cimport drive
from simd.addresses cimport keep_addresses
from simd.rounded cimport pairs_of, rounded
from simd.threads cimport HAS_OPENMP, SMALL

import numpy as np

OPENMP = bool(HAS_OPENMP)

cdef extern from *:
    """
    /* Which cells are to fall, and which are to change. */
    static inline void compare(
        const double *restrict wanted, const double *restrict asked, double deadband, Py_ssize_t count,
        unsigned char *restrict lowered, unsigned char *restrict selected
    ) {
        for (Py_ssize_t j = 0; j < count; j++) lowered[j] = wanted[j] - asked[j] < -deadband;
        for (Py_ssize_t j = 0; j < count; j++) selected[j] = lowered[j] | (wanted[j] - asked[j] > deadband);
    }

    /* Let partners make up for stuck cells, which are those that are not nan. Nothing branches: which cells are stuck
       cannot be foreseen. */
    static inline void let_partners(
        const double *restrict shares, const double *restrict stuck, double minimum, double maximum, Py_ssize_t count,
        double *restrict pairs
    ) {
        for (Py_ssize_t j = 0; j < count; j++) {
            double share = shares[j], first = stuck[2 * j], second = stuck[2 * j + 1];
            double plus = second + share, minus = first - share, own = pairs[2 * j], other = pairs[2 * j + 1];
            plus = plus > minimum ? plus : minimum;
            plus = plus < maximum ? plus : maximum;
            minus = minus > minimum ? minus : minimum;
            minus = minus < maximum ? minus : maximum;
            pairs[2 * j] = second == second ? plus : own;
            pairs[2 * j + 1] = first == first ? minus : other;
        }
    }

    /* Ask of stuck cells what was asked before. */
    static inline void spare_stuck(
        const double *restrict stuck, const double *restrict asked, Py_ssize_t count, double *restrict wanted
    ) {
        for (Py_ssize_t j = 0; j < count; j++) {
            double own = wanted[j], before = asked[j], known = stuck[j];
            wanted[j] = known == known ? before : own;
        }
    }
    """
    void compare(const double*, const double*, double, Py_ssize_t, unsigned char*, unsigned char*) noexcept nogil
    void let_partners(const double*, const double*, double, double, Py_ssize_t, double*) noexcept nogil
    void spare_stuck(const double*, const double*, Py_ssize_t, double*) noexcept nogil


cdef struct Plan:
    Py_ssize_t tiles, rows, columns
    const double* weights        # of the layer, (inputs, outputs), or NULL: wanted is given
    Py_ssize_t outputs
    const int32_t* input_places
    const int32_t* output_places
    double scale, minimum, maximum, series, deadband
    const double* prefactor      # (tiles, rows, columns), or NULL
    const double* stuck          # likewise, nan for cells that follow pulses
    const double** asked
    double* wanted
    unsigned char* lowered
    unsigned char* selected
    int64_t* counts


cdef inline double within(double x, double lowest, double highest) noexcept nogil:
    x = x if x > lowest else lowest
    return x if x < highest else highest


cdef inline void make_up(
    const Plan* p, const double* prefactor, const double* stuck, double* weights, double* pairs
) noexcept nogil:
    """Let partners make up for stuck cells, multiply by what wires lack, and take off what is in series.

    The weights are lost.
    """
    cdef Py_ssize_t j
    cdef double rest
    if stuck != NULL:
        for j in range(p.columns // 2):
            weights[j] = rounded(p.scale * weights[j])
        let_partners(weights, stuck, p.minimum, p.maximum, p.columns // 2, pairs)
    if prefactor != NULL:
        for j in range(p.columns // 2 * 2):
            pairs[j] = within(pairs[j] * prefactor[j], p.minimum, p.maximum)
    if p.series != 0.0:
        for j in range(p.columns // 2 * 2):
            rest = 1.0 - rounded(pairs[j] * p.series)
            pairs[j] = pairs[j] / (rest if rest > 1e-3 else 1e-3)


cdef inline void want_row(const Plan* p, Py_ssize_t tile, Py_ssize_t row, double* memory) noexcept nogil:
    """Work out what the cells of a row are to conduct; spare ones what was asked of them."""
    cdef const int32_t* outputs = p.output_places + tile * (p.columns // 2)
    cdef const double* asked = p.asked[tile] + row * p.columns
    cdef double* wanted = p.wanted + (tile * p.rows + row) * p.columns
    cdef Py_ssize_t pairs = p.columns // 2, j
    cdef int input = p.input_places[tile * p.rows + row]
    cdef Py_ssize_t at = (tile * p.rows + row) * p.columns, run = 0
    cdef bint plain = p.prefactor == NULL and p.stuck == NULL
    cdef const double* weights
    cdef double* found = memory + pairs + 8
    if input < 0:
        memcpy(wanted, asked, p.columns * 8)
        return
    weights = p.weights + input * p.outputs
    while run < pairs and outputs[run] >= 0 and outputs[run] == outputs[0] + run:
        run += 1  # outputs that follow each other, as most do, are copied whole
    if run > 0:
        memcpy(memory, weights + outputs[0], run * 8)
    for j in range(run, pairs):
        memory[j] = weights[outputs[j]] if outputs[j] >= 0 else 0.0
    pairs_of(memory, pairs, p.scale, p.minimum, p.maximum, p.series if plain else 0.0, found)
    if not plain:
        make_up(
            p, NULL if p.prefactor == NULL else p.prefactor + at, NULL if p.stuck == NULL else p.stuck + at, memory,
            found,
        )
    memcpy(wanted, found, 2 * run * 8)
    memcpy(wanted + 2 * run, asked + 2 * run, (p.columns - 2 * run) * 8)
    for j in range(run, pairs):
        if outputs[j] >= 0:
            wanted[2 * j], wanted[2 * j + 1] = found[2 * j], found[2 * j + 1]
    if p.stuck != NULL:  # no pulses for cells that are known to ignore them
        spare_stuck(p.stuck + at, asked, 2 * pairs, wanted)


cdef void plan_tile(const Plan* p, Py_ssize_t tile, double* memory) noexcept nogil:
    """Find the cells of a tile that are to change."""
    cdef Py_ssize_t row, j, at
    cdef const double* asked
    cdef const double* wanted
    cdef unsigned char* lowered
    cdef unsigned char* selected
    cdef double deadband = p.deadband
    cdef int64_t falls, changes
    for row in range(p.rows):
        if p.weights != NULL:
            want_row(p, tile, row, memory)
        at = (tile * p.rows + row) * p.columns
        asked, wanted = p.asked[tile] + row * p.columns, p.wanted + at
        lowered, selected = p.lowered + at, p.selected + at
        compare(wanted, asked, deadband, p.columns, lowered, selected)
        falls = changes = 0
        for j in range(p.columns):
            falls += lowered[j]
            changes += selected[j]
        p.counts[tile * p.rows + row] = falls
        p.counts[(p.tiles + tile) * p.rows + row] = changes


def plan_stack(
    const double[:, ::1] weights, const int32_t[:, ::1] inputs, const int32_t[:, ::1] outputs, double scale,
    double minimum, double maximum, double series, const double[:, :, ::1] prefactor, const double[:, :, ::1] stuck,
    asked, const double[:, :, ::1] wanted, lowered, selected, double deadband, int threads,
):
    """Work out what is wanted, if there are weights, and which cells are to fall and to change; returns how many."""
    cdef Plan p
    cdef Py_ssize_t k, share
    cdef double* memory
    tiles = len(asked)
    p.tiles, p.rows, p.columns = tiles, asked[0].shape[0], asked[0].shape[1]
    counts = np.empty((2, tiles, p.rows), dtype=np.int64)
    cdef unsigned char[:, :, ::1] to_lowered = lowered.view(np.uint8), to_selected = selected.view(np.uint8)
    cdef int64_t[:, :, ::1] to_counts = counts
    cdef uintptr_t[::1] addresses = np.empty(tiles, dtype=np.uintp)
    kept = keep_addresses(asked, tiles, &addresses[0])
    p.asked = <const double**> &addresses[0]
    p.weights, p.outputs = NULL, 0
    if weights is not None:
        p.weights, p.outputs = &weights[0, 0], weights.shape[1]
        p.input_places = &inputs[0, 0]
        p.output_places = &outputs[0, 0] if p.columns > 1 else NULL
    p.scale, p.minimum, p.maximum, p.series, p.deadband = scale, minimum, maximum, series, deadband
    p.prefactor = NULL if prefactor is None else &prefactor[0, 0, 0]
    p.stuck = NULL if stuck is None else &stuck[0, 0, 0]
    p.wanted = <double*> &wanted[0, 0, 0]  # written to where there are weights
    p.lowered, p.selected = &to_lowered[0, 0, 0], &to_selected[0, 0, 0]
    p.counts = &to_counts[0, 0, 0]
    share = 2 * p.columns + 24
    if p.tiles * p.rows * p.columns * 16 < SMALL:
        threads = 1
    memory = <double*> malloc(threads * share * 8)
    if memory == NULL:
        raise MemoryError("for the plan of a layer's pulses")
    with nogil:
        memset(memory, 0, threads * share * 8)
        for k in prange(p.tiles, num_threads=threads, schedule="dynamic"):
            plan_tile(&p, k, memory + threadid() * share)
        free(memory)
    return counts


cdef struct Pulses:
    Py_ssize_t rows, columns
    const uintptr_t* conductance  # of each tile
    const uintptr_t* effective
    const uintptr_t* asked
    const uintptr_t* slope
    const uintptr_t* word         # or NULL: no energy is worked out
    const uintptr_t* ground
    const uintptr_t* stuck
    const double* wanted
    const unsigned char* lowered
    const unsigned char* selected
    const int64_t* counts         # (2, tiles, rows), of the falling and of all that change
    Py_ssize_t tiles
    const unsigned char* dead     # (tiles, rows), or NULL
    const uint64_t* keys
    const uint64_t* operations
    const double* normal
    double minimum, nominal, lowest, highest, sigma
    double series, reset_voltage, set_voltage
    double* power                 # (2, tiles, rows)
    bint alike, ideal             # whether word lines are those of one design, and without resistance then


cdef inline void reset_row(
    const int* cells, Py_ssize_t count, const unsigned char* stuck, double floor, double* conductance,
    double* effective
) noexcept nogil:
    """Bring the cells down to ``floor``."""
    cdef Py_ssize_t i, j
    for i in range(count):
        j = cells[i]
        if conductance[j] > floor:
            conductance[j] = floor
            if not stuck[j]:
                effective[j] = floor


cdef inline void set_row(
    const Pulses* p, Py_ssize_t tile, Py_ssize_t row, const int* cells, Py_ssize_t count, const unsigned char* stuck,
    const double* noise, double* conductance, double* effective
) noexcept nogil:
    """Set the cells for what is wanted, and note that it was asked of them."""
    cdef Py_ssize_t at = row * p.columns, i, j
    cdef const double* wanted = p.wanted + tile * p.rows * p.columns + at
    cdef const double* slope = <const double*> p.slope[tile] + at
    cdef double* asked = <double*> p.asked[tile] + at
    cdef double gate, after
    for i in range(count):
        j = cells[i]
        gate = min(max(p.lowest + (wanted[j] - p.minimum) / p.nominal, p.lowest), p.highest)
        after = p.minimum + slope[j] * (gate - p.lowest)
        after = max(max(after, conductance[j]) + p.sigma * noise[j], 0.0)
        conductance[j] = after
        asked[j] = wanted[j]
        if not stuck[j]:
            effective[j] = after


cdef bint is_ideal(const double* word, Py_ssize_t rows, Py_ssize_t columns) noexcept nogil:
    """Say whether word lines have no resistance and are driven from the left alone: then every cell is for itself."""
    cdef Py_ssize_t i, j
    cdef double largest = 0.0
    for i in range(rows):
        for j in range(columns):
            largest = max(largest, word[i * (columns + 1) + j])
        if not isinf(word[i * (columns + 1) + columns]):
            return False
    return largest == 0.0


cdef void take_power(
    const Pulses* p, Py_ssize_t tile, const int* listed, const Py_ssize_t* lengths, bint ideal, double voltage,
    double* power
) noexcept nogil:
    """Work out the power of all rows of a tile, each driven alone."""
    cdef const double* g = <const double*> p.effective[tile]
    cdef const double* word = <const double*> p.word[tile]
    cdef const double* ground = <const double*> p.ground[tile]
    cdef double current, cell
    cdef Py_ssize_t k, i, j
    if ideal:
        for k in range(p.rows):
            current = 0.0
            for i in range(lengths[k] - 1, -1, -1):
                j = k * p.columns + listed[k * p.columns + i]
                if ground[j] < INFINITY:
                    cell = g[j] / (1.0 + g[j] * p.series)
                    current = current + cell / (1.0 + cell * ground[j])
            power[k] = current * voltage * voltage
    else:
        drive(g, listed, lengths, p.rows, p.columns, word, ground, p.series, voltage, power)
    if p.dead != NULL:
        for k in range(p.rows):
            if p.dead[tile * p.rows + k]:
                power[k] = 0.0


cdef inline void list_rows(
    const Pulses* p, const unsigned char* cells, const int64_t* counts, int* listed, Py_ssize_t* lengths
) noexcept nogil:
    """List the chosen cells of each row of a tile."""
    cdef Py_ssize_t row
    for row in range(p.rows):
        lengths[row] = 0
        if counts[row] > 0:
            lengths[row] = list_cells(cells + row * p.columns, p.columns, listed + row * p.columns)


cdef void pulse_tile(const Pulses* p, Py_ssize_t tile, double* memory) noexcept nogil:
    """Give all pulses of a tile: first what falls, row after row, then what changes at all."""
    cdef double* noise = memory
    cdef Py_ssize_t* lengths = <Py_ssize_t*> (noise + p.columns + 80)
    cdef int* listed = <int*> (lengths + p.rows)
    cdef double* conductance = <double*> p.conductance[tile]
    cdef double* effective = <double*> p.effective[tile]
    cdef const unsigned char* stuck = <const unsigned char*> p.stuck[tile]
    cdef Py_ssize_t row, at, cells = tile * p.rows * p.columns
    cdef bint ideal = False
    if p.word != NULL:
        ideal = p.ideal if p.alike else is_ideal(<const double*> p.word[tile], p.rows, p.columns)
    # A RESET's current flows through what it finds, a SET's is limited to what it leaves.
    list_rows(p, p.lowered + cells, p.counts + tile * p.rows, listed, lengths)
    if p.word != NULL:
        take_power(p, tile, listed, lengths, ideal, p.reset_voltage, p.power + tile * p.rows)
    for row in range(p.rows):
        at = row * p.columns
        reset_row(listed + at, lengths[row], stuck + at, p.minimum, conductance + at, effective + at)
    list_rows(p, p.selected + cells, p.counts + (p.tiles + tile) * p.rows, listed, lengths)
    for row in range(p.rows):
        at = row * p.columns
        if lengths[row] > 0:
            draw_cells(
                &p.keys[2 * tile], p.operations[tile], p.normal, at, p.columns, listed + at, lengths[row], noise
            )
            set_row(
                p, tile, row, listed + at, lengths[row], stuck + at, noise + at % 8, conductance + at, effective + at
            )
    if p.word != NULL:
        take_power(p, tile, listed, lengths, ideal, p.set_voltage, p.power + (p.tiles + tile) * p.rows)


cdef object keep_masks(arrays, uintptr_t* to):
    cdef const unsigned char[:, :, ::1] stack
    cdef const unsigned char[:, ::1] view
    cdef Py_ssize_t k
    if len(arrays) and hasattr(arrays, "flags") and arrays.flags.c_contiguous:
        stack = arrays.view(np.uint8)
        for k in range(len(arrays)):
            to[k] = <uintptr_t> &stack[k, 0, 0]
        return stack
    kept = []
    for k in range(len(arrays)):
        view = arrays[k].view(np.uint8)
        to[k] = <uintptr_t> &view[0, 0]
        kept.append(view)
    return kept


def two_pulse_stack(
    conductance, effective, stuck, asked, slope, const double[:, :, ::1] wanted, lowered, selected,
    const int64_t[:, :, ::1] counts, const int64_t[::1] tiles, law, const double[:, ::1] normal,
    const uint64_t[:, ::1] keys, const uint64_t[::1] operations, word, ground, dead, double series, voltages,
    int threads,
):
    """Pulse the numbered tiles in place, and return the power of each row's RESET and SET, (2, tiles, rows) W."""
    cdef Pulses p
    cdef Py_ssize_t k, share, number = len(conductance), some = tiles.shape[0]
    cdef double* memory
    p.tiles, p.rows, p.columns = number, wanted.shape[1], wanted.shape[2]
    power = np.zeros((2, number, p.rows))
    cdef double[:, :, ::1] watts = power
    cdef const unsigned char[:, :, ::1] falls = lowered.view(np.uint8), changes = selected.view(np.uint8)
    cdef const unsigned char[:, ::1] broken
    cdef uintptr_t[:, ::1] addresses = np.empty((7, number), dtype=np.uintp)
    if some == 0:
        return power
    kept = [
        keep_addresses(each, number, &addresses[k, 0])
        for k, each in enumerate((conductance, effective, asked, slope))
    ]
    kept.append(keep_masks(stuck, &addresses[6, 0]))
    p.conductance, p.effective, p.asked, p.slope = &addresses[0, 0], &addresses[1, 0], &addresses[2, 0], &addresses[3, 0]
    p.word, p.ground, p.stuck, p.dead = NULL, NULL, &addresses[6, 0], NULL
    if word is not None:
        kept += [keep_addresses(word, number, &addresses[4, 0]), keep_addresses(ground, number, &addresses[5, 0])]
        p.word, p.ground, p.alike = &addresses[4, 0], &addresses[5, 0], len(word) == 1
        p.ideal = p.alike and is_ideal(<const double*> p.word[0], p.rows, p.columns)
    if dead is not None:
        broken = dead.view(np.uint8)
        p.dead = &broken[0, 0]
    p.wanted, p.lowered, p.selected, p.counts = &wanted[0, 0, 0], &falls[0, 0, 0], &changes[0, 0, 0], &counts[0, 0, 0]
    p.keys, p.operations, p.normal, p.power = &keys[0, 0], &operations[0], &normal[0, 0], &watts[0, 0, 0]
    p.minimum, p.nominal, p.lowest, p.highest, p.sigma = law
    p.series = series
    p.reset_voltage, p.set_voltage = voltages
    share = p.columns + 80 + p.rows + (p.rows * p.columns + 1) // 2
    if some * p.rows * p.columns * 16 < SMALL:
        threads = 1
    memory = <double*> malloc(threads * share * 8)
    if memory == NULL:
        raise MemoryError("for the pulses of a layer")
    with nogil:
        for k in prange(some, num_threads=threads, schedule="dynamic"):
            pulse_tile(&p, tiles[k], memory + threadid() * share)
        free(memory)
    return power
