"""Coefficients of the Rosenbrock-W method; ``circuitmem/_kernels/devices.py`` has its source."""

cdef enum:
    STAGES = 4


cdef struct Tableau:
    double gamma
    double a[STAGES][STAGES]
    double g[STAGES][STAGES]
    double b[STAGES]
    double e[STAGES]
    double c[STAGES]


cdef inline Tableau tableau_of(
    const double[:, ::1] a, const double[:, ::1] g, const double[::1] b, const double[::1] e
) noexcept:
    cdef Tableau t
    cdef int i, j
    for i in range(STAGES):
        t.b[i], t.e[i], t.c[i] = b[i], e[i], 0.0
        for j in range(STAGES):
            t.a[i][j], t.g[i][j] = a[i, j], g[i, j]
            t.c[i] += a[i, j]
    t.gamma = g[0, 0]
    return t
