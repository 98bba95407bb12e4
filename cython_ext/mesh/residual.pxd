"""Kirchhoff's laws on a state of the circuit: residual currents, and currents at the terminals."""

from libc.math cimport asinh, copysign, expm1, fabs

from mesh.bit_line_elimination cimport BitLineFactors
from mesh.ladder cimport Ladders, Wires, word_to_bit_layout
from simd.elementary cimport hyperbolic
from simd.vectors cimport LANES, larger, largest, magnitude, splat, transpose, vec


cdef struct Problem:
    Wires wires
    Ladders shared
    vec* word_held  # 1 where ideal wires join a node to a driver; word layout; NULL: nowhere
    BitLineFactors front  # of the shared conductances
    double a  # 1/V; 0 if the cells are linear
    double leak  # current scale of selectors in series; 0 if there are none
    double tolerance
    double settled  # largest error of a terminal's current, relative to the largest of its kind
    double column_sight  # of the shared conductances
    double driver_sight
    int max_iterations
    bint separate  # each vector has conductances of its own


cdef struct Solution:
    Ladders own  # for conductances that belong to one vector
    Ladders* tangent  # those of the last correction
    BitLineFactors front
    vec* source  # voltage of the drivers, one vector a block
    vec* carry  # one a group of columns
    vec* line  # one block of word lines
    vec* scratch  # three a block, or a group
    vec* y  # bit layout; all others word layout
    vec* word_in  # currents injected into the nodes
    vec* bit_in
    vec* w  # the state
    vec* b
    vec* rw  # residual currents of the word-line and bit-line nodes
    vec* r
    vec* dw  # the correction
    vec* db
    vec* q
    vec* p
    vec* ph
    vec* cell
    vec* trial_w
    vec* trial_b
    int iterations


cdef inline void selector_cell(
    double g, double voltage, double a, double leak, double* current, double* slope
) noexcept nogil:
    """Solve the node between memristor and selector; ``circuitmem/_kernels/selector.py`` explains and says it in NumPy."""
    cdef double u = fabs(voltage) * a, r = g / a, x, grow, sinh_x, cosh_x, step
    cdef int tries
    x = min(u, asinh(r * u / leak))
    for tries in range(40):
        grow = expm1(x)
        sinh_x, cosh_x = 0.5 * (grow + grow / (grow + 1.0)), 1.0 + 0.5 * grow * (grow / (grow + 1.0))
        step = (r * (x - u) + leak * sinh_x) / (r + leak * cosh_x)
        x = x - step
        if fabs(step) < 1e-8:
            break
    grow = expm1(x)
    sinh_x, cosh_x = 0.5 * (grow + grow / (grow + 1.0)), 1.0 + 0.5 * grow * (grow / (grow + 1.0))
    # Below the threshold u - x would be a small difference of large numbers.
    current[0] = copysign(leak * sinh_x if x > 0.5 * u else r * (u - x), voltage)
    slope[0] = g * (leak * cosh_x / (r + leak * cosh_x))


cdef inline void cell_currents(
    Problem* s, const vec* g, const vec* w, const vec* b, vec* current, vec* slope
) noexcept nogil:
    """``I = g sinh(a V) / a`` (a = 0: ``g V``), or that of a cell with a selector, and, unless NULL, its slope."""
    cdef Py_ssize_t o
    cdef double tangent
    cdef vec sine, cosine
    cdef const double* gs = <const double*> g
    cdef const double* ws = <const double*> w
    cdef const double* bs = <const double*> b
    cdef double* out = <double*> current
    cdef double* slopes = <double*> slope
    if s.a == 0.0:
        for o in range(s.wires.size):
            current[o] = g[o] * (w[o] - b[o])
        return
    if s.leak > 0.0:
        for o in range(s.wires.size * LANES):
            selector_cell(gs[o], ws[o] - bs[o], s.a, s.leak, &out[o], &tangent)
            if slope != NULL:
                slopes[o] = tangent
        return
    for o in range(s.wires.size):
        hyperbolic(splat(s.a) * (w[o] - b[o]), &sine, &cosine)
        current[o] = g[o] / splat(s.a) * sine
        if slope != NULL:
            slope[o] = g[o] * cosine


cdef inline double residual(Problem* s, const vec* g, Solution* k, const vec* w, const vec* b, vec* slope) noexcept nogil:
    """Kirchhoff's residual of a state, to k.rw and k.r; returns the largest magnitude among the voltages."""
    cell_currents(s, g, w, b, k.cell, slope)
    return wire_residual(&s.wires, k, w, b)


