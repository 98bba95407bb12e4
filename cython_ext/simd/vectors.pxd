"""Vectors of double or single precision that the C compiler maps to registers; GCC and Clang on any processor."""

cdef extern from *:
    """
    #include <math.h>

    /* ROWS rows of STRIP vectors are as many sums as the registers hold beside the operands; four rows of BROAD, where
       each of them is loaded. */
    #if defined(__AVX512F__)
    #define VECTOR_BYTES 64
    #define ROWS 8
    #define STRIP 3
    #define BROAD 4
    #else
    #define VECTOR_BYTES 32
    #define ROWS 4
    #define BROAD 2
    #if defined(__AVX__) || defined(__aarch64__)
    #define STRIP 3
    #else
    #define STRIP 1
    #endif
    #endif

    #define DEFINE_VECTOR(real, vec, name, root)                                                                  \
    typedef real vec __attribute__((vector_size(VECTOR_BYTES), may_alias));                                       \
    typedef __typeof__((vec){0} > (vec){0}) name##_mask;                                                          \
    static inline vec name##_splat(const vec *p, Py_ssize_t i) { return ((const real *)p)[i] - (vec){0}; }        \
    static inline vec name##_number(double x) { return (real)x - (vec){0}; }                                      \
    static inline double name##_get(const vec *p, Py_ssize_t i) { return ((const real *)p)[i]; }                  \
    static inline void name##_put(vec *p, Py_ssize_t i, double x) { ((real *)p)[i] = (real)x; }                   \
    static inline void name##_copy(vec *p, Py_ssize_t i, const vec *q, Py_ssize_t j) {                            \
        ((real *)p)[i] = ((const real *)q)[j];                                                                    \
    }                                                                                                             \
    static inline void name##_collect(vec *p, const vec *q, Py_ssize_t lane, const int *at) {                       \
        const real *from = (const real *)q + lane;                                                                \
        for (unsigned k = 0; k < VECTOR_BYTES / sizeof(real); k++) ((real *)p)[k] = from[at[k]];                  \
    }                                                                                                             \
    static inline vec name##_inverse(vec x) { return (vec)((x > (vec){0}) & (name##_mask)((real)1 / x)); }        \
    static inline vec name##_inverse_root(vec x) {                                                                \
        real a[VECTOR_BYTES / sizeof(real)];                                                                      \
        *(vec *)a = x;                                                                                            \
        for (unsigned k = 0; k < VECTOR_BYTES / sizeof(real); k++) a[k] = root(a[k]);                             \
        return name##_inverse(*(vec *)a);                                                                         \
    }
    DEFINE_VECTOR(double, vec_d, double, sqrt)
    DEFINE_VECTOR(float, vec_f, float, sqrtf)

    #ifdef __clang__
    #define EXCHANGE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
    #else
    #define EXCHANGE(a, b, ...) __builtin_shuffle(a, b, (double_index){__VA_ARGS__})
    #endif
    typedef long long double_index __attribute__((vector_size(VECTOR_BYTES)));
    typedef double double_anywhere __attribute__((vector_size(VECTOR_BYTES), may_alias, aligned(8)));
    static inline vec_d double_load(const double *p) { return (vec_d)*(const double_anywhere *)p; }
    static inline void double_store(double *p, vec_d x) { *(double_anywhere *)p = (double_anywhere)x; }

    /* Transpose the square matrix of which a[k] is row k, by exchanging blocks of 1, 2 and 4. */
    static inline void double_transpose(vec_d *a) {
    #if VECTOR_BYTES == 64
        for (int k = 0; k < 8; k += 2) {
            vec_d x = a[k], y = a[k + 1];
            a[k] = EXCHANGE(x, y, 0, 8, 2, 10, 4, 12, 6, 14);
            a[k + 1] = EXCHANGE(x, y, 1, 9, 3, 11, 5, 13, 7, 15);
        }
        for (int h = 0; h < 8; h += 4)
            for (int k = h; k < h + 2; k++) {
                vec_d x = a[k], y = a[k + 2];
                a[k] = EXCHANGE(x, y, 0, 1, 8, 9, 4, 5, 12, 13);
                a[k + 2] = EXCHANGE(x, y, 2, 3, 10, 11, 6, 7, 14, 15);
            }
        for (int k = 0; k < 4; k++) {
            vec_d x = a[k], y = a[k + 4];
            a[k] = EXCHANGE(x, y, 0, 1, 2, 3, 8, 9, 10, 11);
            a[k + 4] = EXCHANGE(x, y, 4, 5, 6, 7, 12, 13, 14, 15);
        }
    #else
        for (int k = 0; k < 4; k += 2) {
            vec_d x = a[k], y = a[k + 1];
            a[k] = EXCHANGE(x, y, 0, 4, 2, 6);
            a[k + 1] = EXCHANGE(x, y, 1, 5, 3, 7);
        }
        for (int k = 0; k < 2; k++) {
            vec_d x = a[k], y = a[k + 2];
            a[k] = EXCHANGE(x, y, 0, 1, 4, 5);
            a[k + 2] = EXCHANGE(x, y, 2, 3, 6, 7);
        }
    #endif
    }
    """
    enum: VECTOR_BYTES
    enum: ROWS
    enum: STRIP
    enum: BROAD
    # To Cython a vector is a number: it only hands the arithmetic on to the C compiler.
    ctypedef double vec_d
    ctypedef float vec_f
    vec_d double_splat(const vec_d*, Py_ssize_t) noexcept nogil
    vec_f float_splat(const vec_f*, Py_ssize_t) noexcept nogil
    vec_d double_number(double) noexcept nogil
    vec_f float_number(double) noexcept nogil
    double double_get(const vec_d*, Py_ssize_t) noexcept nogil
    double float_get(const vec_f*, Py_ssize_t) noexcept nogil
    void double_put(vec_d*, Py_ssize_t, double) noexcept nogil
    void float_put(vec_f*, Py_ssize_t, double) noexcept nogil
    void double_copy(vec_d*, Py_ssize_t, const vec_d*, Py_ssize_t) noexcept nogil
    void float_copy(vec_f*, Py_ssize_t, const vec_f*, Py_ssize_t) noexcept nogil
    void double_collect(vec_d*, const vec_d*, Py_ssize_t, const int*) noexcept nogil
    void float_collect(vec_f*, const vec_f*, Py_ssize_t, const int*) noexcept nogil
    vec_d double_inverse(vec_d) noexcept nogil
    vec_f float_inverse(vec_f) noexcept nogil
    vec_d double_inverse_root(vec_d) noexcept nogil
    vec_f float_inverse_root(vec_f) noexcept nogil
    vec_d double_load(const double*) noexcept nogil  # from any address
    void double_store(double*, vec_d) noexcept nogil
    void double_transpose(vec_d*) noexcept nogil

