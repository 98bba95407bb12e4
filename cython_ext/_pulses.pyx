"""Two-pulse and counted updates, and their power; ``circuitmem/_kernels`` (``pulses``, ``counts``) explains them."""

from libc.math cimport INFINITY, expm1, isinf, sqrt
from libc.stdint cimport int64_t, uint64_t

from _philox cimport normals

import numpy as np

OPENMP = False

# Rows that are worked out side by side: each division waits for the one before it on its line.
cdef enum:
    SIDE = 8


cdef struct Line:
    double seen      # admittance of what lies to the right of a node,
    double sent      # current that the right driver sends there per volt, if the node is at 0 V,
    double rising    # and the current of the cells there, per volt of the node,
    double constant  # and per volt of the right driver
    bint held        # whether ideal wires join the node to the right driver


cdef inline void begin(Line* line, double far) noexcept nogil:
    line.rising = line.constant = 0.0
    line.held = far == 0.0
    line.seen = line.sent = 0.0 if line.held or isinf(far) else 1.0 / far


cdef inline void add_cell(Line* line, double conductance) noexcept nogil:
    if line.held:
        line.constant = line.constant + conductance
    else:
        line.seen = line.seen + conductance
        line.rising = line.rising + conductance


cdef inline void leave_driver(Line* line, double resistance) noexcept nogil:
    if resistance != 0.0:
        line.held = False
        line.seen = line.sent = 0.0 if isinf(resistance) else 1.0 / resistance


cdef inline void go_left(Line* line, double resistance) noexcept nogil:
    cdef double share, drop
    if line.held:
        leave_driver(line, resistance)
        return
    if isinf(resistance):
        share = 0.0
        drop = 1.0 / line.seen if line.seen > 0.0 else 0.0
    else:
        share = 1.0 / (1.0 + resistance * line.seen)
        drop = resistance * share
    line.constant = line.constant + line.rising * drop * line.sent
    line.rising = line.rising * share
    line.seen = line.seen * share
    line.sent = line.sent * share


cdef inline void drive_from_left(
    const double* conductance, const unsigned char* selected, Py_ssize_t columns, const double* word,
    const double* ground, double voltage, double* power
) noexcept nogil:
    """Work out the power of SIDE rows without right drivers: as :c:func:`drive`, in a form without branches."""
    cdef double seen[SIDE]
    cdef double current[SIDE]
    cdef double cell, ohms, there, share
    cdef Py_ssize_t j, k
    for k in range(SIDE):
        seen[k] = current[k] = 0.0
    for j in range(columns - 1, -1, -1):
        for k in range(SIDE):
            there = ground[k * columns + j]
            cell = conductance[k * columns + j] if selected[k * columns + j] and there < INFINITY else 0.0
            cell = cell / (1.0 + cell * (there if there < INFINITY else 0.0))
            ohms = word[k * (columns + 1) + j]
            share = 1.0 / (1.0 + (ohms if ohms < INFINITY else 0.0) * (seen[k] + cell))
            share = share if ohms < INFINITY else 0.0
            current[k] = (current[k] + cell) * share
            seen[k] = (seen[k] + cell) * share
    for k in range(SIDE):
        power[k] = current[k] * voltage * voltage


cdef inline void drive(
    const double* conductance, const unsigned char* selected, Py_ssize_t count, Py_ssize_t columns, const double* word,
    const double* ground, double voltage, double* power
) noexcept nogil:
    """Work out the power of ``count`` rows, each driven alone."""
    cdef Line line[SIDE]
    cdef Py_ssize_t j, k
    cdef double g, seen
    cdef bint left = count == SIDE, some = False
    for k in range(count * columns):
        some |= selected[k]
    if not some:
        for k in range(count):
            power[k] = 0.0
        return
    for k in range(count):
        left = left and isinf(word[k * (columns + 1) + columns])
    if left:
        drive_from_left(conductance, selected, columns, word, ground, voltage, power)
        return
    for k in range(count):
        begin(&line[k], word[k * (columns + 1) + columns])
    for j in range(columns - 1, -1, -1):
        for k in range(count):
            seen = ground[k * columns + j]
            if selected[k * columns + j] and not isinf(seen):
                g = conductance[k * columns + j]
                add_cell(&line[k], g / (1.0 + g * seen))
            go_left(&line[k], word[k * (columns + 1) + j])
    for k in range(count):
        power[k] = (line[k].rising + line[k].constant) * voltage * voltage


def row_power(
    const double[:, ::1] conductance, const unsigned char[:, ::1] selected, const double[:, ::1] word_resistance,
    const double[:, ::1] ground_resistance, double voltage,
):
    """Return the power of each row, (rows,) W."""
    cdef Py_ssize_t rows = conductance.shape[0], columns = conductance.shape[1], block, i
    power = np.empty(rows)
    cdef double[::1] out = power
    with nogil:
        for block in range((rows + SIDE - 1) // SIDE):
            i = block * SIDE
            drive(
                &conductance[i, 0], &selected[i, 0], min(<Py_ssize_t> SIDE, rows - i), columns, &word_resistance[i, 0],
                &ground_resistance[i, 0], voltage, &out[i],
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


def count_pulses(
    double[:, ::1] conductance, double[:, ::1] effective, const unsigned char[:, ::1] stuck,
    const int64_t[:, ::1] pulses, bint up, const double[:, ::1] fade, const double[:, ::1] ceiling, double minimum,
    double maximum, double sigma, const double[:, ::1] normal, uint64_t key0, uint64_t key1, uint64_t operation,
):
    """Move cells along their curves, in place; ``circuitmem/_kernels/counts.py`` explains, and says it in NumPy."""
    cdef Py_ssize_t columns = conductance.shape[1], i, j, start, place = 0
    cdef double y, after, span = maximum - minimum
    cdef bint some
    cdef double[::1] noise = np.empty(columns + 16)
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
                    y = (conductance[i, j] - minimum) / span
                    y = y if up else 1.0 - y
                    y = y - (ceiling[i, j] - y) * expm1(-fade[i, j] * pulses[i, j])
                    if sigma > 0.0:
                        y = y + sigma * sqrt(<double> pulses[i, j]) * noise[place + j]
                    y = min(max(y, 0.0), 1.0)
                    after = minimum + span * (y if up else 1.0 - y)
                    conductance[i, j] = after
                    if not stuck[i, j]:
                        effective[i, j] = after
