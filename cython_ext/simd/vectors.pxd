"""Vectors that the C compiler maps to registers; GCC and Clang on any processor. There are two kinds.

``vec`` holds LANES numbers of double precision, one register: for what runs along lines of a tile or steps of time, where
each number waits for the one before. ``wide`` holds VECTOR_BYTES bytes of either precision, which are two registers where
those are narrow: for dense products, which wait for nothing. To Cython a vector is a number: it only hands the arithmetic
on to the C compiler.
"""

from cython cimport floating

cdef extern from *:
    """
    #include <math.h>

    /* ROWS rows of STRIP vectors are as many sums as the registers hold beside the operands; four rows of BROAD, where
       each of them is loaded. */
    #if defined(__AVX512F__)
    #define LANES 8
    #define VECTOR_BYTES 64
    #define ROWS 8
    #define STRIP 3
    #define BROAD 4
    #else
    #define VECTOR_BYTES 32
    #define ROWS 4
    #define BROAD 2
    #if defined(__AVX__)
    #define LANES 4
    #else
    #define LANES 2
    #endif
    #if defined(__AVX__) || defined(__aarch64__)
    #define STRIP 3
    #else
    #define STRIP 1
    #endif
    #endif

    /* Numbers of 8 bytes of two vectors, by their places. */
    #ifdef __clang__
    #define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
    #else
    #define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (long long __attribute__((vector_size(sizeof(a))))){__VA_ARGS__})
    #endif

    /* Transpose the square matrix of which a[k] is row k, by exchanging blocks of 1, 2 and 4. */
    #define DEFINE_TRANSPOSE_2(vector, name)                                                                          \
    static inline void name(vector *a) {                                                                              \
        vector x = a[0], y = a[1];                                                                                    \
        a[0] = SHUFFLE(x, y, 0, 2);                                                                                   \
        a[1] = SHUFFLE(x, y, 1, 3);                                                                                   \
    }
    #define DEFINE_TRANSPOSE_4(vector, name)                                                                          \
    static inline void name(vector *a) {                                                                              \
        for (int k = 0; k < 4; k += 2) {                                                                              \
            vector x = a[k], y = a[k + 1];                                                                            \
            a[k] = SHUFFLE(x, y, 0, 4, 2, 6);                                                                         \
            a[k + 1] = SHUFFLE(x, y, 1, 5, 3, 7);                                                                     \
        }                                                                                                             \
        for (int k = 0; k < 2; k++) {                                                                                 \
            vector x = a[k], y = a[k + 2];                                                                            \
            a[k] = SHUFFLE(x, y, 0, 1, 4, 5);                                                                         \
            a[k + 2] = SHUFFLE(x, y, 2, 3, 6, 7);                                                                     \
        }                                                                                                             \
    }
    #define DEFINE_TRANSPOSE_8(vector, name)                                                                          \
    static inline void name(vector *a) {                                                                              \
        for (int k = 0; k < 8; k += 2) {                                                                              \
            vector x = a[k], y = a[k + 1];                                                                            \
            a[k] = SHUFFLE(x, y, 0, 8, 2, 10, 4, 12, 6, 14);                                                          \
            a[k + 1] = SHUFFLE(x, y, 1, 9, 3, 11, 5, 13, 7, 15);                                                      \
        }                                                                                                             \
        for (int h = 0; h < 8; h += 4)                                                                                \
            for (int k = h; k < h + 2; k++) {                                                                         \
                vector x = a[k], y = a[k + 2];                                                                        \
                a[k] = SHUFFLE(x, y, 0, 1, 8, 9, 4, 5, 12, 13);                                                       \
                a[k + 2] = SHUFFLE(x, y, 2, 3, 10, 11, 6, 7, 14, 15);                                                 \
            }                                                                                                         \
        for (int k = 0; k < 4; k++) {                                                                                 \
            vector x = a[k], y = a[k + 4];                                                                            \
            a[k] = SHUFFLE(x, y, 0, 1, 2, 3, 8, 9, 10, 11);                                                           \
            a[k + 4] = SHUFFLE(x, y, 4, 5, 6, 7, 12, 13, 14, 15);                                                     \
        }                                                                                                             \
    }

    /* vec */
    typedef double vec __attribute__((vector_size(LANES * sizeof(double)), may_alias));
    typedef long long mask __attribute__((vector_size(LANES * sizeof(double)), may_alias));
    static inline vec splat(double x) { return x - (vec){0}; }
    static inline vec choose(mask m, vec a, vec b) { return (vec)((m & (mask)a) | (~m & (mask)b)); }
    static inline vec smaller(vec a, vec b) { return choose(a < b, a, b); }
    static inline vec larger(vec a, vec b) { return choose(a > b, a, b); }
    static inline vec magnitude(vec a) { return larger(a, -a); }
    static inline vec where_zero(vec x, vec a, vec b) { return choose(x == splat(0), a, b); }
    static inline vec reciprocal(vec x) { return choose(x > splat(0), 1 / x, splat(0)); }

    /* Sum, smallest and largest lane, always in the same order. */
    static inline double total(vec a) {
        double x = a[0];
        for (int k = 1; k < LANES; k++) x += a[k];
        return x;
    }
    static inline double smallest(vec a) {
        double x = a[0];
        for (int k = 1; k < LANES; k++) if (a[k] < x) x = a[k];
        return x;
    }
    static inline double largest(vec a) {
        double x = a[0];
        for (int k = 1; k < LANES; k++) if (a[k] > x) x = a[k];
        return x;
    }

    #if LANES == 8
    DEFINE_TRANSPOSE_8(vec, transpose)
    #elif LANES == 4
    DEFINE_TRANSPOSE_4(vec, transpose)
    #else
    DEFINE_TRANSPOSE_2(vec, transpose)
    #endif

    /* wide */
    #define DEFINE_VECTOR(real, vector, name, root)                                                                   \
    typedef real vector __attribute__((vector_size(VECTOR_BYTES), may_alias));                                        \
    typedef __typeof__((vector){0} > (vector){0}) name##_mask;                                                        \
    static inline vector name##_spread(const vector *p, Py_ssize_t i) { return ((const real *)p)[i] - (vector){0}; }   \
    static inline vector name##_number(double x) { return (real)x - (vector){0}; }                                    \
    static inline double name##_get(const vector *p, Py_ssize_t i) { return ((const real *)p)[i]; }                   \
    static inline void name##_put(vector *p, Py_ssize_t i, double x) { ((real *)p)[i] = (real)x; }                    \
    static inline void name##_copy(vector *p, Py_ssize_t i, const vector *q, Py_ssize_t j) {                          \
        ((real *)p)[i] = ((const real *)q)[j];                                                                        \
    }                                                                                                                 \
    static inline void name##_collect(vector *p, const vector *q, Py_ssize_t lane, const int *at) {                   \
        const real *from = (const real *)q + lane;                                                                    \
        for (unsigned k = 0; k < VECTOR_BYTES / sizeof(real); k++) ((real *)p)[k] = from[at[k]];                      \
    }                                                                                                                 \
    static inline vector name##_choose(name##_mask m, vector a, vector b) {                                           \
        return (vector)((m & (name##_mask)a) | (~m & (name##_mask)b));                                                \
    }                                                                                                                 \
    static inline vector name##_larger(vector a, vector b) { return name##_choose(a > b, a, b); }                     \
    static inline vector name##_inverse(vector x) { return (vector)((x > (vector){0}) & (name##_mask)((real)1 / x)); }\
    static inline vector name##_inverse_root(vector x) {                                                              \
        real a[VECTOR_BYTES / sizeof(real)];                                                                          \
        *(vector *)a = x;                                                                                             \
        for (unsigned k = 0; k < VECTOR_BYTES / sizeof(real); k++) a[k] = root(a[k]);                                 \
        return name##_inverse(*(vector *)a);                                                                          \
    }
    DEFINE_VECTOR(double, wide_d, double, sqrt)
    DEFINE_VECTOR(float, wide_f, float, sqrtf)
    typedef double double_anywhere __attribute__((vector_size(VECTOR_BYTES), may_alias, aligned(8)));
    static inline wide_d double_load(const double *p) { return (wide_d)*(const double_anywhere *)p; }
    static inline void double_store(double *p, wide_d x) { *(double_anywhere *)p = (double_anywhere)x; }
    typedef float half_anywhere __attribute__((vector_size(VECTOR_BYTES / 2), may_alias, aligned(4)));
    static inline wide_d double_widen(const float *p) {
        return (wide_d)__builtin_convertvector(*(const half_anywhere *)p, wide_d);
    }
    #if VECTOR_BYTES == 64
    DEFINE_TRANSPOSE_8(wide_d, double_transpose)
    #else
    DEFINE_TRANSPOSE_4(wide_d, double_transpose)
    #endif
    """
    enum: LANES
    ctypedef double vec
    vec splat(double) noexcept nogil
    vec smaller(vec, vec) noexcept nogil
    vec larger(vec, vec) noexcept nogil
    vec magnitude(vec) noexcept nogil
    vec where_zero(vec, vec, vec) noexcept nogil  # (x, a, b): a in the lanes where x is 0, else b
    vec reciprocal(vec) noexcept nogil  # 1/x, and 0 for 0
    double total(vec) noexcept nogil
    double smallest(vec) noexcept nogil
    double largest(vec) noexcept nogil
    void transpose(vec*) noexcept nogil

    enum: VECTOR_BYTES
    enum: ROWS
    enum: STRIP
    enum: BROAD
    ctypedef double wide_d
    ctypedef float wide_f
    wide_d double_spread(const wide_d*, Py_ssize_t) noexcept nogil
    wide_f float_spread(const wide_f*, Py_ssize_t) noexcept nogil
    wide_d double_number(double) noexcept nogil
    wide_f float_number(double) noexcept nogil
    double double_get(const wide_d*, Py_ssize_t) noexcept nogil
    double float_get(const wide_f*, Py_ssize_t) noexcept nogil
    void double_put(wide_d*, Py_ssize_t, double) noexcept nogil
    void float_put(wide_f*, Py_ssize_t, double) noexcept nogil
    void double_copy(wide_d*, Py_ssize_t, const wide_d*, Py_ssize_t) noexcept nogil
    void float_copy(wide_f*, Py_ssize_t, const wide_f*, Py_ssize_t) noexcept nogil
    void double_collect(wide_d*, const wide_d*, Py_ssize_t, const int*) noexcept nogil
    void float_collect(wide_f*, const wide_f*, Py_ssize_t, const int*) noexcept nogil
    wide_d double_inverse(wide_d) noexcept nogil
    wide_f float_inverse(wide_f) noexcept nogil
    wide_d double_inverse_root(wide_d) noexcept nogil
    wide_f float_inverse_root(wide_f) noexcept nogil
    wide_d double_load(const double*) noexcept nogil  # from any address
    void double_store(double*, wide_d) noexcept nogil
    wide_d double_widen(const float*) noexcept nogil  # likewise, of single precision
    void double_transpose(wide_d*) noexcept nogil


