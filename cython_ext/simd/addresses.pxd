"""Where the arrays of the tiles of a stack are: they need not lie behind each other in memory."""

from cython cimport floating
from libc.stdint cimport uintptr_t


cdef inline object keep_addresses(arrays, Py_ssize_t tiles, uintptr_t* to):
    """Note where the array of each tile is, or that of all; returns what has to stay until they are no longer used."""
    return keep_numbers(<double*> NULL, arrays, tiles, to)


cdef inline object keep_numbers(const floating* unused, arrays, Py_ssize_t tiles, uintptr_t* to):
    """Do the same for numbers of either precision."""
    cdef const floating[:, :, ::1] stack
    cdef const floating[:, ::1] view
    cdef Py_ssize_t k, count = len(arrays)
    if count > 1 and hasattr(arrays, "flags") and arrays.flags.c_contiguous:  # one array: looked at once, not by tile
        stack = arrays
        for k in range(count):
            to[k] = <uintptr_t> &stack[k, 0, 0]
        return stack
    kept = []
    for k in range(count):
        view = arrays[k]
        to[k] = <uintptr_t> &view[0, 0]
        kept.append(view)
    for k in range(count, tiles):
        to[k] = to[0]
    return kept
