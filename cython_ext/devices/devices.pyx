"""ODE devices: static law, state's rate, adaptive integration; ``circuitmem/_kernels/devices.py`` explains them."""

from cython.parallel cimport prange
from libc.math cimport INFINITY, fabs, fmax, fmin, isfinite, pow

from simd.vectors cimport LANES, splat, vec
from devices.law cimport Cells, Law, cells_flow, cells_siemens, cells_stiffness, law_of, motion, moving, small_signal
from simd.threads cimport HAS_OPENMP
from devices.rosenbrock cimport STAGES, Tableau, tableau_of

import numpy as np

OPENMP = bool(HAS_OPENMP)

cdef struct Answer:
    double current, rate, stiffness


cdef inline double first(vec x) noexcept nogil:
    return (<double*> &x)[0]


cdef inline void respond_one(const Law* law, double state, double series, double voltage, Answer* out) noexcept nogil:
    """Work out one device behind a series resistance."""
    cdef Cells cells
    cdef vec s = splat(state), fixed = splat(-1.0), ohms = splat(series), volts = splat(voltage)
    cells_flow(law, cells_siemens(law, s, fixed), ohms, volts, &cells)
    cells.rate = motion(law, s, cells.voltage, cells.current)
    out.current, out.rate = first(cells.current), first(cells.rate)
    out.stiffness = first(cells_stiffness(law, s, fixed, ohms, volts, cells.rate))


def respond(
    int model, double a, double ratio, const double[::1] parameters, const double[::1] state, const double[::1] fixed,
    const double[::1] series, const double[::1] voltage, int threads,
):
    """Return current, slope, conductance, rate and stiffness of cells, (5, cells)."""
    cdef Law law = law_of(model, a, ratio, parameters)
    cdef Py_ssize_t count = state.shape[0], block, blocks = (state.shape[0] + LANES - 1) // LANES
    # A thread brings less than it costs unless there is some work.
    cdef int workers = <int> max(1, min(<Py_ssize_t> threads, count // 4096))
    answers = np.empty((5, count))
    cdef double[:, ::1] out = answers
    if count == 0:
        return answers
    for block in prange(blocks, nogil=True, num_threads=workers, schedule="static"):
        respond_block(
            &law, min(<Py_ssize_t> LANES, count - block * LANES), count, &state[block * LANES], &fixed[block * LANES],
            &series[block * LANES], &voltage[block * LANES], &out[0, block * LANES],
        )
    return answers


cdef void respond_block(
    const Law* law, Py_ssize_t cells, Py_ssize_t stride, const double* state, const double* fixed, const double* series,
    const double* voltage, double* out,
) noexcept nogil:
    """Work out up to LANES cells; answers are ``stride`` apart."""
    cdef vec s = splat(0.0), held = splat(0.0), ohms = splat(0.0), volts = splat(0.0)
    cdef vec answers[5]
    cdef Cells found
    cdef Py_ssize_t l, i
    for l in range(cells):
        (<double*> &s)[l], (<double*> &held)[l] = state[l], fixed[l]
        (<double*> &ohms)[l], (<double*> &volts)[l] = series[l], voltage[l]
    cells_flow(law, cells_siemens(law, s, held), ohms, volts, &found)
    answers[0], answers[1], answers[2] = found.current, found.slope, small_signal(law, found.conductance)
    answers[3] = moving(held, ohms, motion(law, s, found.voltage, found.current))
    answers[4] = cells_stiffness(law, s, held, ohms, volts, answers[3])
    for i in range(5):
        for l in range(cells):
            out[i * stride + l] = (<double*> &answers[i])[l]


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
    respond_one(law, s, series, voltage[0], &answer)
    current[0] = answer.current
    for point in range(points - 1):
        span, v0, v1 = time[point + 1] - time[point], voltage[point], voltage[point + 1]
        now = 0.0
        while now < span:
            step = fmin(h, span - now)
            used = step if step < span - now else span - now
            respond_one(law, s, series, v0 + (v1 - v0) * (now / span), &answer)
            stiffness = fmin(answer.stiffness, 0.0)
            for i in range(STAGES):
                y, sum_ = s, 0.0
                for j in range(i):
                    y += t.a[i][j] * k[j]
                    sum_ += t.g[i][j] * k[j]
                if i > 0:
                    respond_one(law, y, series, v0 + (v1 - v0) * ((now + t.c[i] * used) / span), &answer)
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
        respond_one(law, s, series, v1, &answer)
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
