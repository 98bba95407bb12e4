"""A pulse on a tile of ODE devices, from its first corner to its last: states and wires together, in steps of all cells.

``circuitmem/engine/programming.py`` has the twin in NumPy and says what is computed; ``moment.pxd`` solves a moment.
"""

from libc.math cimport INFINITY, fabs, isfinite, pow
from libc.string cimport memcpy

from mesh.bit_line_elimination cimport release
from mesh.residual cimport Solution
from mesh.ladder cimport Ladders, Wires, from_word_layout, prepare, to_layouts
from simd.vectors cimport LANES, larger, largest, magnitude, smaller, splat, total, vec
from devices.law cimport law_of
from devices.moment cimport Cross, moment, set_siemens
from devices.rosenbrock cimport STAGES, Tableau, tableau_of
from mesh.workspace cimport take, take_ladders, take_wires, take_work

import numpy as np

OPENMP = False  # one thread takes a tile

cdef enum:
    DONE = 0
    NETWORK = 1  # a moment could not be solved
    STEPS = 2  # too many steps, or too short ones


cdef struct March:
    Cross cross
    Tableau tableau
    vec* state  # word layout, as all that follow
    vec* after
    vec* rate  # at the beginning of the step
    vec* pull  # its part that damps, times the step
    vec* k[STAGES]
    double power  # at the beginning of the step
    double energy
    double slope_energy  # what the first slope would take if the states stood still, and cells were linear
    double error  # of the last step, relative to what is allowed
    long steps


cdef double level_at(const double* times, const double* levels, Py_ssize_t corners, double time) noexcept nogil:
    cdef Py_ssize_t i = 0
    while i < corners - 2 and time > times[i + 1]:
        i += 1
    if time >= times[i + 1]:
        return levels[i + 1]
    return levels[i] + (levels[i + 1] - levels[i]) * ((time - times[i]) / (times[i + 1] - times[i]))


cdef bint attempt(
    March* m, const double* times, const double* levels, Py_ssize_t corners, double now, double length,
    double tolerance, double energy_tolerance, double* energy,
) noexcept nogil:
    """Take a step, to m.after and m.error; false if a moment could not be solved."""
    cdef Cross* d = &m.cross
    cdef Tableau* t = &m.tableau
    cdef Py_ssize_t size = d.problem.wires.size, o
    cdef vec sum_, y, error, high = splat(0.0), odd = splat(0.0), one = splat(1.0), zero = splat(0.0), wide = splat(length)
    cdef double power[STAGES]
    cdef double off = 0.0
    cdef int i, j
    cdef vec* state = m.state
    cdef vec* pull = m.pull
    cdef vec* after = m.after
    cdef vec* rate = d.rate
    cdef vec* trial = d.trial
    power[0] = m.power
    for o in range(size):
        # Only what damps is taken from the derivative: what grows is followed step by step.
        pull[o] = wide * smaller(d.stiffness[o], zero)
        m.k[0][o] = wide * m.rate[o] / (one - splat(t.gamma) * pull[o])
    for i in range(1, STAGES):
        for o in range(size):
            y = state[o]
            for j in range(i):
                y = y + splat(t.a[i][j]) * m.k[j][o]
            trial[o] = y
        set_siemens(d)
        if not moment(d, level_at(times, levels, corners, now + t.c[i] * length), False, &power[i]):
            return False
        for o in range(size):
            sum_ = zero
            for j in range(i):
                sum_ = sum_ + splat(t.g[i][j]) * m.k[j][o]
            m.k[i][o] = (wide * rate[o] + pull[o] * sum_) / (one - splat(t.gamma) * pull[o])
    for o in range(size):
        y, error = state[o], zero
        odd = odd + (m.k[1][o] + m.k[2][o] + m.k[3][o])
        for i in range(STAGES):
            y = y + splat(t.b[i]) * m.k[i][o]
            error = error + splat(t.e[i]) * m.k[i][o]
        after[o] = smaller(larger(y, zero), one)
        high = larger(high, magnitude(error))
    energy[0] = 0.0
    for i in range(STAGES):
        energy[0] += length * t.b[i] * power[i]
        off += length * t.e[i] * power[i]
    m.error = largest(high) / tolerance
    if not isfinite(total(odd)):  # a comparison drops what is not a number
        m.error = INFINITY
    m.error = max(m.error, fabs(off) / (energy_tolerance * (fabs(m.energy + energy[0]) + m.slope_energy) + 1e-300))
    return True