cdef inline wide_d load_numbers(const floating* p) noexcept nogil:
    """Load a vector of double precision from numbers of either precision, at any address."""
    if floating is double:
        return double_load(p)
    else:
        return double_widen(p)


ctypedef fused wide:
    wide_d
    wide_f


cdef inline Py_ssize_t lanes(const wide* unused) noexcept nogil:
    """How many numbers a vector has."""
    if wide is wide_d:
        return VECTOR_BYTES // 8
    else:
        return VECTOR_BYTES // 4


cdef inline wide spread(const wide* p, Py_ssize_t i) noexcept nogil:
    """Return a vector all of whose lanes are number ``i`` from ``p`` on."""
    if wide is wide_d:
        return double_spread(p, i)
    else:
        return float_spread(p, i)


cdef inline wide number(const wide* unused, double x) noexcept nogil:
    """Return a vector all of whose lanes are ``x``."""
    if wide is wide_d:
        return double_number(x)
    else:
        return float_number(x)


cdef inline wide zero(const wide* unused) noexcept nogil:
    return number(unused, 0.0)


cdef inline double get(const wide* p, Py_ssize_t i) noexcept nogil:
    """Return number ``i`` from ``p`` on."""
    if wide is wide_d:
        return double_get(p, i)
    else:
        return float_get(p, i)


