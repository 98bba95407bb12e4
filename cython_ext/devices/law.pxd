"""The laws of ODE devices on vectors of LANES cells; ``circuitmem/_kernels/devices.py`` says them in NumPy."""

from simd.elementary cimport exponential
from simd.vectors cimport vec
from devices.table cimport Tables, read_tables, table_current, table_rate, table_voltage

cdef extern from *:
    """
    enum { VTEAM, YAKOPCIC, STANFORD, TABULATED, ION_DRIFT, PARAMETERS = 16 };
    /* Difference of the state by which the rate's derivative is measured; the method keeps its order whatever is measured. */
    #define NUDGE 1e-7
    #define CLOSED 1e-9

    typedef struct { int model; double a, ratio, p[PARAMETERS]; Tables tables; } Law;
    /* What cells do: all of the lanes of one vector. */
    typedef struct { vec conductance, voltage, current, slope, rate; } Cells;

    static inline vec within(vec x) { return smaller(larger(x, splat(0)), splat(1.0)); }

    /* What a device conducts at small voltages; of a law in tables, what stands for its state there. */
    static inline vec siemens(const Law *l, vec state) {
        const double *p = l->p;
        vec s = within(state);
        if (l->model == TABULATED) return splat(-1.0) - s;
        if (l->model == VTEAM) {
            if (p[2] != 0.0) return exponential(splat(-log(p[1] / p[0])) * s) / splat(p[0]);
            return splat(1.0) / (splat(p[0]) + splat(p[1] - p[0]) * s);
        }
        if (l->model == YAKOPCIC) return splat(p[0]) * larger(s, splat(CLOSED));
        if (l->model == ION_DRIFT) return splat(1.0) / (splat(p[0]) + splat(p[1] - p[0]) * s);
        return splat(p[0]) * exponential(-(splat(p[1]) + splat(p[2]) * s) / splat(p[3]));
    }

    /* ds/dt for the voltage across the device and the current through it. */
    static inline vec motion(const Law *l, vec state, vec v, vec current) {
        const double *p = l->p;
        const vec none = splat(0), one = splat(1.0);
        vec s = within(state);
        if (l->model == TABULATED) return table_rate(&l->tables, s, v);
        if (l->model == VTEAM) {
            mask off = v > splat(p[6]), on = v < splat(p[5]);
            vec found = none;
            if (any_lane(off)) {
                vec force = to_the(larger(v / splat(p[6]) - one, none), p[8]);
                found = choose(off, splat(p[4]) * force * (one - to_the(s, 2.0 * p[9])), none);
            }
            if (any_lane(on)) {
                vec force = to_the(larger(v / splat(p[5]) - one, none), p[7]);
                found = choose(on, splat(p[3]) * force * (one - to_the(one - s, 2.0 * p[9])), found);
            }
            return found;
        }
        if (l->model == ION_DRIFT) {
            /* How far the window has closed: Joglekar's by the distance from the middle, Biolek's by that from the limit
               behind, which the sign of the current says. */
            vec away = p[4] != 0.0 ? choose(current < none, one - s, s) : magnitude(s + s - one);
            return splat(p[2]) * current * (one - to_the(away, p[3]));
        }
        if (l->model == YAKOPCIC) {
            mask up = v > splat(p[1]), down = v < splat(-p[2]);
            if (!any_lane(up | down)) return none;
            vec push = choose(up, splat(p[3]) * (exponential(v) - splat(exp(p[1]))), none);
            push = choose(down, splat(-p[4]) * (exponential(-v) - splat(exp(p[2]))), push) * splat(p[9]);
            mask rises = push > none;
            vec part = choose(rises, splat(-p[7]) * (s - splat(p[5])), splat(p[8]) * (s - splat(1.0 - p[6])));
            vec window = exponential(part) * choose(rises, (one - s) / splat(1.0 - p[5]), s / splat(1.0 - p[6]));
            return push * choose((rises & (s < splat(p[5]))) | (~rises & (s > splat(1.0 - p[6]))), one, window);
        }
        vec gap = splat(p[1]) + splat(p[2]) * s;
        vec inverse = one / ((splat(p[4]) + magnitude(v * current) * splat(p[5])) * splat(p[6]));
        vec gamma = splat(p[7]) - splat(p[8]) * to_the(gap * splat(1e9), p[9]);
        vec sine, cosine;
        hyperbolic(gamma * splat(p[12]) * v * inverse, &sine, &cosine);
        vec push = splat(-p[10] / p[2]) * exponential(splat(-p[11]) * inverse) * sine;
        return push * smaller(choose(push < none, s, one - s) * splat(1.0 / p[13]), one);
    }

    /* Current and slope of a device by its own voltage; g has the ratio in it. */
    static inline void static_law(const Law *l, vec g, vec v, vec *current, vec *slope) {
        if (l->model == TABULATED) {
            table_current(&l->tables, g, v, current, slope);
            return;
        }
        if (l->a == 0.0) {
            *current = g * v;
            *slope = g;
            return;
        }
        vec sine, cosine;
        hyperbolic(splat(l->a) * v, &sine, &cosine);
        *current = g * sine * splat(1.0 / l->a);
        *slope = g * cosine;
    }

    static inline vec with_ratio(const Law *l, vec g, vec v) {
        return l->ratio == 1.0 ? g : choose(v < splat(0), g * splat(l->ratio), g);
    }

    /* The device's part of the voltage across it and a finite resistance. */
    static inline vec across_device(const Law *l, vec g, vec series, vec voltage) {
        const vec none = splat(0), one = splat(1.0);
        if (l->model == TABULATED)
            return any_lane(series > none) ? table_voltage(&l->tables, g, series, voltage, none) : voltage;
        vec load = series * with_ratio(l, g, voltage), v = magnitude(voltage), u, current, slope, step;
        if (!any_lane((load > none) & (v > none))) return voltage;
        if (l->a == 0.0) return voltage / (one + load);
        /* From above: the function rises and is convex, so that Newton's method comes down to the root. */
        vec start = inverse_sine(splat(l->a) * v / larger(load, splat(1e-300))) * splat(1.0 / l->a);
        u = choose((load > none) & (start < v), start, v);
        for (int turn = 0; turn < 60; turn++) {
            static_law(l, load, u, &current, &slope);
            step = (u + current - v) / (one + slope);
            u = choose(load > none, u - step, v);
            if (!any_lane((load > none) & ~(magnitude(step) <= splat(1e-15) * v))) break;
        }
        return choose(voltage < none, -u, u);
    }

    /* What cells do; a conductance fixed >= 0 stands for a cell that does not move, an infinite series resistance for
       one that is switched off. */
    static inline void cells_flow(const Law *l, vec g, vec series, vec voltage, Cells *out) {
        mask off = series > splat(1e308);
        vec ohms = choose(off, splat(0), series);
        vec seen = choose(off, splat(0), voltage);
        out->conductance = g;
        out->voltage = across_device(l, g, ohms, seen);
        static_law(l, with_ratio(l, g, out->voltage), out->voltage, &out->current, &out->slope);
        out->slope = choose(off, splat(0), out->slope / (splat(1.0) + ohms * out->slope));
    }

    /* Of the device alone, at small positive voltages, in the units of conductance. */
    static inline vec small_signal(const Law *l, vec g) {
        vec current, found = g;
        if (l->model == TABULATED) table_current(&l->tables, g, splat(0), &current, &found);
        return found;
    }

    static inline vec cells_siemens(const Law *l, vec state, vec fixed) {
        mask held = fixed >= splat(0);
        return any_lane(~held) ? choose(held, fixed, siemens(l, state)) : fixed;
    }

    static inline vec moving(vec fixed, vec series, vec x) {
        return choose((fixed < splat(0)) & (series < splat(1e308)), x, splat(0));
    }

    /* Derivative of the rate by the state, at this voltage across cell and resistance. */
    static inline vec cells_stiffness(const Law *l, vec state, vec fixed, vec series, vec voltage, vec rate) {
        vec there = choose(state < splat(0.5), state + splat(NUDGE), state - splat(NUDGE));
        Cells near;
        cells_flow(l, siemens(l, there), series, voltage, &near);
        vec change = motion(l, there, near.voltage, near.current) - rate;
        return moving(fixed, series, change / (there - state));
    }
    """
    enum: PARAMETERS
    ctypedef struct Law:
        int model
        double a
        double ratio
        double* p
        Tables tables
    enum: TABULATED
    ctypedef struct Cells:
        vec conductance
        vec voltage
        vec current
        vec slope
        vec rate
    vec siemens(const Law*, vec) noexcept nogil
    vec small_signal(const Law*, vec) noexcept nogil
    vec motion(const Law*, vec, vec, vec) noexcept nogil
    void cells_flow(const Law*, vec, vec, vec, Cells*) noexcept nogil
    vec cells_siemens(const Law*, vec, vec) noexcept nogil
    vec cells_stiffness(const Law*, vec, vec, vec, vec, vec) noexcept nogil
    vec moving(vec, vec, vec) noexcept nogil


cdef inline Law law_of(int model, double a, double ratio, const double[::1] parameters) noexcept:
    cdef Law law
    cdef Py_ssize_t i
    law.model, law.a, law.ratio = model, a, ratio
    for i in range(PARAMETERS):
        law.p[i] = parameters[i] if i < parameters.shape[0] else 0.0
    if model == TABULATED:
        read_tables(&parameters[0], &law.tables)  # which stay where they are: they outlive the law
    return law
