"""Laws of devices in tables; ``circuitmem/_kernels/tables.py`` says what is in them, and has the NumPy twin."""

from simd.elementary cimport exponential
from simd.vectors cimport vec

cdef extern from *:
    """
    #define TABLE_HEADER 16

    typedef struct { Py_ssize_t states, voltages; const double *s, *u, *nodes; } Surface;
    /* Of one sign of the voltage. */
    typedef struct { Surface current, rate; double scale, last; int end; } Half;
    typedef struct { Half half[2]; } Tables;  /* positive first */

    static void read_tables(const double *p, Tables *t) {
        const double *place = p + TABLE_HEADER;
        for (int k = 0; k < 2; k++) {
            const double *header = p + 8 * k;
            Half *h = &t->half[k];
            for (int m = 0; m < 2; m++) {
                Surface *f = m ? &h->rate : &h->current;
                f->states = (Py_ssize_t)header[2 * m], f->voltages = (Py_ssize_t)header[2 * m + 1];
                f->s = place, f->u = f->s + f->states, f->nodes = f->u + f->voltages;
                place = f->nodes + 4 * f->states * f->voltages;
            }
            h->scale = header[4], h->end = (int)header[5], h->last = header[6];
        }
    }

    /* The interval of rising numbers that x is in. */
    static inline Py_ssize_t interval(const double *grid, Py_ssize_t count, double x) {
        Py_ssize_t low = 0, high = count - 1;
        while (high - low > 1) {
            Py_ssize_t middle = (low + high) / 2;
            if (x < grid[middle]) high = middle; else low = middle;
        }
        return low;
    }

    /* Hermite's weights of both values and both slopes. */
    static inline void hermite(double x, double h, double *w) {
        double y = 1.0 - x;
        w[0] = y * y * (1.0 + 2.0 * x), w[1] = x * x * (1.0 + 2.0 * y), w[2] = h * x * y * y, w[3] = -h * x * x * y;
    }

    static inline double surface_at(const Surface *f, double s, double u, double *rise) {
        Py_ssize_t i = interval(f->s, f->states, s), j = interval(f->u, f->voltages, u);
        double hs = f->s[i + 1] - f->s[i], hu = f->u[j + 1] - f->u[j], x = (u - f->u[j]) / hu, y = 1.0 - x;
        double along[4], across[4], bend = 6.0 * x * y / hu, value = 0.0, slope = 0.0;
        double rising[4] = {-bend, bend, y * (y - 2.0 * x), x * (x - 2.0 * y)};
        hermite((s - f->s[i]) / hs, hs, along);
        hermite(x, hu, across);
        for (int b = 0; b < 2; b++) {
            const double *near = f->nodes + 4 * (i * f->voltages + j + b), *far = near + 4 * f->voltages;
            double at = along[0] * near[0] + along[2] * near[1] + along[1] * far[0] + along[3] * far[1];
            double by = along[0] * near[2] + along[2] * near[3] + along[1] * far[2] + along[3] * far[3];
            value += across[b] * at + across[2 + b] * by;
            slope += rising[b] * at + rising[2 + b] * by;
        }
        *rise = slope;
        return value;
    }

    /* Current and slope; a cell is a conductance >= 0, or -1 - state. */
    static inline void table_current(const Tables *t, vec cells, vec voltage, vec *current, vec *slope) {
        lanes_of g = {.v = cells}, v = {.v = voltage}, level, gain;
        for (int k = 0; k < LANES; k++) {
            if (!(g.d[k] < 0.0)) {
                level.d[k] = 0.0, gain.d[k] = 1.0;
                continue;
            }
            const Half *h = &t->half[v.d[k] < 0.0];
            double u = fabs(v.d[k]), rise;
            level.d[k] = surface_at(&h->current, -1.0 - g.d[k], u < h->last ? u : h->last, &rise);
            gain.d[k] = u < h->last ? 1.0 + u * rise : 1.0;
        }
        vec siemens_ = choose(cells < splat(0), exponential(level.v), cells);
        *current = siemens_ * voltage;
        *slope = siemens_ * gain.v;
    }

    static inline vec table_rate(const Tables *t, vec state, vec voltage) {
        lanes_of s = {.v = state}, v = {.v = voltage}, level, size;
        for (int k = 0; k < LANES; k++) {
            const Half *h = &t->half[v.d[k] < 0.0];
            double u = fabs(v.d[k]), rise;
            level.d[k] = surface_at(&h->rate, s.d[k], u < h->last ? u : h->last, &rise);
            size.d[k] = h->scale * (h->end < 0 ? 1.0 : fabs(h->end - s.d[k]));
        }
        vec sine, cosine;
        hyperbolic(level.v, &sine, &cosine);
        vec found = size.v * sine, none = splat(0);
        /* At a limit nothing moves beyond it, whatever a law without a window says. */
        mask held = ((found > none) & (state >= splat(1.0))) | ((found < none) & (state <= none));
        return choose(held, none, found);
    }

    /* The device's part of a voltage across it and a resistance, or (series < 0) its voltage for a current: Newton's
       method kept between 0 and `whole`. */
    static inline vec table_voltage(const Tables *t, vec cells, vec series, vec whole, vec wanted) {
        const vec none = splat(0), one = splat(1.0);
        mask flows = series < none;
        vec sign = choose(whole < none, -one, one), top = magnitude(whole), low = none, high = top, u = splat(0.5) * top;
        vec current, slope;
        for (int turn = 0; turn < 100; turn++) {
            table_current(t, cells, sign * u, &current, &slope);
            vec off = choose(flows, sign * (current - wanted), u + series * sign * current - top);
            vec step = u - off / choose(flows, slope, one + series * slope);
            low = choose(off < none, u, low);
            high = choose(off > none, u, high);
            step = choose((step > low) & (step < high), step, splat(0.5) * (low + high));
            mask same = ~((off < none) | (off > none));
            vec change = choose(same, none, step - u);
            u = u + change;
            if (!any_lane(~(magnitude(change) <= splat(1e-15) * top))) break;
        }
        return sign * u;
    }
    """
    ctypedef struct Tables:
        pass
    void read_tables(const double*, Tables*) noexcept nogil
    void table_current(const Tables*, vec, vec, vec*, vec*) noexcept nogil
    vec table_rate(const Tables*, vec, vec) noexcept nogil
    vec table_voltage(const Tables*, vec, vec, vec, vec) noexcept nogil
