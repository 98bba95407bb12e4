"""ODE devices: static law, state's rate, adaptive integration; ``circuitmem/_kernels/devices.py`` explains them."""

from cython.parallel cimport prange
from libc.math cimport INFINITY, asinh, cosh, exp, fabs, fmax, fmin, isfinite, log, pow, sinh

from _openmp cimport HAS_OPENMP

import numpy as np

OPENMP = bool(HAS_OPENMP)

cdef enum:
    VTEAM = 0
    YAKOPCIC = 1
    STANFORD = 2
    PARAMETERS = 16
    STAGES = 4

# Difference of the state by which the rate's derivative is measured; the method keeps its order whatever is measured.
cdef double NUDGE = 1e-7
cdef double CLOSED = 1e-9

cdef struct Law:
    int model
    double a, ratio
    double p[PARAMETERS]

cdef struct Tableau:
    double gamma, order
    double a[STAGES][STAGES]
    double g[STAGES][STAGES]
    double b[STAGES]
    double e[STAGES]
    double c[STAGES]

cdef struct Answer:
    double current, slope, conductance, rate, stiffness


cdef inline double conductance(const Law* law, double state) noexcept nogil:
    cdef const double* p = law.p
    cdef double s = fmin(fmax(state, 0.0), 1.0)
    if law.model == VTEAM:
        if p[2] != 0.0:
            return exp(-log(p[1] / p[0]) * s) / p[0]
        return 1.0 / (p[0] + (p[1] - p[0]) * s)
    if law.model == YAKOPCIC:
        return p[0] * fmax(s, CLOSED)
    return p[0] * exp(-(p[1] + p[2] * s) / p[3])


cdef inline double rate(const Law* law, double state, double v, double current) noexcept nogil:
    """Return ds/dt for the voltage across the device and the current through it."""
    cdef const double* p = law.p
    cdef double s = fmin(fmax(state, 0.0), 1.0), push, kt, gap, gamma
    if law.model == VTEAM:
        if v > p[6]:
            return p[4] * pow(v / p[6] - 1.0, p[8]) * (1.0 - pow(s, 2.0 * p[9]))
        if v < p[5]:
            return p[3] * pow(v / p[5] - 1.0, p[7]) * (1.0 - pow(1.0 - s, 2.0 * p[9]))
        return 0.0
    if law.model == YAKOPCIC:
        if v > p[1]:
            push = p[3] * (exp(v) - exp(p[1]))
        elif v < -p[2]:
            push = -p[4] * (exp(-v) - exp(p[2]))
        else:
            return 0.0
        push = push * p[9]
        if push > 0.0:
            return push if s < p[5] else push * exp(-p[7] * (s - p[5])) * (1.0 - s) / (1.0 - p[5])
        return push if s > 1.0 - p[6] else push * exp(p[8] * (s - 1.0 + p[6])) * s / (1.0 - p[6])
    gap = p[1] + p[2] * s
    kt = (p[4] + fabs(v * current) * p[5]) * p[6]
    gamma = p[7] - p[8] * pow(gap * 1e9, p[9])
    push = -p[10] / p[2] * exp(-p[11] / kt) * sinh(gamma * p[12] * v / kt)
    if push < 0.0:
        return push * fmin(s / p[13], 1.0)
    return push * fmin((1.0 - s) / p[13], 1.0)


cdef inline double across(const Law* law, double g, double series, double voltage) noexcept nogil:
    """Return the device's part of the voltage across it and a resistance."""
    cdef double v = fabs(voltage), u, step
    cdef int turn
    if voltage < 0.0:
        g = g * law.ratio
    if series == 0.0 or g == 0.0 or v == 0.0:
        return voltage
    if law.a == 0.0:
        return voltage / (1.0 + series * g)
    # From above: the function rises and is convex, so that Newton's method comes down to the root.
    u = fmin(v, asinh(law.a * v / (series * g)) / law.a)
    for turn in range(60):
        step = (u + series * g * sinh(law.a * u) / law.a - v) / (1.0 + series * g * cosh(law.a * u))
        u = u - step
        if fabs(step) <= 1e-15 * v:
            break
    return u if voltage > 0.0 else -u


cdef inline void respond_one(
    const Law* law, double state, double fixed, double series, double voltage, Answer* out
) noexcept nogil:
    """Work out one cell: a device, or the conductance ``fixed`` if that is >= 0, behind a series resistance."""
    cdef double g = fixed if fixed >= 0.0 else conductance(law, state)
    cdef double v, slope, current, near, there, gg
    out.conductance = g
    if series == INFINITY:
        out.current = out.slope = out.rate = out.stiffness = 0.0
        return
    v = across(law, g, series, voltage)
    gg = g if v >= 0.0 else g * law.ratio
    current = gg * v if law.a == 0.0 else gg * sinh(law.a * v) / law.a
    slope = gg if law.a == 0.0 else gg * cosh(law.a * v)
    out.current = current
    out.slope = slope / (1.0 + series * slope)
    if fixed >= 0.0:
        out.rate = out.stiffness = 0.0
        return
    out.rate = rate(law, state, v, current)
    there = state + NUDGE if state < 0.5 else state - NUDGE
    g = conductance(law, there)
    v = across(law, g, series, voltage)
    gg = g if v >= 0.0 else g * law.ratio
    current = gg * v if law.a == 0.0 else gg * sinh(law.a * v) / law.a
    near = rate(law, there, v, current)
    out.stiffness = (near - out.rate) / (there - state)


