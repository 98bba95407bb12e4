"""A tile of ODE devices at one moment of a pulse: what wires and cells do, and how fast the states move.

Newton's method on the cells: each is replaced by its tangent at a voltage of its own, the wires are solved, and so on.
The voltages of the bit lines are relative to their drivers, which is what grounds them (``mesh/ladder.pxd``).
"""

from libc.math cimport isfinite

from mesh.correction cimport TRUSTED, correct, exactly, finish, sharpen, through_cells
from simd.elementary cimport inverse_sine
from mesh.bit_line_elimination cimport fits
from mesh.conjugate_gradients cimport conjugate_gradients
from mesh.residual cimport Problem, Solution, wire_residual
from mesh.ladder cimport Ladders, Wires, prepare, word_to_bit_layout
from simd.vectors cimport larger, largest, magnitude, splat, total, vec
from devices.law cimport TABULATED, Cells, Law, cells_flow, cells_siemens, cells_stiffness, motion, moving
from devices.table cimport table_voltage

cdef extern from *:
    """
    #define CORRECTIONS 200  /* corrections after which a moment is given up */

    /* Where a cell's voltage grows beyond where its tangent holds, take the voltage of the tangent's current instead: the
       law is exponential there, and the current that the network can give is a far better guess. */
    static inline int shorten(const Law *l, vec g, vec series, vec current, vec old, vec *new_) {
        mask far = (splat(l->a) * magnitude(*new_ - old) > splat(1.0)) & (magnitude(*new_) > magnitude(old));
        if (l->model == TABULATED) {
            far = far & (series < splat(1e308)) & (g < splat(0));
            if (!any_lane(far)) return 0;
            vec own = table_voltage(&l->tables, g, splat(-1.0), *new_, current);
            *new_ = choose(far, own + current * choose(far, series, splat(0)), *new_);
            return 1;
        }
        far = far & (series < splat(1e308)) & (g > splat(0));
        if (!any_lane(far)) return 0;
        vec siemens_ = choose(current < splat(0), g * splat(l->ratio), g);
        vec inside = inverse_sine(splat(l->a) * current / choose(far, siemens_, splat(1.0))) * splat(1.0 / l->a);
        *new_ = choose(far, inside + current * choose(far, series, splat(0)), *new_);
        return 1;
    }
    static inline vec with_law(vec voltage, vec series, vec current) {
        return choose(series < splat(1e308), voltage - series * current, splat(0));
    }
    """
    enum: CORRECTIONS
    bint shorten(const Law*, vec, vec, vec, vec, vec*) noexcept nogil
    vec with_law(vec, vec, vec) noexcept nogil


cdef struct Cross:
    Problem problem
    Solution work
    Law law
    vec* word  # voltage of the word lines' drivers on the plateau, one vector a block
    vec* bit  # of the bit lines' drivers, one vector (all lanes alike) a column
    vec* held  # 1 where ideal wires join a node to a driver; word layout, as all that follow
    vec* fixed
    vec* series
    vec* trial  # states
    vec* siemens  # of the devices in these states
    vec* across  # voltage of each cell: where its tangent is taken
    vec* base  # current there
    vec* current  # of each cell
    vec* rate
    vec* stiffness
    double peak  # largest magnitude of a line's plateau
    double level  # of the last moment, relative to the plateau
    double accuracy  # of voltages, relative to the largest
    double expected  # the first correction of the last moment
    bint nonlinear


cdef inline void begin_moment(Cross* d, double level) noexcept nogil:
    """Set the lines' voltages, and start from the last moment: one soon after it, scaled, is almost it."""
    cdef Wires* t = &d.problem.wires
    cdef Solution* k = &d.work
    cdef Py_ssize_t o, block
    cdef vec scale = splat(level / d.level if d.level > 0.0 else 0.0), one = splat(1.0)
    cdef vec* w = k.w
    cdef vec* b = k.b
    cdef vec* across = d.across
    cdef vec* held = d.held
    for block in range(t.blocks):
        k.source[block] = splat(level) * d.word[block]
        for o in range(block * t.width, (block + 1) * t.width):
            w[o] = held[o] * k.source[block] + (one - held[o]) * scale * w[o]
            b[o] = scale * b[o]
            across[o] = scale * across[o]
    d.level = level


cdef inline void take_tangents(Cross* d) noexcept nogil:
    """Replace each cell by its tangent, and set the currents that they have at the voltages of the nodes."""
    cdef Wires* t = &d.problem.wires
    cdef Solution* k = &d.work
    cdef Py_ssize_t o, block, j
    cdef vec level = splat(d.level)
    cdef Cells cells
    cdef vec* w = k.w
    cdef vec* b = k.b
    cdef vec* across = d.across
    cdef vec* bit = d.bit
    cdef vec* g = k.own.g
    cdef vec* cell = k.cell
    cdef vec* base = d.base
    cdef vec* siemens = d.siemens
    cdef vec* series = d.series
    for block in range(t.blocks):
        for j in range(t.width):
            o = block * t.width + j
            cells_flow(&d.law, siemens[o], series[o], across[o], &cells)
            base[o], g[o] = cells.current, cells.slope
            cell[o] = cells.current + cells.slope * (w[o] - b[o] - level * bit[j] - across[o])