cdef void between(March* m, double length, double x, vec* out) noexcept nogil:
    """The states within a step by its cubic, ``x`` being 0 at its beginning and 1 at its end."""
    cdef Py_ssize_t o
    cdef double y = 1.0 - x
    cdef vec first = splat(y * y * (1.0 + 2.0 * x)), last = splat(x * x * (1.0 + 2.0 * y))
    cdef vec here = splat(x * y * y * length), there = splat(-x * x * y * length), value
    for o in range(m.cross.problem.wires.size):
        value = first * m.state[o] + last * m.after[o] + here * m.rate[o] + there * m.cross.rate[o]
        out[o] = smaller(larger(value, splat(0.0)), splat(1.0))


cdef int march(
    March* m, const double* times, const double* levels, Py_ssize_t corners, const double* wanted, Py_ssize_t samples,
    double tolerance, double energy_tolerance, long limit, double* out,
) noexcept nogil:
    """Integrate from the first corner to the last; ``out`` takes the states at the wanted times, the last being the end."""
    cdef Cross* d = &m.cross
    cdef Wires* t = &d.problem.wires
    cdef Py_ssize_t bytes_ = t.size * <Py_ssize_t> sizeof(vec), corner, found = 0
    cdef double now = times[0], step = INFINITY, length, then, end, factor, energy
    m.energy, m.steps = 0.0, 0
    memcpy(d.trial, m.state, bytes_)
    set_siemens(d)
    if not moment(d, levels[1], False, &m.slope_energy):
        return NETWORK
    m.slope_energy = fabs(m.slope_energy) * (times[1] - times[0]) / 3.0
    if not moment(d, levels[0], True, &m.power):
        return NETWORK
    memcpy(m.rate, d.rate, bytes_)
    for corner in range(1, corners):
        end = times[corner]
        while now < end:
            length = min(step, end - now)
            then = end if length == end - now else now + length
            if not attempt(m, times, levels, corners, now, length, tolerance, energy_tolerance, &energy):
                return NETWORK
            m.steps += 1
            if m.steps >= limit or then == now:
                return STEPS
            factor = 0.9 * pow(max(m.error, 1e-6), -1.0 / 3.0) if isfinite(m.error) else 0.1
            if not m.error <= 1.0:
                step = length * max(0.1, factor)
                continue
            # A step cut short by a corner says nothing against a longer one.
            step = max(step if length < step < INFINITY else 0.0, length * min(5.0, factor))
            memcpy(d.trial, m.after, bytes_)
            set_siemens(d)
            if not moment(d, level_at(times, levels, corners, then), True, &m.power):
                return NETWORK
            while found < samples - 1 and wanted[found] <= then:
                between(m, length, (wanted[found] - now) / length, d.trial)
                from_word_layout(t, d.trial, d.work.y, out + found * t.rows * t.columns)
                found += 1
            memcpy(m.state, m.after, bytes_)
            memcpy(m.rate, d.rate, bytes_)
            m.energy += energy
            now = then
    from_word_layout(t, m.state, d.work.y, out + (samples - 1) * t.rows * t.columns)
    return DONE


