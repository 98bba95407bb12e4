"""What this processor, and the operating system on it, can run."""

cdef extern from *:
    """
    #if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))
    static int circuitmem_level(void) {
        __builtin_cpu_init();
        if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi")
              && __builtin_cpu_supports("bmi2")))
            return 1;
        if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
              && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq")
              && __builtin_cpu_supports("avx512vl")))
            return 3;
        return 4;
    }
    #else
    static int circuitmem_level(void) { return 1; }
    #endif
    """
    int circuitmem_level() nogil


def level():
    """Return the x86-64 level: 4 (AVX-512), 3 (AVX2 and FMA), or 1 (anything else, other architectures included)."""
    return circuitmem_level()
