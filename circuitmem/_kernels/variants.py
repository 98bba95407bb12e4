"""The kernels that are compiled, and the instruction sets that each is compiled for; ``setup.py`` runs this file.

It therefore imports only the standard library. No other place names an instruction set: the sources ask the C compiler
what it compiles for (``cython_ext/simd``), and the processor tells its level (``cython_ext/simd/cpu.pyx``).
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["KERNELS", "LEVELS", "Level"]

KERNELS = {
    "backward": "reads",
    "devices": "devices",
    "layers": "reads",
    "mesh": "mesh",
    "programming": "pulses",
    "pulses": "pulses",
    "reads": "reads",
    "switching": "devices",
    "tree": "tree",
}
"""The kernels that have a compiled form, and the folder of ``cython_ext`` that holds the source of each."""


class Level(NamedTuple):
    """A set of instructions that kernels are compiled for."""

    name: str
    """What ``CIRCUITMEM_KERNELS`` calls it."""
    suffix: str
    """Appended to the name of the compiled module."""
    needed: int
    """Level of x86-64 that a processor needs to run it; 1 is every processor of any architecture."""
    flags: tuple[str, ...]
    """Flags for GCC and Clang."""


LEVELS = (
    Level("baseline", "", 1, ()),
    Level("v3", "_v3", 3, ("-march=x86-64-v3",)),
    Level("v4", "_v4", 4, ("-march=x86-64-v4", "-mprefer-vector-width=512")),
)
"""Levels in the order of what they need; all but the first exist on x86-64 only."""
