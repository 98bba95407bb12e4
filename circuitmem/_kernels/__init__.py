"""Thin Python face of the compiled kernels, and the NumPy reference of each.

``mesh`` solves one tile for a few input vectors, ``tree`` gives its exact transfer matrix. ``select`` decides at import
which compiled variant runs; where none does, ``reference`` and ``_reference_tree`` stand in.
"""

from circuitmem._kernels.select import kernel_info, load, thread_count

__all__ = ["kernel_info", "load", "thread_count"]