def switch(
    int model, double a, double ratio, const double[::1] parameters, const double[:, ::1] stages_a,
    const double[:, ::1] stages_g, const double[::1] weights, const double[::1] errors, const double[:, ::1] state,
    const double[:, ::1] fixed, const double[:, ::1] series, const double[:, ::1] word_resistance,
    const double[:, ::1] bit_resistance, const double[::1] word_voltage, const double[::1] bit_voltage,
    const double[::1] times, const double[::1] levels, const double[::1] wanted, double tolerance,
    double energy_tolerance, double accuracy, long limit,
):
    """Return states at the wanted times, energy, steps, what ended it, and the last step's relative error.

    ``circuitmem._kernels.switching`` checks the arguments and documents them.
    """
    cdef March m
    cdef Cross* d = &m.cross
    cdef Wires* t = &d.problem.wires
    cdef Ladders shorts
    cdef Py_ssize_t samples = wanted.shape[0], corners = times.shape[0], i, j, o, vectors
    cdef int outcome
    t.rows, t.columns = state.shape[0], state.shape[1]
    t.blocks, t.groups = (t.rows + LANES - 1) // LANES, (t.columns + LANES - 1) // LANES
    t.lines, t.width = t.blocks * LANES, t.groups * LANES
    t.size = t.blocks * t.width
    d.law = law_of(model, a, ratio, parameters)
    m.tableau = tableau_of(stages_a, stages_g, weights, errors)
    d.problem.a, d.problem.leak, d.problem.max_iterations = 0.0, 0.0, 2_000_000_000
    d.problem.tolerance, d.accuracy, d.expected, d.level = accuracy, accuracy, 1.0, 0.0
    d.nonlinear = a != 0.0 or ratio != 1.0
    # As much as the take functions take: 4 of the wires, 20 of the work, 7 of ladders; then 9 of a moment, 8 of the march.
    vectors = 48 * t.size + 4 * t.blocks + 3 * t.groups + 2 * t.width + 3 * max(t.blocks, t.groups)
    cdef double[::1] room = np.zeros((vectors + 1) * LANES)
    cdef size_t wide = sizeof(vec)
    cdef vec* memory = <vec*> ((<size_t> &room[0] + wide - 1) // wide * wide)
    take_wires(&memory, t, &word_resistance[0, 0], &bit_resistance[0, 0])
    take_work(&memory, t, &d.work, True, True)
    take_ladders(&memory, t.size, &shorts)
    d.word, d.bit = take(&memory, t.blocks), take(&memory, t.width)
    d.fixed, d.series = take(&memory, t.size), take(&memory, t.size)
    d.trial, d.siemens, d.across = take(&memory, t.size), take(&memory, t.size), take(&memory, t.size)
    d.base, d.current, d.rate = take(&memory, t.size), take(&memory, t.size), take(&memory, t.size)
    d.stiffness = take(&memory, t.size)
    m.state, m.after, m.rate, m.pull = (
        take(&memory, t.size), take(&memory, t.size), take(&memory, t.size), take(&memory, t.size)
    )
    for i in range(STAGES):
        m.k[i] = take(&memory, t.size)
    d.peak = 0.0
    for i in range(t.rows):
        (<double*> d.word)[i] = word_voltage[i]
        d.peak = max(d.peak, fabs(word_voltage[i]))
    for j in range(t.columns):
        d.bit[j] = splat(bit_voltage[j])
        d.peak = max(d.peak, fabs(bit_voltage[j]))
    states = np.empty((samples, t.rows, t.columns))
    cdef double[:, :, ::1] out = states
    with nogil:
        to_layouts(t, &state[0, 0], t.columns, d.work.y, m.state)
        to_layouts(t, &fixed[0, 0], t.columns, d.work.y, d.fixed)  # what is beyond the edge is an open cell
        to_layouts(t, &series[0, 0], t.columns, d.work.y, d.series)
        # With short circuits for cells a node is at 0 V, unless ideal wires join it to an end.
        for o in range(t.size):
            shorts.g[o] = splat(1e200)
        prepare(t, &shorts, shorts.g, d.work.scratch)
        d.held = shorts.word_h
        outcome = march(
            &m, &times[0], &levels[0], corners, &wanted[0], samples, tolerance, energy_tolerance, limit,
            &out[0, 0, 0],
        )
        release(&d.work.front)
    return states, m.energy, m.steps, outcome, m.error
