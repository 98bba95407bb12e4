"""Two-pulse and counted updates, and their power; ``circuitmem/_kernels`` (``pulses``, ``counts``) explains them."""

from cython.parallel cimport prange, threadid
from libc.math cimport expm1, sqrt
from libc.stdint cimport int64_t, uint64_t, uintptr_t
from libc.stdlib cimport free, malloc

from simd.addresses cimport keep_addresses
from pulses.listed cimport draw_cells, list_cells
from pulses.row_power cimport SIDE, drive
from simd.philox cimport normals
from simd.rounded cimport rounded
from simd.threads cimport HAS_OPENMP, SMALL

import numpy as np

OPENMP = bool(HAS_OPENMP)


def row_power(
    const double[:, ::1] conductance, const unsigned char[:, ::1] selected, const double[:, ::1] word_resistance,
    const double[:, ::1] ground_resistance, double voltage,
):
    """Return the power of each row, (rows,) W."""
    cdef Py_ssize_t rows = conductance.shape[0], columns = conductance.shape[1], i
    power = np.empty(rows)
    cdef double[::1] out = power
    cdef int[:, ::1] listed = np.empty((rows, columns), dtype=np.intc)
    cdef Py_ssize_t[::1] lengths = np.empty(rows, dtype=np.intp)
    with nogil:
        for i in range(rows):
            lengths[i] = list_cells(&selected[i, 0], columns, &listed[i, 0])
        drive(
            &conductance[0, 0], &listed[0, 0], &lengths[0], rows, columns, &word_resistance[0, 0],
            &ground_resistance[0, 0], 0.0, voltage, &out[0],
        )
    return power


def changes(const double[:, ::1] wanted, const double[:, ::1] asked, double deadband):
    """Return which cells are to fall, and which to change at all: two masks, and how many of each in each row."""
    cdef Py_ssize_t rows = wanted.shape[0], columns = wanted.shape[1], i, j
    cdef double change
    cdef bint fall, differ
    masks, counts = np.empty((2, rows, columns), dtype=np.bool_), np.zeros((2, rows), dtype=np.int64)
    cdef unsigned char[:, :, ::1] mask = masks.view(np.uint8)
    cdef int64_t[:, ::1] count = counts
    with nogil:
        for i in range(rows):
            for j in range(columns):
                change = wanted[i, j] - asked[i, j]
                fall = change < -deadband
                differ = fall | (change > deadband)
                mask[0, i, j], mask[1, i, j] = fall, differ
                count[0, i] += fall
                count[1, i] += differ
    return masks[0], masks[1], counts


def reset_pulse(
    double[:, ::1] conductance, double[:, ::1] effective, const unsigned char[:, ::1] stuck,
    const unsigned char[:, ::1] cells, double floor,
):
    """Bring the cells down to ``floor``, in place."""
    cdef Py_ssize_t i, j
    with nogil:
        for i in range(conductance.shape[0]):
            for j in range(conductance.shape[1]):
                if cells[i, j] and conductance[i, j] > floor:
                    conductance[i, j] = floor
                    if not stuck[i, j]:
                        effective[i, j] = floor


