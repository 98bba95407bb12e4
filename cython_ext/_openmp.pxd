"""Whether the C compiler was asked for OpenMP."""

cdef extern from *:
    """
    #ifdef _OPENMP
    #define HAS_OPENMP 1
    #else
    #define HAS_OPENMP 0
    #endif
    """
    enum: HAS_OPENMP
