"""The power of driving one row of a tile at a time; ``circuitmem/_kernels/rows.py`` explains it, and says it in NumPy."""

from libc.math cimport isinf

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


def row_power(
    const double[:, ::1] conductance, const unsigned char[:, ::1] selected, const double[:, ::1] word_resistance,
    const double[:, ::1] ground_resistance, double voltage,
):
    """Return the power of each row, (rows,) W."""
    cdef Py_ssize_t rows = conductance.shape[0], columns = conductance.shape[1], i, j, k, count
    cdef Line line[SIDE]
    cdef double g, ground
    power = np.empty(rows)
    cdef double[::1] out = power
    with nogil:
        i = 0
        while i < rows:
            count = min(<Py_ssize_t> SIDE, rows - i)
            for k in range(count):
                begin(&line[k], word_resistance[i + k, columns])
            for j in range(columns - 1, -1, -1):
                for k in range(count):
                    ground = ground_resistance[i + k, j]
                    if selected[i + k, j] and not isinf(ground):
                        g = conductance[i + k, j]
                        add_cell(&line[k], g / (1.0 + g * ground))
                    go_left(&line[k], word_resistance[i + k, j])
            for k in range(count):
                out[i + k] = (line[k].rising + line[k].constant) * voltage * voltage
            i += SIDE
    return power
