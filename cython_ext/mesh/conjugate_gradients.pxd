"""Conjugate gradients for the bit lines of a tile, its word lines eliminated: preconditioned by the bit lines alone."""

from libc.math cimport INFINITY, isfinite

from mesh.residual cimport Problem, Solution
from mesh.ladder cimport Ladders, Wires
from simd.vectors cimport LANES, larger, largest, magnitude, splat, total, transpose, vec


cdef inline double bits_down(Wires* t, Ladders* c, Solution* k, double alpha) noexcept nogil:
    """Subtract ``alpha q`` from the residual r, begin to solve the bit lines for it, and return (r, z)."""
    cdef Py_ssize_t block, group, l, o, e
    cdef vec tile[LANES]
    cdef vec value, part, step = splat(alpha), rho = splat(0.0)
    for group in range(t.groups):
        k.carry[group] = splat(0.0)
    for block in range(t.blocks):
        for group in range(t.groups):
            o = block * t.width + group * LANES
            for l in range(LANES):
                value = k.r[o + l] - step * k.q[o + l]
                k.r[o + l] = value
                tile[l] = value
            transpose(tile)
            value = k.carry[group]
            e = block * LANES * t.groups + group
            for l in range(LANES):
                value = tile[l] + value
                part = c.bit_s[e] * value
                rho = rho + part * value
                k.y[e] = part
                value = c.bit_t[e] * value
                e = e + t.groups
            k.carry[group] = value
    return total(rho)


cdef inline double bits_up(Wires* t, Ladders* c, Solution* k, double alpha, double beta, double* z_max) noexcept nogil:
    """Finish z, take the last step ``alpha p``, make the next direction p and q = S p; return (p, q).

    ``ph`` is A p, where A is the matrix of the bit lines: it follows from A z = r, so that A, whose elements may be
    infinite, is never multiplied.
    """
    cdef Py_ssize_t block, group, l, j, o, e
    cdef vec tile[LANES]
    cdef vec value, p, along, step = splat(alpha), turn = splat(beta), pq = splat(0.0), high = splat(0.0)
    for group in range(t.groups):
        k.carry[group] = splat(0.0)
    for block in range(t.blocks - 1, -1, -1):
        along = splat(0.0)
        for group in range(t.groups - 1, -1, -1):
            value = k.carry[group]
            e = ((block + 1) * LANES - 1) * t.groups + group
            for l in range(LANES - 1, -1, -1):
                value = c.bit_t[e] * value + k.y[e]
                tile[l] = value
                e = e - t.groups
            k.carry[group] = value
            transpose(tile)
            for l in range(LANES - 1, -1, -1):
                o = block * t.width + group * LANES + l
                high = larger(high, magnitude(tile[l]))
                p = k.p[o]
                k.db[o] = k.db[o] + step * p
                p = tile[l] + turn * p
                k.p[o] = p
                k.ph[o] = k.r[o] + turn * k.ph[o]
                along = c.g[o] * p + along
                k.line[group * LANES + l] = c.word_s[o] * along
                along = c.word_t[o] * along
        along = splat(0.0)
        for j in range(t.width):
            o = block * t.width + j
            along = c.word_t[o] * along + k.line[j]
            value = k.ph[o] - c.g[o] * along
            k.q[o] = value
            pq = pq + k.p[o] * value
    z_max[0] = largest(high)
    return total(pq)


cdef inline void start(Wires* t, Solution* k) noexcept nogil:
    cdef Py_ssize_t o
    for o in range(t.size):
        k.db[o] = splat(0.0)
        k.q[o] = splat(0.0)
        k.p[o] = splat(0.0)
        k.ph[o] = splat(0.0)


cdef inline double conjugate_gradients(
    Problem* s, Ladders* c, Solution* k, double reduction, double goal, double accept
) noexcept nogil:
    """Solve S db = r until max|z| <= goal, or <= reduction * max|z| of the start; return max|z| of the start.

    Returns at once, with db = 0, if max|z| of the start is at most ``accept``; infinity if numbers overflow.
    """
    cdef double rho, rho_before = 1.0, pq, alpha = 0.0, beta = 0.0, z = 0.0, z_start = -1.0
    # A hard tile takes about as many iterations as it has lines. Far beyond that rounding errors are in charge, and a
    # fresh residual helps more.
    cdef int limit = min(s.max_iterations, k.iterations + 10 * <int> (s.wires.rows + s.wires.columns) + 100)
    start(&s.wires, k)
    while True:
        rho = bits_down(&s.wires, c, k, alpha)
        if not isfinite(rho):
            return INFINITY
        beta = 0.0 if z_start < 0.0 else rho / rho_before
        rho_before = rho
        pq = bits_up(&s.wires, c, k, alpha, beta, &z)
        if z_start < 0.0:
            z_start = z
            if z <= accept:
                return z_start
            goal = max(goal, reduction * z_start)
        # A direction without positive energy is made of rounding errors only: no step can improve on it.
        if z <= goal or k.iterations >= limit or not (pq > 0.0):
            return z_start
        alpha = rho / pq
        k.iterations += 1
