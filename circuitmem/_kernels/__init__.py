"""Thin Python interface to the compiled kernels, and the NumPy reference of each.

``mesh`` solves tiles exactly. ``select`` decides at import which compiled variant runs; if none can, the NumPy
reference stands in.
"""

from circuitmem._kernels.select import are_old, kernel_info, load_kernel, thread_count, warn_of_old_kernels

warn_of_old_kernels()

__all__ = ["are_old", "kernel_info", "load_kernel", "thread_count"]
