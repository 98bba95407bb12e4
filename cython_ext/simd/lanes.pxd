"""Vectors of LANES numbers that the C compiler maps to registers; GCC and Clang on any processor."""

cdef extern from *:
    """
    #if defined(__AVX512F__)
    #define LANES 8
    #elif defined(__AVX__)
    #define LANES 4
    #else
    #define LANES 2
    #endif

    typedef double vec __attribute__((vector_size(LANES * sizeof(double)), may_alias));
    typedef long long mask __attribute__((vector_size(LANES * sizeof(double)), may_alias));

    #ifdef __clang__
    #define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
    #else
    #define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (mask){__VA_ARGS__})
    #endif

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

    /* Transpose the LANES x LANES matrix of which a[k] is row k, by exchanging blocks of 1, 2 and 4. */
    static inline void transpose(vec *a) {
    #if LANES == 8
        for (int k = 0; k < 8; k += 2) {
            vec x = a[k], y = a[k + 1];
            a[k] = SHUFFLE(x, y, 0, 8, 2, 10, 4, 12, 6, 14);
            a[k + 1] = SHUFFLE(x, y, 1, 9, 3, 11, 5, 13, 7, 15);
        }
        for (int h = 0; h < 8; h += 4)
            for (int k = h; k < h + 2; k++) {
                vec x = a[k], y = a[k + 2];
                a[k] = SHUFFLE(x, y, 0, 1, 8, 9, 4, 5, 12, 13);
                a[k + 2] = SHUFFLE(x, y, 2, 3, 10, 11, 6, 7, 14, 15);
            }
        for (int k = 0; k < 4; k++) {
            vec x = a[k], y = a[k + 4];
            a[k] = SHUFFLE(x, y, 0, 1, 2, 3, 8, 9, 10, 11);
            a[k + 4] = SHUFFLE(x, y, 4, 5, 6, 7, 12, 13, 14, 15);
        }
    #elif LANES == 4
        for (int k = 0; k < 4; k += 2) {
            vec x = a[k], y = a[k + 1];
            a[k] = SHUFFLE(x, y, 0, 4, 2, 6);
            a[k + 1] = SHUFFLE(x, y, 1, 5, 3, 7);
        }
        for (int k = 0; k < 2; k++) {
            vec x = a[k], y = a[k + 2];
            a[k] = SHUFFLE(x, y, 0, 1, 4, 5);
            a[k + 2] = SHUFFLE(x, y, 2, 3, 6, 7);
        }
    #else
        vec x = a[0], y = a[1];
        a[0] = SHUFFLE(x, y, 0, 2);
        a[1] = SHUFFLE(x, y, 1, 3);
    #endif
    }
    """
    enum: LANES
    # To Cython a vector is a number: it only hands the arithmetic on to the C compiler.
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
