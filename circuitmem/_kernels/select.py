"""Which variant of each kernel runs: the best that was compiled and that this processor can run.

Every kernel is compiled once for each instruction set (``variants.py``). ``CIRCUITMEM_KERNELS`` forces one of these
variants by name, or ``reference``, the NumPy twin; if the forced variant cannot run, that is an error, never a silent
change.
"""

from __future__ import annotations

import importlib
import os
import platform
import warnings
from types import ModuleType
from typing import NamedTuple

from circuitmem._kernels import sources
from circuitmem._kernels.variants import KERNELS, LEVELS
from circuitmem.errors import ValidationError
from circuitmem.validation import did_you_mean, integer

__all__ = [
    "Variant",
    "are_old",
    "compiled_from",
    "kernel_info",
    "load_kernel",
    "thread_count",
    "warn_of_old_kernels",
]


class Variant(NamedTuple):
    """The chosen variant of a kernel: the compiled module (None is the NumPy reference) and the variant's name."""

    module: ModuleType | None
    name: str

    def __str__(self) -> str:
        if self.module is None:
            return "NumPy reference"
        machine = platform.machine().replace("AMD64", "x86_64").replace("x86_64", "x86-64")
        level = "" if self.name == "baseline" else f"-{self.name}"
        threads = "OpenMP" if getattr(self.module, "OPENMP", False) else "one thread"
        return f"compiled {machine}{level}, {threads}"


def load_kernel(kernel: str) -> Variant:
    """Return the variant of ``kernel`` (one of :data:`KERNELS`) that runs here.

    Raises
    ------
    ValidationError
        If ``CIRCUITMEM_KERNELS`` is not a known name, or names a variant that was not compiled or cannot run.
    """
    forced = os.environ.get("CIRCUITMEM_KERNELS", "")
    known = ("reference", *(level.name for level in LEVELS))
    if forced and forced not in known:
        rule = f"must be one of {', '.join(known)}{did_you_mean(forced, known)}"
        raise ValidationError("CIRCUITMEM_KERNELS", rule, forced)
    if forced == "reference":
        return Variant(None, "reference")
    available = _processor_level()
    wanted = [level for level in reversed(LEVELS) if not forced or level.name == forced]
    if forced and available < wanted[0].needed:
        raise ValidationError("CIRCUITMEM_KERNELS", "must name instructions that this processor has", forced)
    for level in wanted:
        module = _import(f"circuitmem._kernels._{kernel}{level.suffix}") if level.needed <= available else None
        if module is not None:
            return Variant(module, level.name)
    if forced:
        raise ValidationError(
            "CIRCUITMEM_KERNELS", f"must name a variant that was compiled for kernel {kernel}", forced
        )
    return Variant(None, "reference")


def kernel_info() -> dict[str, str]:
    """Say which variant of each kernel runs, e.g. ``{"mesh": "compiled x86-64, OpenMP"}``."""
    return {kernel: str(load_kernel(kernel)) for kernel in KERNELS}


def compiled_from() -> str | None:
    """Return the digest of the sources that the kernels were compiled from; None if nothing was compiled."""
    cpu = _import("circuitmem._kernels._cpu")
    return None if cpu is None else str(getattr(cpu, "SOURCES", ""))


def are_old() -> bool:
    """Say whether this is a checkout whose kernels were compiled from sources other than those it holds."""
    found = compiled_from()
    return found is not None and sources.FOLDER.is_dir() and sources.digest(sources.FOLDER) != found


def warn_of_old_kernels() -> None:
    """Warn if a checkout's kernels were compiled from other sources, or some of them were not compiled at all."""
    if compiled_from() is None or os.environ.get("CIRCUITMEM_KERNELS") == "reference":
        return
    again = "compile them again (python setup.py build_ext --inplace)"
    missing = [kernel for kernel in KERNELS if load_kernel(kernel).module is None]
    if are_old():
        warnings.warn(f"the kernels are older than their sources in {sources.FOLDER}: {again}", stacklevel=2)
    elif missing:
        kernels = ", ".join(missing)
        warnings.warn(f"not compiled, so that the NumPy reference stands in for them: {kernels}; {again}", stacklevel=2)


def thread_count(threads: int | None = None) -> int:
    """Return the number of threads that a kernel is to use; results do not depend on it.

    Parameters
    ----------
    threads : int, optional
        Number of threads, >= 1. None takes ``CIRCUITMEM_THREADS``, else ``OMP_NUM_THREADS``, else the number of
        processors that this process may use.

    Raises
    ------
    ValidationError
        If the number, or the environment variable, is not an integer >= 1.
    """
    if threads is not None:
        return integer("threads", threads, minimum=1)
    for name in ("CIRCUITMEM_THREADS", "OMP_NUM_THREADS"):
        given = os.environ.get(name, "")
        if given:
            try:
                return integer(name, int(given.split(",")[0]), minimum=1)
            except ValueError:
                raise ValidationError(name, "must be an integer >= 1", given) from None
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor_level() -> int:
    cpu = _import("circuitmem._kernels._cpu")
    return 1 if cpu is None else int(cpu.level())


def _import(name: str) -> ModuleType | None:
    """Import a compiled module; return None if it was not built. A broken module raises its error."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None
