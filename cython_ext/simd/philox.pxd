"""Normal numbers by address: Philox 4x64 (Salmon et al., SC 2011), as NumPy's ``Philox`` counts it.

``circuitmem/_kernels/noise.py`` explains the way from 32 random bits to a normal number, and says it in NumPy.
"""

from libc.stdint cimport uint64_t

from simd.vectors cimport wide_d

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #ifdef _MSC_VER
    #include <intrin.h>
    static inline uint64_t product(uint64_t a, uint64_t b, uint64_t *high) { return _umul128(a, b, high); }
    #else
    static inline uint64_t product(uint64_t a, uint64_t b, uint64_t *high) {
        unsigned __int128 both = (unsigned __int128)a * b;
        *high = (uint64_t)(both >> 64);
        return (uint64_t)both;
    }
    #endif

    /* Block number `block` of the stream: 256 random bits. */
    static inline void philox(uint64_t key0, uint64_t key1, uint64_t block, uint64_t operation, uint64_t *out) {
        uint64_t c0 = block, c1 = operation, c2 = 0, c3 = 0, high0, high1, low0, low1;
        for (int round = 0; round < 10; round++) {
            low0 = product(0xD2E7470EE14C6C93u, c0, &high0);
            low1 = product(0xCA5A826395121157u, c2, &high1);
            c0 = high1 ^ c1 ^ key0;
            c1 = low1;
            c2 = high0 ^ c3 ^ key1;
            c3 = low0;
            key0 += 0x9E3779B97F4A7C15u;
            key1 += 0xBB67AE8584CAA73Bu;
        }
        out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
    }

    /* The normal number of 32 random bits: 31 say how far from 0, the 32nd on which side. */
    static inline double normal_of(uint64_t word, const double *table) {
        double odd = (double)(int64_t)(2 * (word & 0x7FFFFFFFu) + 1), u, x;
        uint64_t bits, sign = (word & 0x80000000u) << 32;
        memcpy(&bits, &odd, 8);
        const double *c = table + ((bits >> 49) - (1023 << 3)) * 8;
        bits = ((bits << 3) & 0x000FFFFFFFFFFFFFu) | 0x3FF0000000000000u;
        memcpy(&u, &bits, 8);
        u -= 1.5;
        x = c[0] + u * (c[1] + u * (c[2] + u * (c[3] + u * c[4])));
        memcpy(&bits, &x, 8);
        bits ^= sign;
        memcpy(&x, &bits, 8);
        return x;
    }

    #if VECTOR_BYTES == 64
    /* Eight normal numbers. The polynomials are loaded whole, each a vector, and transposed: that takes two thirds of the
       time of gathering their coefficients one by one. */
    static inline void eight_normals(const uint64_t *words, const double *table, double *out) {
        typedef uint64_t whole __attribute__((vector_size(VECTOR_BYTES), may_alias));
        typedef int64_t index __attribute__((vector_size(VECTOR_BYTES), may_alias));
        typedef uint64_t whole_anywhere __attribute__((vector_size(VECTOR_BYTES), may_alias, aligned(8)));
        whole word = (whole)*(const whole_anywhere *)words, sign = (word & 0x80000000u) << 32, bits, places;
        bits = (whole)__builtin_convertvector((index)(2 * (word & 0x7FFFFFFFu) + 1), wide_d);
        places = ((bits >> 49) - (1023 << 3)) * 8;
        wide_d c[8], u;
        for (int k = 0; k < 8; k++) c[k] = double_load(table + places[k]);
        double_transpose(c);
        bits = ((bits << 3) & 0x000FFFFFFFFFFFFFu) | 0x3FF0000000000000u;
        u = (wide_d)bits - 1.5;
        u = c[0] + u * (c[1] + u * (c[2] + u * (c[3] + u * c[4])));
        *(whole_anywhere *)out = (whole_anywhere)((whole)u ^ sign);
    }
    #else
    static inline void eight_normals(const uint64_t *words, const double *table, double *out) {
        for (int k = 0; k < 8; k++) out[k] = normal_of(words[k], table);
    }
    #endif

    /* 8 `blocks` normal numbers, from block `first` on. */
    static inline void normals(
        uint64_t key0, uint64_t key1, uint64_t first, uint64_t operation, Py_ssize_t blocks, const double *table,
        double *out
    ) {
        enum { AT_ONCE_BLOCKS = 8, NUMBERS = 8 * AT_ONCE_BLOCKS };
        for (Py_ssize_t begun = 0; begun < blocks; begun += AT_ONCE_BLOCKS) {
            uint64_t raw[4 * AT_ONCE_BLOCKS];
            uint64_t words[NUMBERS];
            double found[NUMBERS];
            Py_ssize_t count = blocks - begun < AT_ONCE_BLOCKS ? blocks - begun : AT_ONCE_BLOCKS;
            for (Py_ssize_t i = 0; i < count; i++) philox(key0, key1, first + begun + i, operation, raw + 4 * i);
            for (Py_ssize_t i = 4 * count; i < 4 * AT_ONCE_BLOCKS; i++) raw[i] = 0;
            for (int i = 0; i < 4 * AT_ONCE_BLOCKS; i++) {
                words[2 * i] = raw[i] & 0xFFFFFFFFu;
                words[2 * i + 1] = raw[i] >> 32;
            }
            for (int i = 0; i < NUMBERS; i += 8) eight_normals(words + i, table, found + i);
            memcpy(out + 8 * begun, found, 64 * count);
        }
    }
    """
    void normals(
        uint64_t key0, uint64_t key1, uint64_t first, uint64_t operation, Py_ssize_t blocks, const double* table,
        double* out,
    ) noexcept nogil
    void philox(uint64_t key0, uint64_t key1, uint64_t block, uint64_t operation, uint64_t* out) noexcept nogil
    void eight_normals(const uint64_t* words, const double* table, double* out) noexcept nogil