cdef Law law_of(int model, double a, double ratio, const double[::1] parameters) noexcept:
    cdef Law law
    cdef Py_ssize_t i
    law.model, law.a, law.ratio = model, a, ratio
    for i in range(PARAMETERS):
        law.p[i] = parameters[i] if i < parameters.shape[0] else 0.0
    return law


def respond(
    int model, double a, double ratio, const double[::1] parameters, const double[::1] state, const double[::1] fixed,
    const double[::1] series, const double[::1] voltage, int threads,
):
    """Return current, slope, conductance, rate and stiffness of cells, (5, cells)."""
    cdef Law law = law_of(model, a, ratio, parameters)
    cdef Py_ssize_t cells = state.shape[0], i
    # A thread brings less than it costs unless there is some work.
    cdef int workers = <int> max(1, min(<Py_ssize_t> threads, cells // 4096))
    answers = np.empty((cells, 5))
    cdef double[:, ::1] out = answers
    for i in prange(cells, nogil=True, num_threads=workers, schedule="static"):
        respond_one(&law, state[i], fixed[i], series[i], voltage[i], <Answer*> &out[i, 0])
    return answers.T


cdef Tableau tableau_of(const double[:, ::1] a, const double[:, ::1] g, const double[::1] b, const double[::1] e) noexcept:
    cdef Tableau t
    cdef int i, j
    for i in range(STAGES):
        t.b[i], t.e[i], t.c[i] = b[i], e[i], 0.0
        for j in range(STAGES):
            t.a[i][j], t.g[i][j] = a[i, j], g[i, j]
            t.c[i] += a[i, j]
    t.gamma = g[0, 0]
    return t


cdef int march(
    const Law* law, const Tableau* t, double series, const double* time, const double* voltage, Py_ssize_t points,
    double tolerance, double* state, double* current, int limit,
) noexcept nogil:
    """Integrate one device along a piecewise linear voltage; return its steps, negative if they were too many."""
    cdef double s = state[0], now, h = INFINITY, step, v0, v1, span, y, sum_, error, used, stiffness, after
    cdef double k[STAGES]
    cdef Answer answer
    cdef Py_ssize_t point
    cdef int i, j, steps = 0
    respond_one(law, s, -1.0, series, voltage[0], &answer)
    current[0] = answer.current
    for point in range(points - 1):
        span, v0, v1 = time[point + 1] - time[point], voltage[point], voltage[point + 1]
        now = 0.0
        while now < span:
            step = fmin(h, span - now)
            used = step if step < span - now else span - now
            respond_one(law, s, -1.0, series, v0 + (v1 - v0) * (now / span), &answer)
            stiffness = fmin(answer.stiffness, 0.0)
            for i in range(STAGES):
                y, sum_ = s, 0.0
                for j in range(i):
                    y += t.a[i][j] * k[j]
                    sum_ += t.g[i][j] * k[j]
                if i > 0:
                    respond_one(law, y, -1.0, series, v0 + (v1 - v0) * ((now + t.c[i] * used) / span), &answer)
                k[i] = (used * answer.rate + used * stiffness * sum_) / (1.0 - used * t.gamma * stiffness)
            after, error = s, 0.0
            for i in range(STAGES):
                after += t.b[i] * k[i]
                error += t.e[i] * k[i]
            error = fabs(error) / tolerance
            steps += 1
            if steps >= limit:
                return -steps
            if not (error <= 1.0):
                h = used * (fmax(0.1, 0.9 * pow(error, -1.0 / 3.0)) if isfinite(error) else 0.1)
                if now + h == now:
                    return -steps
                continue
            s = fmin(fmax(after, 0.0), 1.0)
            now = span if step >= span - now else now + used
            # A step cut short by the end of its interval says nothing against the longer one.
            h = fmax(h if h < INFINITY and used < h else 0.0, used * fmin(5.0, 0.9 * pow(fmax(error, 1e-6), -1.0 / 3.0)))
        respond_one(law, s, -1.0, series, v1, &answer)
        state[point + 1] = s
        current[point + 1] = answer.current
    return steps


def integrate(
    int model, double a, double ratio, const double[::1] parameters, const double[:, ::1] stages_a,
    const double[:, ::1] stages_g, const double[::1] weights, const double[::1] errors, const double[::1] state,
    const double[::1] series, const double[::1] time, const double[:, ::1] voltage, double tolerance, int limit,
    int threads,
):
    """Integrate devices side by side; return state and current, (devices, points), and steps, (devices,).

    ``voltage`` is (1, points) if all see the same. Steps are negative where a device took too many.
    """
    cdef Law law = law_of(model, a, ratio, parameters)
    cdef Tableau t = tableau_of(stages_a, stages_g, weights, errors)
    cdef Py_ssize_t devices = state.shape[0], points = time.shape[0], i
    cdef bint shared = voltage.shape[0] == 1
    cdef int workers = <int> max(1, min(<Py_ssize_t> threads, devices * points // 256))
    states, currents, counts = np.empty((devices, points)), np.empty((devices, points)), np.zeros(devices, np.intc)
    cdef double[:, ::1] states_out = states, currents_out = currents
    cdef int[::1] count = counts
    states[:, 0] = state
    for i in prange(devices, nogil=True, num_threads=workers, schedule="dynamic", chunksize=1):
        count[i] = march(
            &law, &t, series[i], &time[0], &voltage[0 if shared else i, 0], points, tolerance, &states_out[i, 0],
            &currents_out[i, 0], limit,
        )
    return states, currents, counts
