"""Elementary functions on vectors of LANES numbers; lanes do not see each other, and errors are a few units of the last digit.

Taken apart as usual (e.g. Muller, Elementary Functions, 2016): a power of two, which is an exponent of the number's
format, and a series for what is left.
"""

from simd.vectors cimport vec

cdef extern from *:
    """
    #include <math.h>

    typedef union { vec v; mask m; double d[LANES]; long long i[LANES]; } lanes_of;

    #if LANES == 8 && defined(__AVX512DQ__)
    #include <immintrin.h>
    static inline int any_lane(mask m) { return _mm512_movepi64_mask((__m512i)m) != 0; }
    #elif LANES == 4
    #include <immintrin.h>
    static inline int any_lane(mask m) { return !_mm256_testz_si256((__m256i)m, (__m256i)m); }
    #else
    static inline int any_lane(mask m) {
        lanes_of x = {.m = m};
        long long found = 0;
        for (int k = 0; k < LANES; k++) found |= x.i[k];
        return found != 0;
    }
    #endif
    static inline vec square_root(vec x) {
        lanes_of y = {.v = x};
        for (int k = 0; k < LANES; k++) y.d[k] = sqrt(y.d[k]);
        return y.v;
    }

    /* e^x; 0 and infinity beyond what numbers hold. */
    static inline vec exponential(vec x) {
        const vec turns = splat(6755399441055744.0);  /* 3 * 2^51: its last digit is 1 */
        vec inside = smaller(larger(x, splat(-708.0)), splat(709.0));
        vec t = inside * splat(1.4426950408889634) + turns, n = t - turns;
        vec r = inside - n * splat(6.93147180369123816490e-01) - n * splat(1.90821492927058770002e-10);
        vec r2 = r * r, r4 = r2 * r2;
        vec low = (splat(1.0) + r) + r2 * (splat(1.0 / 2) + r * splat(1.0 / 6));
        vec middle = (splat(1.0 / 24) + r * splat(1.0 / 120)) + r2 * (splat(1.0 / 720) + r * splat(1.0 / 5040));
        vec high = (splat(1.0 / 40320) + r * splat(1.0 / 362880)) + r2 * (splat(1.0 / 3628800) + r * splat(1.0 / 39916800));
        vec top = splat(1.0 / 479001600) + r * splat(1.0 / 6227020800.0);
        vec series = low + r4 * (middle + r4 * (high + r4 * top));
        vec found = series * (vec)(((mask)t + 1023) << 52);
        found = choose(x > splat(709.7), splat(INFINITY), choose(x < splat(-708.0), splat(0), found));
        return choose(x == x, found, x);
    }

    /* The natural logarithm of x >= 0; -infinity of 0 and of numbers too small to be normal. */
    static inline vec logarithm(vec x) {
        mask bits = (mask)x, upper = bits - 0x3fe6a09e667f3bcdLL;  /* above the root of 1/2 */
        mask power = upper >> 52;  /* arithmetic: it may be negative */
        vec m = (vec)(bits - (power << 52));
        vec e = (vec)((power + 2048) | 0x4330000000000000LL) - splat(4503599627370496.0 + 2048.0);
        vec f = m - splat(1.0), s = f / (splat(2.0) + f), z = s * s, w = z * z;
        vec odd = splat(1.0 / 3) + w * (splat(1.0 / 7) + w * (splat(1.0 / 11) + w * (splat(1.0 / 15) + w * splat(1.0 / 19))));
        vec even = splat(1.0 / 5) + w * (splat(1.0 / 9) + w * (splat(1.0 / 13) + w * (splat(1.0 / 17) + w * splat(1.0 / 21))));
        vec found = e * splat(6.93147180369123816490e-01)
                    + (splat(2.0) * s + (splat(2.0) * s * z * (odd + z * even) + e * splat(1.90821492927058770002e-10)));
        found = choose(x < splat(2.3e-308), splat(-INFINITY), found);
        return choose(x < splat(INFINITY), found, x);
    }

    /* x^power for x >= 0. */
    static inline vec to_the(vec x, double power) {
        if (power == (int)power && power >= 1.0 && power <= 32.0) {
            vec found = splat(1.0);
            for (int n = (int)power; n; n >>= 1) {
                if (n & 1) found = found * x;
                x = x * x;
            }
            return found;
        }
        return exponential(splat(power) * logarithm(x));
    }

    static inline void hyperbolic(vec x, vec *sine, vec *cosine) {
        vec grow = exponential(magnitude(x)), fall = splat(1.0) / grow, z = x * x;
        vec small = splat(1.0) + z * (splat(1.0 / 6) + z * (splat(1.0 / 120) + z * (splat(1.0 / 5040) + z * (splat(1.0 / 362880)
                    + z * (splat(1.0 / 39916800) + z * splat(1.0 / 6227020800.0))))));
        vec large = splat(0.5) * (grow - fall);
        *sine = choose(magnitude(x) < splat(0.5), x * small, choose(x < splat(0), -large, large));
        *cosine = splat(0.5) * (grow + fall);
    }

    /* The inverse of the hyperbolic sine; below 1e-3 it has fewer digits. */
    static inline vec inverse_sine(vec x) {
        vec y = magnitude(x);
        vec found = logarithm(y + square_root(y * y + splat(1.0)));
        found = choose(y > splat(1e150), logarithm(y) + splat(0.6931471805599453), found);
        return choose(x < splat(0), -found, found);
    }
    """
    vec exponential(vec) noexcept nogil
    vec logarithm(vec) noexcept nogil
    vec to_the(vec, double) noexcept nogil
    void hyperbolic(vec, vec*, vec*) noexcept nogil
    vec inverse_sine(vec) noexcept nogil
