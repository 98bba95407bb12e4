"""ROWS terminals eliminated among each other: of one block, or of as many as a vector has lanes, with the same bits."""

from simd.vectors cimport wide, wide_d, wide_f

cdef extern from *:
    """
    /* ``t``: conductances between the terminals, the upper triangle; ``o``: the sum of each one's to all others; ``s``:
       that to the terminals that stay. ``c`` becomes what of ``s`` is carried on, and the lower triangle ``v`` what
       elimination does to the rows of the terminals. */
    #define DEFINE_PIVOTS(number, name, inverse_root)                                                              \
    static inline void name(                                                                                      \
        number t[ROWS][ROWS], number *o, number *s, number *c, number v[ROWS][ROWS]                               \
    ) {                                                                                                           \
        for (int i = 0; i < ROWS; i++) {                                                                          \
            number d = o[i], root;                                                                                \
            for (int l = i + 1; l < ROWS; l++) d = d + t[i][l];                                                   \
            root = inverse_root(d);                                                                               \
            for (int l = i + 1; l < ROWS; l++) t[i][l] = t[i][l] * root;                                          \
            for (int l = i + 1; l < ROWS; l++) {                                                                  \
                number u = t[i][l];                                                                               \
                o[l] = o[l] + u * o[i] * root;                                                                    \
                s[l] = s[l] + u * s[i] * root;                                                                    \
                for (int m = l + 1; m < ROWS; m++) t[l][m] = t[l][m] + u * t[i][m];                               \
            }                                                                                                     \
            c[i] = s[i] * root;                                                                                   \
            v[i][i] = root;                                                                                       \
            for (int l = 0; l < i; l++) {                                                                         \
                d = (number){0};                                                                                  \
                for (int m = l; m < i; m++) d = d + t[m][i] * v[m][l];                                            \
                v[i][l] = d * root;                                                                               \
            }                                                                                                     \
        }                                                                                                         \
    }
    static inline double double_root(double d) { return d > 0.0 ? 1.0 / sqrt(d) : 0.0; }
    static inline float float_root(float d) { return d > 0.0f ? 1.0f / sqrtf(d) : 0.0f; }
    DEFINE_PIVOTS(double, double_pivots, double_root)
    DEFINE_PIVOTS(float, float_pivots, float_root)
    DEFINE_PIVOTS(wide_d, doubles_pivots, double_inverse_root)
    DEFINE_PIVOTS(wide_f, floats_pivots, float_inverse_root)

    /* Of one block, in tiles: rows from ``base`` on, of lanes from ``lane`` on. ``inverse`` becomes ``v``, transposed. */
    #define DEFINE_TILE_PIVOTS(real, wide, name)                                                                    \
    static inline void name##_tile_pivots(                                                                        \
        const wide *a, Py_ssize_t base, Py_ssize_t lane, const double *outside, wide *sums, wide *carried, wide *inverse \
    ) {                                                                                                           \
        real t[ROWS][ROWS], v[ROWS][ROWS], o[ROWS];                                                               \
        for (int i = 0; i < ROWS; i++) {                                                                          \
            o[i] = (real)outside[i];                                                                              \
            inverse[i] = (wide){0};                                                                                \
            for (int l = 0; l < ROWS; l++) t[i][l] = ((const real *)(a + base + i))[lane + l];                    \
        }                                                                                                         \
        name##_pivots(t, o, (real *)sums + base, (real *)carried + base, v);                                      \
        for (int i = 0; i < ROWS; i++)                                                                            \
            for (int l = 0; l <= i; l++) ((real *)(inverse + l))[lane + i] = v[i][l];                             \
    }
    DEFINE_TILE_PIVOTS(double, wide_d, double)
    DEFINE_TILE_PIVOTS(float, wide_f, float)

    /* Of many blocks: ``columns`` begin at the first of these terminals, whose rows become ``v``, and 0 below. */
    #define DEFINE_LANE_PIVOTS(wide, name)                                                                          \
    static inline void name##_lane_pivots(wide **columns, wide *outside, wide *sums, wide *carried) {                 \
        wide t[ROWS][ROWS], v[ROWS][ROWS];                                                                         \
        for (int i = 0; i < ROWS; i++)                                                                            \
            for (int l = 0; l < i; l++) t[l][i] = columns[i][l];                                                  \
        name##s_pivots(t, outside, sums, carried, v);                                                             \
        for (int i = 0; i < ROWS; i++)                                                                            \
            for (int l = 0; l < 4 * (i / 4 + 1); l++) columns[i][l] = l <= i ? v[i][l] : (wide){0};                \
    }
    DEFINE_LANE_PIVOTS(wide_d, double)
    DEFINE_LANE_PIVOTS(wide_f, float)
    """
    void double_tile_pivots(const wide_d*, Py_ssize_t, Py_ssize_t, const double*, wide_d*, wide_d*, wide_d*) noexcept nogil
    void float_tile_pivots(const wide_f*, Py_ssize_t, Py_ssize_t, const double*, wide_f*, wide_f*, wide_f*) noexcept nogil
    void double_lane_pivots(wide_d**, wide_d*, wide_d*, wide_d*) noexcept nogil
    void float_lane_pivots(wide_f**, wide_f*, wide_f*, wide_f*) noexcept nogil


cdef inline double narrow(const wide* unused, double x) noexcept nogil:
    """Round a sum to the precision of the vectors."""
    if wide is wide_d:
        return x
    else:
        return <float> x


cdef inline void tile_pivots(
    wide* a, Py_ssize_t base, Py_ssize_t lane, const double* outside, wide* sums, wide* carried, wide* inverse
) noexcept nogil:
    """Eliminate ROWS terminals of a block in tiles among each other.

    ``outside``: sum of the conductances of each to all other terminals.
    """
    if wide is wide_d:
        double_tile_pivots(a, base, lane, outside, sums, carried, inverse)
    else:
        float_tile_pivots(a, base, lane, outside, sums, carried, inverse)


cdef inline void lane_pivots(wide** columns, wide* outside, wide* sums, wide* carried) noexcept nogil:
    """Eliminate ROWS terminals of blocks side by side among each other."""
    if wide is wide_d:
        double_lane_pivots(columns, outside, sums, carried)
    else:
        float_lane_pivots(columns, outside, sums, carried)
