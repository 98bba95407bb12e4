"""Products that are rounded before anything is added, as NumPy rounds them: no instruction does both at once."""

from libc.stdint cimport int64_t

from simd.vectors cimport wide_d

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

    /* A product that is rounded before anything else is done with it. */
    static inline double rounded(double x) {
    #if defined(__FMA__)
        __asm__("" : "+x"(x));
    #elif defined(__aarch64__)
        __asm__("" : "+w"(x));
    #endif
        return x;
    }

    /* total[j] += codes[j] * (weight * slope[j]), each product rounded; all arrays are padded to whole vectors. */
    static inline void add_scaled(
        const int64_t *codes, const double *slope, double weight, Py_ssize_t columns, double *total
    ) {
        enum { W = VECTOR_BYTES / 8 };
        typedef int64_t whole __attribute__((vector_size(VECTOR_BYTES), may_alias, aligned(8)));
        for (Py_ssize_t j = 0; j < columns; j += W) {
            wide_d product = __builtin_convertvector(*(const whole *)(codes + j), wide_d);
            wide_d factor = weight * double_load(slope + j);
            ROUND(factor);
            product *= factor;
            ROUND(product);
            double_store(total + j, double_load(total + j) + product);
        }
    }

    /* The conductances of `count` pairs for their weights, plus before minus, each product rounded. `series` is a
       resistance in series with each device that is to make this conductance with it. Both arrays are padded. */
    static inline void pairs_of(
        const double *weights, Py_ssize_t count, double scale, double minimum, double maximum, double series,
        double *pairs
    ) {
        enum { W = VECTOR_BYTES / 8 };
        for (Py_ssize_t j = 0; j < count; j += W) {
            wide_d share = scale * double_load(weights + j), own[2];
            ROUND(share);
            for (int side = 0; side < 2; side++) {
                wide_d x = double_larger(side ? -share : share, (wide_d){0}) + minimum;
                x = -double_larger(-x, -maximum - (wide_d){0});
                if (series != 0.0) {
                    wide_d lost = x * series;
                    ROUND(lost);
                    x /= double_larger(1.0 - lost, 1e-3 - (wide_d){0});
                }
                own[side] = x;
            }
    #if VECTOR_BYTES == 64
            double_store(pairs + 2 * j, SHUFFLE(own[0], own[1], 0, 8, 1, 9, 2, 10, 3, 11));
            double_store(pairs + 2 * j + W, SHUFFLE(own[0], own[1], 4, 12, 5, 13, 6, 14, 7, 15));
    #else
            double_store(pairs + 2 * j, SHUFFLE(own[0], own[1], 0, 4, 1, 5));
            double_store(pairs + 2 * j + W, SHUFFLE(own[0], own[1], 2, 6, 3, 7));
    #endif
        }
    }
    """
    double rounded(double) noexcept nogil
    void pairs_of(const double*, Py_ssize_t, double, double, double, double, double*) noexcept nogil
    void add_scaled(const int64_t*, const double*, double, Py_ssize_t, double*) noexcept nogil
