"""Products that are rounded before anything is added, as NumPy rounds them: no instruction does both at once."""

from libc.stdint cimport int64_t

from _vectors cimport vec_d

cdef extern from *:
    """
    #if defined(__FMA__)
    #define ROUND(x) __asm__("" : "+v"(x))
    #elif defined(__aarch64__)
    #define ROUND(x)                                                                                              \\
        for (int k = 0; k < (int)(sizeof(x) / 8); k++) { double y = (x)[k]; __asm__("" : "+w"(y)); (x)[k] = y; }
    #else
    #define ROUND(x)
    #endif

    /* total[j] += codes[j] * (weight * slope[j]), each product rounded; all arrays are padded to whole vectors. */
    static inline void add_scaled(
        const int64_t *codes, const double *slope, double weight, Py_ssize_t columns, double *total
    ) {
        enum { W = VECTOR_BYTES / 8 };
        typedef int64_t whole __attribute__((vector_size(VECTOR_BYTES), may_alias, aligned(8)));
        for (Py_ssize_t j = 0; j < columns; j += W) {
            vec_d product = __builtin_convertvector(*(const whole *)(codes + j), vec_d);
            vec_d factor = weight * double_load(slope + j);
            ROUND(factor);
            product *= factor;
            ROUND(product);
            double_store(total + j, double_load(total + j) + product);
        }
    }

    /* The conductances of `count` pairs for their weights, plus before minus, each product rounded. `series` is a
       resistance in series with each device that is to make this conductance with it. The weights are padded. */
    static inline void pairs_of(
        const double *weights, Py_ssize_t count, double scale, double minimum, double maximum, double series,
        double *pairs
    ) {
        enum { W = VECTOR_BYTES / 8 };
        for (Py_ssize_t j = 0; j < count; j += W) {
            vec_d plus = scale * double_load(weights + j), minus, own;
            ROUND(plus);
            minus = -plus;
            for (int side = 0; side < 2; side++) {
                own = side ? minus : plus;
                for (int k = 0; k < W; k++) {
                    double x = (own[k] > 0.0 ? own[k] : 0.0) + minimum;
                    own[k] = x < maximum ? x : maximum;
                }
                if (series != 0.0) {
                    vec_d lost = own * series;
                    ROUND(lost);
                    for (int k = 0; k < W; k++) {
                        double rest = 1.0 - lost[k];
                        own[k] = own[k] / (rest > 1e-3 ? rest : 1e-3);
                    }
                }
                for (int k = 0; k < W && j + k < count; k++) pairs[2 * (j + k) + side] = own[k];
            }
        }
    }
    """
    void pairs_of(const double*, Py_ssize_t, double, double, double, double, double*) noexcept nogil
    void add_scaled(const int64_t*, const double*, double, Py_ssize_t, double*) noexcept nogil
