"""The power of driving rows of a tile alone: ``circuitmem/_kernels/pulses.py`` explains the ladder that each is then."""

from libc.math cimport INFINITY, isinf

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
