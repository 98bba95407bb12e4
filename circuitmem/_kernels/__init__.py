"""Thin Python face of the compiled kernels, and the NumPy reference of each.

``mesh`` solves tiles exactly. ``select`` decides at import which compiled variant runs; where none does, ``reference``
stands in.
"""

from circuitmem._kernels.select import kernel_info, load, thread_count

__all__ = ["kernel_info", "load", "thread_count"]
