"""The circuit of one tile, solved for single input vectors, several at a time on threads.

Unknowns are the voltages of the word-line and bit-line nodes. Given the voltages of the one kind of lines, each line
of the other kind is a ladder, which two recursions solve exactly. The word lines are eliminated, and conjugate
gradients solve for the bit lines, preconditioned by the bit-line ladders alone. From the true residual of the state
so found comes a correction, until a bound on the error, or the correction itself, is within the tolerance.
``circuitmem/_kernels/reference.py`` says the same in NumPy; ``ladder.pxd`` explains the ladders and the layouts.
"""

from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, fabs, isfinite

from mesh.correction cimport TRUSTED, correct, exactly, finish, sharpen, through_cells
from mesh.bit_line_elimination cimport allocate, factor_tile, fits, release
from mesh.conjugate_gradients cimport bits_down, bits_up, conjugate_gradients, start
from mesh.residual cimport Problem, Solution, residual, sights, terminal_currents, wire_residual
from mesh.ladder cimport Ladders, Wires, from_word_layout, prepare, to_layouts, word_lines, word_to_bit_layout
from simd.vectors cimport LANES, larger, largest, magnitude, splat, total, vec
from simd.threads cimport HAS_OPENMP, TEAM
from mesh.weak_wires cimport Batch, weakly
from mesh.workspace cimport take_ladders, take_wires, take_work

import numpy as np

OPENMP = bool(HAS_OPENMP)

# How far a correction reduces its residual, and how many of them a solution may need.
cdef double REDUCTION = 1e-5
cdef int ROUNDS = 100
# Reductions of the residual by a Newton step. Each doubles the digits that are right, so that less than the square of the
# last one would need another step, which costs more than iterations do; more would be lost to the law's curvature.
cdef double FIRST_STEPS = 1e-4
cdef double LAST_STEPS = 1e-6
# A voltage of a cell, in units of 1/a, that changes its slope by no more than this: where all change by less, slopes stay.
cdef double NEAR = 1e-5
# Resistance of a segment [ohm] below which it may hold a node at its driver's voltage, whatever the cells do.
cdef double HOLDS = 1e-90
# How much larger than that of a voltage the relative error of a terminal's current may be.
cdef double CURRENTS = 1e3
# Corrections for the sake of currents, once the voltages are right.
cdef int EXTRA = 4
# What rounding of the cells' own currents does to a terminal's, relative to the sum of all of these.
cdef double ROUNDING = 16.0 * 2.220446049250313e-16


cdef double power_along(Wires* t, Solution* k) noexcept nogil:
    """Residual times correction: how fast the content of the network falls along the correction."""
    cdef Py_ssize_t o
    cdef vec power = splat(0.0)
    for o in range(t.size):
        power = power + k.rw[o] * k.dw[o] + k.r[o] * k.db[o]
    return total(power)


cdef double step_length(Problem* s, const vec* g, Solution* k) noexcept nogil:
    """Shorten a Newton step that overshoots: the content is convex along it, and falls until its slope turns."""
    cdef Py_ssize_t o
    cdef double length = 1.0, slope
    cdef int tries
    residual(s, g, k, k.w, k.b, NULL)
    slope = power_along(&s.wires, k)
    for tries in range(60):
        for o in range(s.wires.size):
            k.trial_w[o] = k.w[o] + splat(length) * k.dw[o]
            k.trial_b[o] = k.b[o] + splat(length) * k.db[o]
        residual(s, g, k, k.trial_w, k.trial_b, NULL)
        if power_along(&s.wires, k) >= -0.5 * slope:
            break
        length = length * 0.5
    return length


cdef double reach(Wires* t, Ladders* c, Solution* k) noexcept nogil:
    """Largest voltage that the injected currents would cause if none cancelled another: the scale of their errors."""
    cdef Py_ssize_t o
    cdef double first, z
    for o in range(t.size):
        k.rw[o] = magnitude(k.word_in[o])
        k.r[o] = magnitude(k.bit_in[o])
    first = through_cells(t, c, k)
    start(t, k)
    bits_down(t, c, k, 0.0)
    bits_up(t, c, k, 0.0, 0.0, &z)
    return max(first, z)


