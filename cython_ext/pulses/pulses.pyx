"""Two-pulse and counted updates, and their power; ``circuitmem/_kernels`` (``pulses``, ``counts``) explains them."""

from libc.math cimport expm1, sqrt
from libc.stdint cimport int64_t, uint64_t

from simd.philox cimport normals
from pulses.row_power cimport SIDE, drive

import numpy as np

OPENMP = False

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
