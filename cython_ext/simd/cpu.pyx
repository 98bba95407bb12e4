"""What this processor, and the operating system on it, can run; and which sources the kernels were compiled from."""

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
    #define CIRCUITMEM_TEXT_OF(name) #name
    #define CIRCUITMEM_TEXT(name) CIRCUITMEM_TEXT_OF(name)
    static const char *circuitmem_sources(void) { return CIRCUITMEM_TEXT(CIRCUITMEM_SOURCES) + 1; }
    """
    int circuitmem_level() nogil
    const char *circuitmem_sources() nogil

SOURCES = circuitmem_sources().decode()
"""Digest of all sources, as ``setup.py`` found it (``circuitmem._kernels.sources``)."""


def level():
    """Return the x86-64 level: 4 (AVX-512), 3 (AVX2 and FMA), or 1 (anything else, other architectures included)."""
    return circuitmem_level()
