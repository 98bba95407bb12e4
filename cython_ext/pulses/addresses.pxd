"""Where the arrays of the tiles of a stack are: they need not lie behind each other in memory."""

from libc.stdint cimport uintptr_t


cdef inline list keep_addresses(arrays, Py_ssize_t tiles, uintptr_t* to):
    """Note where the array of each tile is, or that of all; returns what has to stay until they are no longer used."""
    cdef const double[:, ::1] view
    cdef Py_ssize_t k
    kept = []
    for k in range(len(arrays)):
        view = arrays[k]
        to[k] = <uintptr_t> &view[0, 0]
        kept.append(view)
    for k in range(len(arrays), tiles):
        to[k] = to[0]
    return kept