cdef inline void put(wide* p, Py_ssize_t i, double x) noexcept nogil:
    """Set number ``i`` from ``p`` on."""
    if wide is wide_d:
        double_put(p, i, x)
    else:
        float_put(p, i, x)


cdef inline void copy(wide* p, Py_ssize_t i, const wide* q, Py_ssize_t j) noexcept nogil:
    """Set number ``i`` from ``p`` on to number ``j`` from ``q`` on."""
    if wide is wide_d:
        double_copy(p, i, q, j)
    else:
        float_copy(p, i, q, j)


cdef inline void collect(wide* p, const wide* q, Py_ssize_t lane, const int* at) noexcept nogil:
    """Set each number of a vector to the one at its place in ``at`` from lane ``lane`` of ``q`` on."""
    if wide is wide_d:
        double_collect(p, q, lane, at)
    else:
        float_collect(p, q, lane, at)


cdef inline void load_turned(wide* to, const wide* source, const Py_ssize_t* places) noexcept nogil:
    """Load as many rows of a vector each as there are lanes, row k from number ``places[k]`` on, and transpose them."""
    cdef Py_ssize_t i, k
    if wide is wide_d:
        for k in range(lanes(to)):
            to[k] = double_load(<const double*> source + places[k])
        double_transpose(to)
    else:
        for k in range(lanes(to)):
            for i in range(lanes(to)):
                copy(to, i * lanes(to) + k, source, places[k] + i)


cdef inline void store_turned(
    wide* to, const Py_ssize_t* places, Py_ssize_t step, Py_ssize_t offset, wide* rows, Py_ssize_t count
) noexcept nogil:
    """Transpose a square, and store the first ``count`` numbers of row k from ``places[k] * step + offset`` on."""
    cdef Py_ssize_t i, k
    if wide is wide_d:
        if count == lanes(to):
            double_transpose(rows)
            for k in range(lanes(to)):
                double_store(<double*> to + places[k] * step + offset, rows[k])
            return
    for k in range(lanes(to)):
        for i in range(count):
            copy(to, places[k] * step + offset + i, rows, i * lanes(to) + k)


cdef inline wide inverse(wide x) noexcept nogil:
    """1/x, and 0 for 0."""
    if wide is wide_d:
        return double_inverse(x)
    else:
        return float_inverse(x)


cdef inline wide inverse_root(wide x) noexcept nogil:
    """1/sqrt(x), and 0 for 0."""
    if wide is wide_d:
        return double_inverse_root(x)
    else:
        return float_inverse_root(x)