def set_pulse(
    double[:, ::1] conductance, double[:, ::1] effective, const unsigned char[:, ::1] stuck,
    const unsigned char[:, ::1] cells, const double[:, ::1] wanted, double[:, ::1] asked,
    const double[:, ::1] slope, law, const double[:, ::1] normal, uint64_t key0, uint64_t key1, uint64_t operation,
):
    """Set the cells for what is wanted, in place, and note that it was asked of them."""
    cdef Py_ssize_t columns = conductance.shape[1], i, j, start, place
    cdef double gate, after, minimum, nominal, lowest, highest, sigma
    cdef bint some
    minimum, nominal, lowest, highest, sigma = law
    # Of one row, which stays in the cache: no temporary is as large as the tile.
    cdef double[::1] noise = np.empty(columns + 16)
    with nogil:
        for i in range(conductance.shape[0]):
            some = False
            for j in range(columns):
                some |= cells[i, j]
            if not some:
                continue
            start = i * columns // 8
            place = i * columns - 8 * start
            normals(key0, key1, 1 + start, operation, (place + columns + 7) // 8, &normal[0, 0], &noise[0])
            for j in range(columns):
                if cells[i, j]:
                    gate = min(max(lowest + (wanted[i, j] - minimum) / nominal, lowest), highest)
                    after = minimum + slope[i, j] * (gate - lowest)
                    after = max(max(after, conductance[i, j]) + sigma * noise[place + j], 0.0)
                    conductance[i, j] = after
                    asked[i, j] = wanted[i, j]
                    if not stuck[i, j]:
                        effective[i, j] = after


cdef inline double moved(
    double conductance, double pulses, bint up, double fade, double ceiling, double minimum, double span,
    double sigma, double noise
) noexcept nogil:
    """Return what pulses along a curve leave of a cell."""
    cdef double y = (conductance - minimum) / span
    y = y if up else 1.0 - y
    y = y - (ceiling - y) * expm1(-fade * pulses)
    if sigma > 0.0:
        y = y + sigma * sqrt(pulses) * noise
    y = min(max(y, 0.0), 1.0)
    return minimum + span * (y if up else 1.0 - y)


def count_pulses(
    double[:, ::1] conductance, double[:, ::1] effective, const unsigned char[:, ::1] stuck,
    const int64_t[:, ::1] pulses, bint up, const double[:, ::1] fade, const double[:, ::1] ceiling, double minimum,
    double maximum, double sigma, const double[:, ::1] normal, uint64_t key0, uint64_t key1, uint64_t operation,
):
    """Move cells along their curves, in place; ``circuitmem/_kernels/counts.py`` explains, and says it in NumPy."""
    cdef Py_ssize_t columns = conductance.shape[1], i, j, start, place = 0
    cdef double after, span = maximum - minimum
    cdef bint some
    cdef double[::1] noise = np.zeros(columns + 16)
    with nogil:
        for i in range(conductance.shape[0]):
            some = False
            for j in range(columns):
                some |= pulses[i, j] > 0
            if not some:
                continue
            if sigma > 0.0:
                start = i * columns // 8
                place = i * columns - 8 * start
                normals(key0, key1, 1 + start, operation, (place + columns + 7) // 8, &normal[0, 0], &noise[0])
            for j in range(columns):
                if pulses[i, j] > 0:
                    after = moved(
                        conductance[i, j], <double> pulses[i, j], up, fade[i, j], ceiling[i, j], minimum, span, sigma,
                        noise[place + j],
                    )
                    conductance[i, j] = after
                    if not stuck[i, j]:
                        effective[i, j] = after


cdef struct Counted:
    Py_ssize_t tiles, rows, columns
    double* conductance          # (tiles, rows, columns), as the next three
    double* effective
    double* asked
    const unsigned char* stuck
    const int64_t* pulses        # (2, tiles, rows, columns): down, up
    const int64_t* most          # (2, tiles, rows): of the cells of a row
    const int64_t* first         # (tiles, rows): where the powers of a row's pulses begin
    const uintptr_t* fade        # (2, tiles): of the devices, down and up
    const uintptr_t* ceiling
    const uintptr_t* known_fade  # likewise, of the declared device
    const uintptr_t* known_ceiling
    const uintptr_t* word        # of each tile
    const uintptr_t* ground
    const unsigned char* dead    # (tiles, rows), or NULL
    const uint64_t* keys
    const uint64_t* operations
    const double* normal
    double minimum, span, sigma, series
    double voltages[2]
    double* power


cdef enum:
    NUMBERS = 1 << 16  # as circuitmem/device/device.py has it: noise of each pulse of a job is at an address of its own


cdef inline void take_power(
    const Counted* p, Py_ssize_t tile, Py_ssize_t row, Py_ssize_t count, const int* listed, const Py_ssize_t* lengths,
    double voltage, double* memory, double* power
) noexcept nogil:
    """Work out the power of some rows, each driven alone."""
    cdef const double* g = p.effective + (tile * p.rows + row) * p.columns
    cdef Py_ssize_t k
    if p.series != 0.0:
        for k in range(count * p.columns):
            memory[k] = g[k] / (1.0 + rounded(g[k] * p.series))
        g = memory
    drive(
        g, listed, lengths, count, p.columns, <const double*> p.word[tile] + row * (p.columns + 1),
        <const double*> p.ground[tile] + row * p.columns, 0.0, voltage, power,
    )
    if p.dead != NULL:
        for k in range(count):
            if p.dead[tile * p.rows + row + k]:
                power[k] = 0.0


cdef inline void move_row(
    const Counted* p, Py_ssize_t tile, Py_ssize_t row, bint up, const int* cells, Py_ssize_t count, const double* noise
) noexcept nogil:
    """Give one pulse to the listed cells of a row, and let the digital core believe what the declared curve says."""
    cdef Py_ssize_t at = (tile * p.rows + row) * p.columns, own = row * p.columns, curve = up * p.tiles + tile, i, j
    cdef const double* fade = <const double*> p.fade[curve] + own
    cdef const double* ceiling = <const double*> p.ceiling[curve] + own
    cdef const double* known_fade = <const double*> p.known_fade[curve] + own
    cdef const double* known_ceiling = <const double*> p.known_ceiling[curve] + own
    cdef double after
    for i in range(count):
        j = cells[i]
        after = moved(p.conductance[at + j], 1.0, up, fade[j], ceiling[j], p.minimum, p.span, p.sigma, noise[j])
        p.conductance[at + j] = after
        if not p.stuck[at + j]:
            p.effective[at + j] = after
        p.asked[at + j] = moved(
            p.asked[at + j], 1.0, up, known_fade[j], known_ceiling[j], p.minimum, p.span, 0.0, 0.0
        )


cdef void count_tile(const Counted* p, Py_ssize_t tile, double* memory) noexcept nogil:
    """Give all pulses of a tile; rows are worked out side by side, though driven one after another."""
    cdef double* noise = memory + SIDE * p.columns
    cdef int* listed = <int*> (noise + p.columns + 80)
    cdef unsigned char* chosen = <unsigned char*> (listed + SIDE * p.columns)
    cdef Py_ssize_t lengths[SIDE]
    cdef double watts[SIDE]
    cdef const int64_t* pulses
    cdef const int64_t* most
    cdef Py_ssize_t row = 0, count, i, j, at, place
    cdef int64_t number, top
    cdef int up
    while row < p.rows:
        count = min(<Py_ssize_t> SIDE, p.rows - row)
        for up in range(2):
            most = p.most + (up * p.tiles + tile) * p.rows + row
            pulses = p.pulses + ((up * p.tiles + tile) * p.rows + row) * p.columns
            top = 0
            for i in range(count):
                top = max(top, most[i])
            for number in range(top):
                for j in range(count * p.columns):
                    chosen[j] = pulses[j] > number
                for i in range(count):
                    lengths[i] = list_cells(chosen + i * p.columns, p.columns, listed + i * p.columns)
                # A pulse down takes its current through what it finds, one up through what it leaves.
                if not up:
                    take_power(p, tile, row, count, listed, lengths, p.voltages[0], memory, watts)
                for i in range(count):
                    if most[i] <= number:
                        continue
                    at = (row + i) * p.columns
                    place = at % 8
                    if p.sigma > 0.0:
                        draw_cells(
                            &p.keys[2 * tile], (2 * p.operations[tile] + up) * NUMBERS + number, p.normal, at, p.columns,
                            listed + i * p.columns, lengths[i], noise,
                        )
                    move_row(p, tile, row + i, up, listed + i * p.columns, lengths[i], noise + place)
                if up:
                    take_power(p, tile, row, count, listed, lengths, p.voltages[1], memory, watts)
                for i in range(count):
                    if most[i] > number:
                        place = p.first[tile * p.rows + row + i] + number
                        if up:
                            place += p.most[tile * p.rows + row + i]
                        p.power[place] = watts[i]
        row += SIDE


def count_stack(
    double[:, :, ::1] conductance, double[:, :, ::1] effective, double[:, :, ::1] asked, stuck,
    const int64_t[:, :, :, ::1] pulses, const int64_t[:, :, ::1] most, const int64_t[:, ::1] first, Py_ssize_t beats,
    curves, known, double minimum, double maximum, double sigma, const double[:, ::1] normal,
    const uint64_t[:, ::1] keys, const uint64_t[::1] operations, word, ground, dead, double series, voltages,
    int threads,
):
    """Give pulses to tiles, in place; returns the power of each, row after row, first those down, (pulses of rows,)."""
    cdef Counted p
    cdef Py_ssize_t k, share, place, tiles = conductance.shape[0]
    cdef double* memory
    p.tiles, p.rows, p.columns = tiles, conductance.shape[1], conductance.shape[2]
    power = np.zeros(beats + 1)
    cdef double[::1] watts = power
    cdef const unsigned char[:, :, ::1] still = stuck.view(np.uint8)
    cdef const unsigned char[:, ::1] broken
    cdef uintptr_t[:, ::1] addresses = np.empty((10, tiles), dtype=np.uintp)
    kept = [
        keep_addresses(each, tiles, &addresses[place, 0])
        for place, each in enumerate([*curves.fade, *curves.ceiling, *known.fade, *known.ceiling, word, ground])
    ]
    p.fade, p.ceiling, p.known_fade, p.known_ceiling = (
        &addresses[0, 0], &addresses[2, 0], &addresses[4, 0], &addresses[6, 0]
    )
    p.word, p.ground, p.dead = &addresses[8, 0], &addresses[9, 0], NULL
    if dead is not None:
        broken = dead.view(np.uint8)
        p.dead = &broken[0, 0]
    p.conductance, p.effective, p.asked = &conductance[0, 0, 0], &effective[0, 0, 0], &asked[0, 0, 0]
    p.stuck, p.pulses, p.most, p.first = &still[0, 0, 0], &pulses[0, 0, 0, 0], &most[0, 0, 0], &first[0, 0]
    p.keys, p.operations, p.normal, p.power = &keys[0, 0], &operations[0], &normal[0, 0], &watts[0]
    p.minimum, p.span, p.sigma, p.series = minimum, maximum - minimum, sigma, series
    p.voltages[0], p.voltages[1] = voltages
    share = (SIDE + 1) * p.columns + 80 + (SIDE * p.columns) // 2 + 1 + (SIDE * p.columns) // 8 + 1
    if tiles * p.rows * p.columns * 16 < SMALL:
        threads = 1
    memory = <double*> malloc(threads * share * 8)
    if memory == NULL:
        raise MemoryError("for the pulses of a layer")
    with nogil:
        for k in prange(tiles, num_threads=threads, schedule="dynamic"):
            count_tile(&p, k, memory + threadid() * share)
        free(memory)
    return power[:beats]
