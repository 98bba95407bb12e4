"""Whether the C compiler was asked for OpenMP, and when threads pay."""

cdef extern from *:
    """
    #ifdef _OPENMP
    #define HAS_OPENMP 1
    #else
    #define HAS_OPENMP 0
    #endif
    """
    enum: HAS_OPENMP

cdef enum:
    SMALL = 2097152  # multiplications for which it does not pay to wake other threads: 2^21
