"""The power of driving rows of a tile alone: ``circuitmem/_kernels/pulses.py`` explains the ladder that each is then."""

from libc.math cimport INFINITY, isinf
from libc.string cimport memset

from simd.rounded cimport rounded  # for its macro
from simd.vectors cimport wide_d

cdef extern from *:
    """
    #include <math.h>

    /* Rows that are worked out side by side, as each division waits for the one before it on its line, and columns of
       these that are brought side by side at a time. */
    #define SIDE 16
    #define SPAN 64

    /* Go along `count` columns of SIDE rows, from the last to the first. Products that the next column adds to are
       rounded, so that the bits of a row do not depend on where its neighbours begin. */
    static inline void go_along(
        const double *cells, const double *wires, Py_ssize_t count, double *seen, double *current
    ) {
        enum { W = VECTOR_BYTES / 8, VECTORS = SIDE / W };
        wide_d admittance[VECTORS], sent[VECTORS];
        for (int v = 0; v < VECTORS; v++) {
            admittance[v] = double_load(seen + v * W);
            sent[v] = double_load(current + v * W);
        }
        for (Py_ssize_t at = (count - 1) * SIDE; at >= 0; at -= SIDE)
            for (int v = 0; v < VECTORS; v++) {
                wide_d cell = double_load(cells + at + v * W), ohms = double_load(wires + at + v * W);
                double_mask joined = ohms < INFINITY - (wide_d){0};
                wide_d below = admittance[v] + cell;
                wide_d share = 1.0 / (1.0 + double_choose(joined, ohms, (wide_d){0}) * below);
                share = double_choose(joined, share, (wide_d){0});
                sent[v] = (sent[v] + cell) * share;
                admittance[v] = below * share;
                ROUND(sent[v]);
                ROUND(admittance[v]);
            }
        for (int v = 0; v < VECTORS; v++) {
            double_store(seen + v * W, admittance[v]);
            double_store(current + v * W, sent[v]);
        }
    }
    """
    enum: SIDE
    enum: SPAN
    void go_along(const double*, const double*, Py_ssize_t, double*, double*) noexcept nogil


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


cdef inline double to_ground(double conductance, double series, double ground) noexcept nogil:
    """Return the conductance of a device in series with its transistor and its bit line."""
    cdef double cell = conductance
    if ground == INFINITY:
        return 0.0
    if series != 0.0:
        cell = conductance / (1.0 + conductance * series)
    return cell / (1.0 + cell * ground)


cdef inline void drive_from_left(
    const double* conductance, const int* listed, const Py_ssize_t* lengths, const Py_ssize_t* chosen,
    Py_ssize_t columns, const double* word, const double* ground, double series, double voltage, double* power
) noexcept nogil:
    """Work out the power of SIDE chosen rows without right drivers: as :c:func:`drive_row`, but without branches."""
    cdef double seen[SIDE]
    cdef double current[SIDE]
    cdef double cells[SPAN * SIDE]
    cdef double wires[SPAN * SIDE]
    cdef Py_ssize_t left[SIDE]
    cdef const int* own
    cdef Py_ssize_t end = 0, first, row, j, k
    for k in range(SIDE):
        seen[k] = current[k] = 0.0
        left[k] = lengths[chosen[k]]
        end = max(end, listed[chosen[k] * columns + left[k] - 1] + 1)  # beyond the last cell flows nothing
    while end > 0:
        first = max(<Py_ssize_t> 0, end - SPAN)
        memset(cells, 0, (end - first) * SIDE * sizeof(double))
        for k in range(SIDE):
            row, own = chosen[k], listed + chosen[k] * columns
            while left[k] > 0 and own[left[k] - 1] >= first:
                left[k] -= 1
                j = own[left[k]]
                cells[(j - first) * SIDE + k] = to_ground(
                    conductance[row * columns + j], series, ground[row * columns + j]
                )
            for j in range(first, end):
                wires[(j - first) * SIDE + k] = word[row * (columns + 1) + j]
        go_along(cells, wires, end - first, seen, current)
        end = first
    for k in range(SIDE):
        power[k] = current[k] * voltage * voltage


cdef inline double drive_row(
    const double* conductance, const int* cells, Py_ssize_t count, Py_ssize_t columns, const double* word,
    const double* ground, double series, double voltage
) noexcept nogil:
    """Return the power of a row that is driven alone."""
    cdef Line line
    cdef Py_ssize_t j
    begin(&line, word[columns])
    for j in range(columns - 1, -1, -1):
        if count > 0 and cells[count - 1] == j:
            count -= 1
            if not isinf(ground[j]):
                add_cell(&line, to_ground(conductance[j], series, ground[j]))
        go_left(&line, word[j])
    return (line.rising + line.constant) * voltage * voltage


cdef inline void drive(
    const double* conductance, const int* listed, const Py_ssize_t* lengths, Py_ssize_t rows, Py_ssize_t columns,
    const double* word, const double* ground, double series, double voltage, double* power
) noexcept nogil:
    """Work out the power of rows, each driven alone for the cells that are listed for it, 0 where none is."""
    cdef Py_ssize_t chosen[SIDE]
    cdef double found[SIDE]
    cdef Py_ssize_t count = 0, k, i
    for k in range(rows):
        power[k] = 0.0
        if lengths[k] == 0:
            pass
        elif isinf(word[k * (columns + 1) + columns]):
            chosen[count] = k
            count += 1
        else:
            power[k] = drive_row(
                conductance + k * columns, listed + k * columns, lengths[k], columns, word + k * (columns + 1),
                ground + k * columns, series, voltage,
            )
        if count == SIDE or (count > 0 and k == rows - 1):
            for i in range(count, SIDE):  # idle lanes repeat the last row
                chosen[i] = chosen[count - 1]
            drive_from_left(conductance, listed, lengths, chosen, columns, word, ground, series, voltage, found)
            for i in range(count):
                power[chosen[i]] = found[i]
            count = 0
