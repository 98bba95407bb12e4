"""Two-pulse updates, and their power; ``circuitmem/_kernels/pulses.py`` explains them, and says them in NumPy."""

from libc.math cimport INFINITY, isinf
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


cdef struct Law:
    double minimum_conductance, slope, minimum_gate, maximum_gate, noise


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
    cdef bint left = count == SIDE
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
    """Return how many cells of each row are to fall, and how many to change at all: (2, rows)."""
    cdef Py_ssize_t i, j, lowered, selected
    cdef double change
    found = np.empty((2, wanted.shape[0]), dtype=np.int64)
    cdef int64_t[:, ::1] out = found
    with nogil:
        for i in range(wanted.shape[0]):
            lowered = selected = 0
            for j in range(wanted.shape[1]):
                change = wanted[i, j] - asked[i, j]
                lowered += change < -deadband
                selected += (change < -deadband) | (change > deadband)
            out[0, i], out[1, i] = lowered, selected
    return found


cdef inline void reset_row(
    double* conductance, double* effective, const unsigned char* stuck, const unsigned char* selected,
    Py_ssize_t columns, double floor,
) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(columns):
        if selected[j] and conductance[j] > floor:
            conductance[j] = floor
            if not stuck[j]:
                effective[j] = floor


cdef inline void set_row(
    double* conductance, double* effective, const unsigned char* stuck, const unsigned char* selected,
    const double* wanted, double* asked, const double* slope, const double* noise, Py_ssize_t columns, const Law* law,
) noexcept nogil:
    cdef Py_ssize_t j
    cdef double gate, after
    for j in range(columns):
        if selected[j]:
            gate = law.minimum_gate + (wanted[j] - law.minimum_conductance) / law.slope
            gate = min(max(gate, law.minimum_gate), law.maximum_gate)
            after = law.minimum_conductance + slope[j] * (gate - law.minimum_gate)
            after = max(max(after, conductance[j]) + law.noise * noise[j], 0.0)
            conductance[j] = after
            asked[j] = wanted[j]
            if not stuck[j]:
                effective[j] = after


def pulse(
    bint rise, double[:, ::1] conductance, double[:, ::1] effective, const unsigned char[:, ::1] stuck,
    const double[:, ::1] wanted, double[:, ::1] asked, double deadband, const double[:, ::1] slope,
    law, Py_ssize_t first, Py_ssize_t last, double voltage, const double[:, ::1] word_resistance,
    const double[:, ::1] ground_resistance, const double[:, ::1] normal, uint64_t key0, uint64_t key1,
    uint64_t operation,
):
    """Give the cells of rows ``first`` to ``last`` that are to change a SET pulse, or those to fall a RESET pulse.

    Returns the power of each of these rows (W).
    """
    cdef Py_ssize_t columns = conductance.shape[1], count, start, block, i, j, k, place
    cdef double change
    cdef bint some
    cdef Law how
    how.minimum_conductance, how.slope, how.minimum_gate, how.maximum_gate, how.noise = law
    power = np.zeros(last - first)
    cdef double[::1] out = power
    # Of a few rows, which stay in the cache: no temporary is as large as the tile.
    cdef unsigned char[::1] selected = np.empty(SIDE * columns, dtype=np.uint8)
    cdef double[::1] noise = np.empty(SIDE * columns + 16 if rise else 1)
    with nogil:
        for block in range((last - first + SIDE - 1) // SIDE):
            i = first + block * SIDE
            count = min(<Py_ssize_t> SIDE, last - i)
            some = False
            for k in range(count):
                for j in range(columns):
                    change = wanted[i + k, j] - asked[i + k, j]
                    selected[k * columns + j] = (change < -deadband) | (rise & (change > deadband))
                    some |= selected[k * columns + j]
            if not some:
                continue
            if rise:
                start = i * columns // 8
                place = i * columns - 8 * start
                normals(
                    key0, key1, 1 + start, operation, (place + count * columns + 7) // 8, &normal[0, 0], &noise[0]
                )
                for k in range(count):
                    set_row(
                        &conductance[i + k, 0], &effective[i + k, 0], &stuck[i + k, 0], &selected[k * columns],
                        &wanted[i + k, 0], &asked[i + k, 0], &slope[i + k, 0], &noise[place + k * columns], columns,
                        &how,
                    )
            drive(
                &effective[i, 0], &selected[0], count, columns, &word_resistance[i, 0], &ground_resistance[i, 0],
                voltage, &out[i - first],
            )
            if not rise:
                for k in range(count):
                    reset_row(
                        &conductance[i + k, 0], &effective[i + k, 0], &stuck[i + k, 0], &selected[k * columns], columns,
                        how.minimum_conductance,
                    )
    return power
