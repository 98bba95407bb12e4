"""Products that are rounded before they are added, as NumPy rounds them: no instruction that does both at once."""

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
    """
    void add_scaled(const int64_t*, const double*, double, Py_ssize_t, double*) noexcept nogil
