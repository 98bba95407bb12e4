"""The innermost loop of elimination in lanes: four rows of BROAD columns of sums of products."""

from simd.vectors cimport wide_d, wide_f

cdef extern from *:
    """
    #ifdef __GNUC__
    #define INLINE_ALWAYS static inline __attribute__((always_inline))
    #else
    #define INLINE_ALWAYS static inline
    #endif

    /* What a sum starts with may be so large that the products, each too small to change it, were all lost to it in
       single precision: there (``apart``) they are summed first, by themselves. */
    #define DEFINE_PRODUCTS(wide, name, apart)                                                                      \
    INLINE_ALWAYS void name##_sum(wide *c, wide **a, wide **b, Py_ssize_t low, Py_ssize_t high) {                     \
        for (Py_ssize_t k = low; k < high; k++) {                                                                 \
            wide x0 = a[0][k], x1 = a[1][k], x2 = a[2][k], x3 = a[3][k];                                           \
            for (int j = 0; j < BROAD; j++) {                                                                     \
                wide y = b[j][k];                                                                                  \
                c[4 * j] = c[4 * j] + x0 * y;                                                                     \
                c[4 * j + 1] = c[4 * j + 1] + x1 * y;                                                             \
                c[4 * j + 2] = c[4 * j + 2] + x2 * y;                                                             \
                c[4 * j + 3] = c[4 * j + 3] + x3 * y;                                                             \
            }                                                                                                     \
        }                                                                                                         \
    }                                                                                                             \
    INLINE_ALWAYS void name##_add_products(                                                                       \
        wide **to, wide **start, wide **a, wide **b, Py_ssize_t low, Py_ssize_t high                                  \
    ) {                                                                                                           \
        wide c[4 * BROAD];                                                                                         \
        for (int j = 0; j < BROAD; j++)                                                                           \
            for (int l = 0; l < 4; l++) {                                                                         \
                c[4 * j + l] = (wide){0};                                                                         \
                if (!apart) c[4 * j + l] = start[j][l];                                                           \
            }                                                                                                     \
        name##_sum(c, a, b, low, high);                                                                           \
        for (int j = 0; j < BROAD; j++)                                                                           \
            for (int l = 0; l < 4; l++) {                                                                         \
                if (apart) c[4 * j + l] = start[j][l] + c[4 * j + l];                                             \
                to[j][l] = c[4 * j + l];                                                                          \
            }                                                                                                     \
    }                                                                                                             \
    INLINE_ALWAYS void name##_add_from(                                                                           \
        wide **to, const wide *data, const int *starts, Py_ssize_t across, Py_ssize_t down, wide **a, wide **b,       \
        Py_ssize_t depth                                                                                          \
    ) {                                                                                                           \
        wide c[4 * BROAD];                                                                                         \
        for (int j = 0; j < BROAD; j++)                                                                           \
            for (int l = 0; l < 4; l++)                                                                           \
                c[4 * j + l] = *(const wide *)((const char *)data + starts[across * j + down * l]);                \
        name##_sum(c, a, b, 0, depth);                                                                            \
        for (int j = 0; j < BROAD; j++)                                                                           \
            for (int l = 0; l < 4; l++) to[j][l] = c[4 * j + l];                                                  \
    }
    DEFINE_PRODUCTS(wide_d, double, 0)
    DEFINE_PRODUCTS(wide_f, float, 1)

    """
    # Set four rows of BROAD columns, to[j][l], to ``start`` plus the products of columns of ``a`` with those of ``b``.
    # They are called by these names: functions of Cython's that choose between them would not be inlined.
    void double_add_products(wide_d**, wide_d**, wide_d**, wide_d**, Py_ssize_t, Py_ssize_t) noexcept nogil
    void float_add_products(wide_f**, wide_f**, wide_f**, wide_f**, Py_ssize_t, Py_ssize_t) noexcept nogil
    # The same, from vectors of ``data`` whose places, in bytes, are ``across`` and ``down`` apart in a list.
    void double_add_from(
        wide_d**, const wide_d*, const int*, Py_ssize_t, Py_ssize_t, wide_d**, wide_d**, Py_ssize_t
    ) noexcept nogil
    void float_add_from(
        wide_f**, const wide_f*, const int*, Py_ssize_t, Py_ssize_t, wide_f**, wide_f**, Py_ssize_t
    ) noexcept nogil
