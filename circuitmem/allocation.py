"""What the C library does with memory that arrays have freed."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed_memory"]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's ``mallopt``, from its ``malloc.h``."""

KEPT = 1 << 28
"""Freed bytes that are kept for the next arrays."""

MAPPED = 1 << 25
"""Arrays from this size on [bytes] are given back as soon as they are freed; glibc allows no larger limit."""


def keep_freed_memory() -> bool:
    """Let this process keep freed memory for its next arrays, and return whether that was possible.

    A training step makes and frees arrays of all weights. glibc gives such memory back to the system, which clears
    every page before the next step gets it again: that is up to a seventh of the time of a step. The commands and the
    worker processes of circuitmem call this when they start. It concerns the whole process, so that a program that
    uses circuitmem as a library decides by itself. Only glibc can do it.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library, such as musl
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, KEPT)) and bool(mallopt(M_MMAP_THRESHOLD, MAPPED))