cdef inline double move_cells(Cross* d, bint* cut_short) noexcept nogil:
    """Take the voltages of the nodes for those of the cells; return by how much one of them moved at most."""
    cdef Wires* t = &d.problem.wires
    cdef Solution* k = &d.work
    cdef Py_ssize_t o, block, j
    cdef vec level = splat(d.level), high = splat(0.0), old, now
    cdef vec* w = k.w
    cdef vec* b = k.b
    cdef vec* across = d.across
    cdef vec* bit = d.bit
    cdef vec* g = k.own.g
    cdef vec* base = d.base
    cdef vec* siemens = d.siemens
    cdef vec* series = d.series
    cdef vec* current = d.current
    cut_short[0] = False
    for block in range(t.blocks):
        for j in range(t.width):
            o = block * t.width + j
            old, now = across[o], w[o] - b[o] - level * bit[j]
            current[o] = base[o] + g[o] * (now - old)
            if d.nonlinear and shorten(&d.law, siemens[o], series[o], current[o], old, &now):
                cut_short[0] = True
            high = larger(high, magnitude(now - old))
            across[o] = now
    return largest(high)


cdef inline bint correct_lines(Cross* d, double goal, double reduction) noexcept nogil:
    """Solve the wires for the cells' tangents, voltages to ``goal`` V; false if numbers overflow."""
    cdef Wires* t = &d.problem.wires
    cdef Solution* k = &d.work
    cdef Ladders* c = &k.own
    cdef double first, cells
    wire_residual(t, k, k.w, k.b)
    word_to_bit_layout(t, c.g, k.y)
    prepare(t, c, k.y, k.scratch)
    if c.amplification > TRUSTED:
        sharpen(t, c, k)
        wire_residual(t, k, k.w, k.b)  # whose place that took
    first = through_cells(t, c, k)
    if c.amplification > TRUSTED and fits(t):
        if not exactly(&d.problem, c, k, True):
            return False
    elif not isfinite(conjugate_gradients(
        &d.problem, c, k, reduction, goal / c.amplification if c.amplification <= TRUSTED else 0.0,
        (goal - first) / c.amplification,
    )):
        return False
    finish(t, c, k, &cells)
    correct(t, k, 1.0)
    return True


cdef inline bint moment(Cross* d, double level, bint stiffness, double* power) noexcept nogil:
    """Solve the tile with the states d.trial; set rates, where wanted their stiffness, and the power. False if it failed."""
    cdef Wires* t = &d.problem.wires
    cdef Solution* k = &d.work
    cdef double allowed = d.accuracy * level * d.peak, change, rest
    cdef bint cut_short, tight
    cdef Py_ssize_t o, block, j
    cdef int turn
    cdef vec inner, sum_ = splat(0.0)
    cdef vec* across = d.across
    cdef vec* bit = d.bit
    cdef vec* series = d.series
    cdef vec* current = d.current
    cdef vec* trial = d.trial
    cdef vec* fixed = d.fixed
    cdef vec* rate = d.rate
    cdef vec* stiff = d.stiffness
    k.iterations = 0
    begin_moment(d, level)
    power[0] = 0.0
    if allowed == 0.0:
        for o in range(t.size):
            current[o] = rate[o] = stiff[o] = splat(0.0)
        return True
    change = d.expected
    for turn in range(CORRECTIONS):
        # No more digits than the tangents are worth: the next correction is about the square of the last.
        tight = not d.nonlinear or 0.5 * d.law.a * change * change <= 10.0 * allowed
        take_tangents(d)
        if not correct_lines(d, 0.3 * allowed, 0.0 if tight else 1e-2):
            return False
        change = move_cells(d, &cut_short)
        if not isfinite(change):
            return False
        if turn == 0:
            d.expected = change
        # What a tangent leaves out; where the law has a corner nothing but the correction itself says.
        rest = 0.5 * d.law.a * change * change if d.law.ratio == 1.0 and d.law.model != TABULATED else change
        if not d.nonlinear or (tight and not cut_short and rest <= allowed):
            break
    else:
        return False
    for block in range(t.blocks):
        for j in range(t.width):
            o = block * t.width + j
            inner = with_law(across[o], series[o], current[o])
            rate[o] = moving(fixed[o], series[o], motion(&d.law, trial[o], inner, current[o]))
            # All that a line's drivers give goes through its cells; those of a part that floats add up to nothing.
            sum_ = sum_ + (k.source[block] - splat(level) * bit[j]) * current[o]
            if stiffness:
                stiff[o] = cells_stiffness(
                    &d.law, trial[o], fixed[o], series[o], across[o], rate[o]
                )
    power[0] = total(sum_)
    return True


cdef inline void set_siemens(Cross* d) noexcept nogil:
    """Work out what the devices conduct in the states d.trial."""
    cdef Py_ssize_t o
    cdef vec* siemens = d.siemens
    cdef vec* trial = d.trial
    cdef vec* fixed = d.fixed
    for o in range(d.problem.wires.size):
        siemens[o] = cells_siemens(&d.law, trial[o], fixed[o])