ctypedef fused vec:
    vec_d
    vec_f


cdef inline Py_ssize_t lanes(const vec* unused) noexcept nogil:
    """How many numbers a vector has."""
    if vec is vec_d:
        return VECTOR_BYTES // 8
    else:
        return VECTOR_BYTES // 4


cdef inline vec splat(const vec* p, Py_ssize_t i) noexcept nogil:
    """Return a vector all of whose lanes are number ``i`` from ``p`` on."""
    if vec is vec_d:
        return double_splat(p, i)
    else:
        return float_splat(p, i)


cdef inline vec zero(const vec* unused) noexcept nogil:
    if vec is vec_d:
        return double_number(0.0)
    else:
        return float_number(0.0)


cdef inline double get(const vec* p, Py_ssize_t i) noexcept nogil:
    """Return number ``i`` from ``p`` on."""
    if vec is vec_d:
        return double_get(p, i)
    else:
        return float_get(p, i)


cdef inline void put(vec* p, Py_ssize_t i, double x) noexcept nogil:
    """Set number ``i`` from ``p`` on."""
    if vec is vec_d:
        double_put(p, i, x)
    else:
        float_put(p, i, x)


cdef inline void copy(vec* p, Py_ssize_t i, const vec* q, Py_ssize_t j) noexcept nogil:
    """Set number ``i`` from ``p`` on to number ``j`` from ``q`` on."""
    if vec is vec_d:
        double_copy(p, i, q, j)
    else:
        float_copy(p, i, q, j)


cdef inline void collect(vec* p, const vec* q, Py_ssize_t lane, const int* at) noexcept nogil:
    """Set each number of a vector to the one at its place in ``at`` from lane ``lane`` of ``q`` on."""
    if vec is vec_d:
        double_collect(p, q, lane, at)
    else:
        float_collect(p, q, lane, at)


cdef inline void load_turned(vec* to, const vec* source, const Py_ssize_t* places) noexcept nogil:
    """Load as many rows of a vector each as there are lanes, row k from number ``places[k]`` on, and transpose them."""
    cdef Py_ssize_t i, k
    if vec is vec_d:
        for k in range(lanes(to)):
            to[k] = double_load(<const double*> source + places[k])
        double_transpose(to)
    else:
        for k in range(lanes(to)):
            for i in range(lanes(to)):
                copy(to, i * lanes(to) + k, source, places[k] + i)


cdef inline void store_turned(
    vec* to, const Py_ssize_t* places, Py_ssize_t step, Py_ssize_t offset, vec* rows, Py_ssize_t count
) noexcept nogil:
    """Transpose a square, and store the first ``count`` numbers of row k from ``places[k] * step + offset`` on."""
    cdef Py_ssize_t i, k
    if vec is vec_d:
        if count == lanes(to):
            double_transpose(rows)
            for k in range(lanes(to)):
                double_store(<double*> to + places[k] * step + offset, rows[k])
            return
    for k in range(lanes(to)):
        for i in range(count):
            copy(to, places[k] * step + offset + i, rows, i * lanes(to) + k)


cdef inline vec inverse(vec x) noexcept nogil:
    """1/x, and 0 for 0."""
    if vec is vec_d:
        return double_inverse(x)
    else:
        return float_inverse(x)


cdef inline vec inverse_root(vec x) noexcept nogil:
    """1/sqrt(x), and 0 for 0."""
    if vec is vec_d:
        return double_inverse_root(x)
    else:
        return float_inverse_root(x)