cdef double solve_vector(Problem* s, Ladders* base, Solution* k, double bound, bint warm) noexcept nogil:
    """Find the state (k.w, k.b) and its last correction (k.dw, k.db); return its error relative to the largest voltage.

    A ``warm`` start finds an estimate of the state in (k.w, k.b); linear cells need only that of the bit lines.
    ``base`` has the conductances of the cells (at 0 V if they are not linear), ``bound`` is the largest voltage of a source.
    The error is a bound where there is one, else the size of the last correction. Without a bound the correction is exact,
    unless the tile is too large for that.
    """
    cdef Wires* t = &s.wires
    cdef Ladders* c = base
    cdef bint linear = s.a == 0.0, bounded = False, resting, kept
    cdef Py_ssize_t o
    cdef int turn
    cdef double scale, z, first, change, cells = INFINITY, length, goal, reduction, error = 1.0
    k.iterations = 0
    k.tangent = c
    warm = warm and bound > 0.0
    # Where no cell has a voltage, slopes are the conductances, whose ladders there are.
    resting = not linear and s.leak == 0.0 and not warm and s.word_held == NULL and base.amplification <= TRUSTED
    if warm and linear:
        for o in range(t.size):
            k.dw[o] = base.g[o] * k.b[o] + k.word_in[o]
        word_lines(t, base, k.dw, k.dw)
    for o in range(t.size):
        if warm:  # a node that ideal wires join to a driver has its voltage, whatever the estimate says
            if linear:
                k.w[o] = base.word_h[o] * k.source[o // t.width] + k.dw[o]
            elif s.word_held != NULL:
                k.w[o] = s.word_held[o] * k.source[o // t.width] + (splat(1.0) - s.word_held[o]) * k.w[o]
            continue
        k.b[o] = splat(0.0)
        if linear:  # the word lines are right for these bit lines
            k.w[o] = base.word_h[o] * k.source[o // t.width]
            k.rw[o] = k.word_in[o]
            k.r[o] = base.g[o] * k.w[o] + k.bit_in[o]
        else:  # no cell has a voltage, unless ideal wires join it to a driver: no step has to come down from a peak
            k.w[o] = splat(0.0) if s.word_held == NULL else s.word_held[o] * k.source[o // t.width]
            k.cell[o] = splat(0.0)
    if bound == 0.0:
        start(t, k)
        word_lines(t, c, k.db, k.dw)
        if not linear:
            k.tangent = &k.own
        for o in range(t.size if not linear else 0):  # what the terminals are worked out from
            k.cell[o] = k.own.g[o] = k.own.word_h[o] = k.own.bit_h[o] = splat(0.0)
        return 0.0
    for turn in range(ROUNDS):
        scale = bound
        kept = linear or (turn == 0 and resting) or (bounded and cells * s.a <= NEAR)
        if turn == 0 and resting:
            scale = max(bound, wire_residual(t, k, k.w, k.b))
        elif turn > 0 or warm or not linear:
            scale = max(bound, residual(s, base.g, k, k.w, k.b, NULL if kept else k.own.g))
        if not kept:
            c = k.tangent = &k.own
            word_to_bit_layout(t, c.g, k.y)
            prepare(t, c, k.y, k.scratch)
            if c.amplification > TRUSTED:
                sharpen(t, c, k)
                residual(s, base.g, k, k.w, k.b, NULL)  # whose place that took
        first = through_cells(t, c, k)
        bounded = c.amplification <= TRUSTED
        if not bounded and fits(t):
            z = 0.0
            if not exactly(s, c, k, turn == 0 or not linear):
                return INFINITY
        else:
            goal = 0.1 * s.tolerance * scale / min(c.amplification, TRUSTED) if bounded or turn == 0 else 0.0
            reduction = 0.0 if turn == 0 else REDUCTION
            if not linear:  # no more than the linearisation is worth
                reduction = min(FIRST_STEPS, max(LAST_STEPS, error * error))
            z = (s.tolerance * scale - first) / c.amplification if turn > 0 or warm else 0.0
            z = conjugate_gradients(s, c, k, reduction, goal, z)
            if not isfinite(z):
                return INFINITY
        if (turn > 0 or warm) and bounded and first + z * c.amplification <= s.tolerance * scale:
            return (first + z * c.amplification) / scale
        change = finish(t, c, k, &cells)
        length = 1.0
        # Within half of 1/a the law of a cell is near its tangent, and Newton's method converges by itself.
        if cells * s.a > 0.5:
            length = step_length(s, base.g, k)
        error = change / scale
        if (turn > 0 or warm or not linear) and error <= s.tolerance and length == 1.0:
            return error
        correct(t, k, length)
        if k.iterations >= s.max_iterations or not isfinite(error):
            break
    return max(error, 2.0 * s.tolerance)


cdef bint correction(Problem* s, Ladders* base, Solution* k) noexcept nogil:
    """Find one more correction of the state; false if numbers overflow, or no iterations are left."""
    cdef Wires* t = &s.wires
    cdef Ladders* c = base
    cdef double cells
    residual(s, base.g, k, k.w, k.b, NULL if s.a == 0.0 else k.own.g)
    if s.a != 0.0:
        c = k.tangent = &k.own
        word_to_bit_layout(t, c.g, k.y)
        prepare(t, c, k.y, k.scratch)
        if c.amplification > TRUSTED:
            sharpen(t, c, k)
            residual(s, base.g, k, k.w, k.b, NULL)  # whose place that took
    through_cells(t, c, k)
    if c.amplification > TRUSTED and fits(t):
        if not exactly(s, c, k, s.a != 0.0):
            return False
    elif not isfinite(conjugate_gradients(s, c, k, REDUCTION, 0.0, 0.0)) or k.iterations >= s.max_iterations:
        return False
    finish(t, c, k, &cells)
    return True


cdef double unknown(Py_ssize_t count, const double* now, const double* before, double error, double limit) noexcept nogil:
    """Return by how much currents are unknown, relative to the largest; 0 if that is within ``limit``.

    It comes from a bound on their errors, or from what the last correction changed, ``before`` (not NULL).
    """
    cdef Py_ssize_t i
    cdef double high = 0.0
    for i in range(count):
        high = max(high, fabs(now[i]))
        if before != NULL:
            error = max(error, fabs(now[i] - before[i]))
    if error <= limit * high:
        return 0.0
    return error / high if high > 0.0 else INFINITY


cdef double circulating(Wires* t, Solution* k) noexcept nogil:
    """Add up the magnitudes of the currents of all cells, and of those injected."""
    cdef Py_ssize_t o
    cdef vec sum_ = splat(0.0)
    for o in range(t.size):
        sum_ = sum_ + magnitude(k.cell[o]) + magnitude(k.word_in[o]) + magnitude(k.bit_in[o])
    return total(sum_)


cdef double settle_currents(
    Problem* s, Ladders* base, Solution* k, double volts, double* column, double* driver
) noexcept nogil:
    """Correct the state until the currents are known as well as the voltages are, to ``volts``.

    What small currents need goes beyond the tolerance for voltages. Where corrections no longer help, rounding errors of
    the cells' own currents are left. Returns what is unknown beyond both, relative to the largest current, or 0.
    """
    cdef Wires* t = &s.wires
    cdef double column_sight = s.column_sight, driver_sight = s.driver_sight
    cdef double* before = <double*> k.scratch
    cdef double* before_driver = <double*> (k.scratch + max(t.blocks, t.groups))
    cdef double first, left, of_drivers, rounding
    cdef Py_ssize_t i
    cdef int turn
    if s.a != 0.0 or base != &s.shared:
        sights(t, k.tangent, k.line, &column_sight, &driver_sight)
    first = max(
        unknown(t.columns, column, NULL, volts * column_sight, s.settled),
        unknown(t.rows, driver, NULL, volts * driver_sight, s.settled),
    )
    if first == 0.0:
        return 0.0
    for turn in range(EXTRA):
        correct(t, k, 1.0)
        if not correction(s, base, k):
            return first
        for i in range(t.columns):
            before[i] = column[i]
        for i in range(t.rows):
            before_driver[i] = driver[i]
        terminal_currents(s, k.tangent, k, column, driver)
        left = max(unknown(t.columns, column, before, 0.0, s.settled), unknown(t.rows, driver, before_driver, 0.0, s.settled))
        if left == 0.0:
            return 0.0
    rounding = ROUNDING * circulating(t, k)
    left = of_drivers = 0.0
    for i in range(t.columns):
        left = max(left, fabs(column[i] - before[i]))
    for i in range(t.rows):
        of_drivers = max(of_drivers, fabs(driver[i] - before_driver[i]))
    return max(
        0.0 if left <= rounding else unknown(t.columns, column, before, 0.0, s.settled),
        0.0 if of_drivers <= rounding else unknown(t.rows, driver, before_driver, 0.0, s.settled),
    )


cdef void one_vector(
    Problem* s, Solution* k, const double* conductance, const double* source, const double* injection,
    const double* start_word, const double* start_bit, double* word, double* bit, double* column, double* driver, int* iterations, double* error,
    double* unsettled,
) noexcept nogil:
    """Solve one vector.

    ``injection`` and ``start_word``, ``start_bit`` are NULL if there are none, ``word`` and ``bit`` if they are not wanted.
    """
    cdef Wires* t = &s.wires
    cdef Ladders* base = &s.shared
    cdef Py_ssize_t i
    cdef double bound = 0.0
    for i in range(t.lines):
        (<double*> k.source)[i] = source[i] if i < t.rows else 0.0
        bound = max(bound, fabs((<double*> k.source)[i]))
    if s.separate:
        base = &k.own
        load(t, base, conductance, k)
    if injection != NULL:
        to_layouts(t, injection, t.columns, k.y, k.word_in)
        to_layouts(t, injection + t.rows * t.columns, t.columns, k.y, k.bit_in)
        bound = max(bound, reach(t, base, k))
    else:
        for i in range(t.size):
            k.word_in[i] = splat(0.0)
            k.bit_in[i] = splat(0.0)
    if start_word != NULL:
        to_layouts(t, start_word, t.columns, k.y, k.w)
        to_layouts(t, start_bit, t.columns, k.y, k.b)
    error[0] = solve_vector(s, base, k, bound, start_word != NULL)
    iterations[0] = k.iterations
    terminal_currents(s, k.tangent, k, column, driver)
    if bound > 0.0 and error[0] <= s.tolerance:
        unsettled[0] = settle_currents(s, base, k, error[0] * bound, column, driver)
        if unsettled[0] > 0.0:
            iterations[0] = k.iterations
    correct(t, k, 1.0)
    if word != NULL:
        from_word_layout(t, k.w, k.y, word)
        from_word_layout(t, k.b, k.y, bit)


cdef void load(Wires* t, Ladders* c, const double* conductance, Solution* k) noexcept nogil:
    to_layouts(t, conductance, t.columns, k.y, c.g)
    prepare(t, c, k.y, k.scratch)
    sharpen(t, c, k)


def solve(
    const double[:, :, ::1] conductance, const double[:, ::1] word_resistance, const double[:, ::1] bit_resistance,
    const double[:, ::1] word_voltage, const double[:, :, :, ::1] injection,
    const double[:, :, :, ::1] estimate, double a, double leak, double tolerance, int max_iterations, int threads, bint voltages,
):
    """Solve a batch; ``circuitmem._kernels.mesh`` checks the arguments and documents them.

    ``conductance`` is (1, m, n) if all vectors share it, else (batch, m, n), and then ``a`` must be 0; ``injection``
    and ``estimate``, the word and bit lines of an estimated solution, are (0, 2, m, n) if there is none. Returns word,
    bit (None without ``voltages``), column_current, driver_current, iterations, the relative error reached, and how much of
    currents that have not settled is unknown, relative to the largest, else 0.
    """
    cdef Problem s
    cdef Wires* t = &s.wires
    cdef Ladders shorts
    cdef Py_ssize_t batch = word_voltage.shape[0], b, o, vectors
    cdef bint injected = injection.shape[0] > 0, estimated = estimate.shape[0] > 0, linear = a == 0.0, own
    cdef Py_ssize_t i, j
    cdef double least = INFINITY
    # A thread brings less than it costs, on processors shared with others, unless there is half a millisecond of work.
    cdef Py_ssize_t worth = batch * conductance.shape[1] * conductance.shape[2] // 20_000
    cdef int workers = <int> max(1, min(<Py_ssize_t> threads, batch, worth)), worker, done
    cdef int team = 1 if batch >= threads else <int> min(<Py_ssize_t> threads, conductance.shape[1] * conductance.shape[2] // TEAM)
    cdef Batch all_
    t.rows, t.columns = conductance.shape[1], conductance.shape[2]
    t.blocks, t.groups = (t.rows + LANES - 1) // LANES, (t.columns + LANES - 1) // LANES
    t.lines, t.width = t.blocks * LANES, t.groups * LANES
    t.size = t.blocks * t.width
    s.a, s.leak, s.tolerance, s.max_iterations = a, leak, tolerance, max_iterations
    s.settled = CURRENTS * tolerance
    s.separate = conductance.shape[0] > 1
    own = s.separate or not linear

    shape = (batch if voltages else 0, t.rows, t.columns)
    word, bit = np.empty(shape), np.empty(shape)
    column, driver = np.empty((batch, t.columns)), np.empty((batch, t.rows))
    count, error, unsettled = np.zeros(batch, dtype=np.intc), np.zeros(batch), np.zeros(batch)
    cdef double[:, :, ::1] word_out = word, bit_out = bit
    cdef double[:, ::1] column_out = column, driver_out = driver
    cdef int[::1] count_out = count
    cdef double[::1] error_out = error, unsettled_out = unsettled

    if linear and not s.separate and not injected:
        all_.batch, all_.voltage, all_.tolerance, all_.max_iterations = batch, &word_voltage[0, 0], tolerance, max_iterations
        all_.estimate = &estimate[0, 0, 0, 0] if estimated else NULL
        all_.word = &word_out[0, 0, 0] if voltages else NULL
        all_.bit = &bit_out[0, 0, 0] if voltages else NULL
        all_.column, all_.driver = &column_out[0, 0], &driver_out[0, 0]
        all_.count, all_.error, all_.settled = &count_out[0], &error_out[0], s.settled
        with nogil:
            done = weakly(
                &conductance[0, 0, 0], &word_resistance[0, 0], &bit_resistance[0, 0], t.rows, t.columns, &all_, workers,
                team,
            )
        if done < 0:
            raise MemoryError(f"no memory for a tile of {t.rows}x{t.columns}")
        if done:
            return (word if voltages else None), (bit if voltages else None), column, driver, count, error, unsettled

    # As much as the take functions below take: 4 + 7 [+ 7] arrays for all, [7 +] 13 [+ 2] for each thread, smaller ones.
    vectors = (11 if linear else 18) * t.size + 2 * (t.blocks + t.groups)
    vectors += workers * ((13 + 7 * own + 2 * (not linear)) * t.size
                          + t.blocks + t.groups + t.width + 3 * max(t.blocks, t.groups))
    cdef double[::1] room = np.empty((vectors + 1) * LANES)
    cdef unsigned char[::1] structs = np.empty(workers * sizeof(Solution), dtype=np.uint8)
    cdef Solution* work = <Solution*> &structs[0]
    cdef size_t wide = sizeof(vec)
    cdef vec* memory = <vec*> ((<size_t> &room[0] + wide - 1) // wide * wide)
    take_wires(&memory, t, &word_resistance[0, 0], &bit_resistance[0, 0])
    take_ladders(&memory, t.size, &s.shared)
    for worker in range(workers):
        take_work(&memory, t, &work[worker], own, linear)
    load(t, &s.shared, &conductance[0, 0, 0], work)
    sights(t, &s.shared, work.line, &s.column_sight, &s.driver_sight)
    s.front.memory = NULL
    if not own and s.shared.amplification > TRUSTED and fits(t):
        if not allocate(&s.front, t):
            raise MemoryError(f"no memory to eliminate a tile of {t.rows}x{t.columns}")
        factor_tile(t, &s.shared, &s.front)
    s.word_held = NULL
    for i in range(t.rows if not linear else 0):
        for j in range(t.columns + 1):
            least = min(least, word_resistance[i, j])
    if least < HOLDS:
        # With short circuits for cells a node is at 0 V, unless ideal wires join it to an end.
        take_ladders(&memory, t.size, &shorts)
        for o in range(t.size):
            shorts.g[o] = splat(1e200)
        prepare(t, &shorts, shorts.g, work.scratch)
        s.word_held = shorts.word_h
    for b in prange(batch, nogil=True, num_threads=workers, schedule="dynamic", chunksize=1):
        one_vector(
            &s, work + threadid(), &conductance[b if s.separate else 0, 0, 0], &word_voltage[b, 0],
            &injection[b, 0, 0, 0] if injected else NULL,
            &estimate[b, 0, 0, 0] if estimated else NULL, &estimate[b, 1, 0, 0] if estimated else NULL,
            &word_out[b, 0, 0] if voltages else NULL, &bit_out[b, 0, 0] if voltages else NULL,
            &column_out[b, 0], &driver_out[b, 0], &count_out[b], &error_out[b], &unsettled_out[b],
        )
    release(&s.front)
    for worker in range(workers):
        release(&work[worker].front)
    return (word if voltages else None), (bit if voltages else None), column, driver, count, error, unsettled