cdef inline double wire_residual(Wires* t, Solution* k, const vec* w, const vec* b) noexcept nogil:
    """The residual of a state whose cells' currents are in k.cell; as :c:func:`residual`.

    A cell's current enters both with the same bits, and wire currents are differences: so the sum over an almost
    floating part keeps its digits.
    """
    cdef Py_ssize_t block, group, l, j, i, o, e
    cdef vec tile[LANES]
    cdef vec value, left, wire, high = splat(0.0)
    for block in range(t.blocks):
        left = k.source[block]
        for j in range(t.columns):
            o = block * t.width + j
            value = w[o]
            high = larger(high, larger(magnitude(value), magnitude(b[o])))
            wire = (left - value) * t.word_inverse[o]
            k.rw[o] = wire - k.cell[o] + k.word_in[o]
            if j > 0:
                k.rw[o - 1] = k.rw[o - 1] - wire
            left = value
        o = block * t.width + t.columns - 1
        k.rw[o] = k.rw[o] + (k.source[block] - left) * t.word_far_inverse[block]
        for o in range(block * t.width + t.columns, (block + 1) * t.width):
            k.rw[o] = splat(0.0)
    word_to_bit_layout(t, b, k.y)
    for block in range(t.blocks):
        for group in range(t.groups):
            for l in range(LANES):
                i = block * LANES + l
                e = i * t.groups + group
                tile[l] = splat(0.0)
                if i >= t.rows:
                    continue
                value = k.y[e]
                if i == 0:
                    wire = -value * t.bit_far_inverse[group]
                else:
                    wire = (k.y[e - t.groups] - value) * t.bit_inverse[e - t.groups]
                if i + 1 < t.lines:
                    value = value - k.y[e + t.groups]
                tile[l] = wire - value * t.bit_inverse[e]
            transpose(tile)
            for l in range(LANES):
                o = block * t.width + group * LANES + l
                k.r[o] = tile[l] + k.cell[o] + k.bit_in[o]
    return largest(high)


cdef inline void terminal_currents(Problem* s, Ladders* c, Solution* k, double* column, double* driver) noexcept nogil:
    """Currents into the sense amplifiers and out of the drivers of a solved vector.

    By reciprocity a current that enters a line at a node reaches its ends in the proportion ``h``, which leaves no
    difference of nearly equal numbers. Cells that are not linear have their tangents: ``c`` has its slopes.
    The last correction is used apart from the state: it has the digits that a small difference of voltages lacks.
    """
    cdef Wires* t = &s.wires
    cdef bint linear = s.a == 0.0
    cdef Py_ssize_t block, j, l, o
    cdef vec line, into, out_of
    cdef double* lanes = <double*> k.line
    cdef double* share = <double*> c.bit_h
    for j in range(t.columns):
        column[j] = 0.0
    for block in range(t.blocks):
        line = splat(0.0)
        for j in range(t.columns):
            o = block * t.width + j
            if linear:
                into = c.g[o] * (k.w[o] + k.dw[o])
                out_of = c.g[o] * (k.source[block] - k.b[o] - k.db[o])
            else:
                into = k.cell[o] + c.g[o] * (k.b[o] + k.dw[o])
                out_of = k.cell[o] + c.g[o] * (k.source[block] - k.w[o] - k.db[o])
            line = line + c.word_h[o] * (out_of - k.word_in[o])
            k.line[0] = into + k.bit_in[o]
            for l in range(min(<Py_ssize_t> LANES, t.rows - block * LANES)):
                column[j] += share[(block * LANES + l) * t.width + j] * lanes[l]
        k.line[0] = line
        for l in range(min(<Py_ssize_t> LANES, t.rows - block * LANES)):
            driver[block * LANES + l] = lanes[l]


cdef inline void sights(Wires* t, Ladders* c, vec* line, double* column, double* driver) noexcept nogil:
    """Largest conductance of a column seen from its sense amplifiers, of a row seen from its drivers.

    It says what an error of the voltages on the other sides of the cells does to a terminal's current. ``line`` has room
    for one block of word lines.
    """
    cdef Py_ssize_t block, j, l
    cdef vec along
    cdef double* share = <double*> c.bit_h
    cdef const double* g
    driver[0] = column[0] = 0.0
    for j in range(t.width):
        line[j] = splat(0.0)
    for block in range(t.blocks):
        along = splat(0.0)
        for j in range(t.columns):
            g = <const double*> (c.g + block * t.width + j)
            along = along + c.word_h[block * t.width + j] * c.g[block * t.width + j]
            for l in range(min(<Py_ssize_t> LANES, t.rows - block * LANES)):
                (<double*> line)[j] += share[(block * LANES + l) * t.width + j] * g[l]
        driver[0] = max(driver[0], largest(along))
    for j in range(t.columns):
        column[0] = max(column[0], (<double*> line)[j])
