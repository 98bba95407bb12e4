"""What is installed, what runs, what is missing, and the command that installs it."""

from __future__ import annotations

import os
import re
import shutil
from importlib import metadata
from typing import Any

import numpy as np

from circuitmem import Tile, TileSpec
from circuitmem._kernels import are_old, thread_count
from circuitmem.errors import CircuitmemError, SpiceError, SpiceUnavailableError
from circuitmem.versions import environment

__all__ = ["examine"]

OHM_TOLERANCE = 1e-12
"""Allowed relative error of one cell between two wires: a hundred times the rounding error would still be below it."""


def examine() -> dict[str, Any]:
    """Return what ``circuitmem doctor`` shows.

    ``missing`` maps each missing component to the command that installs it; ``essential`` lists the missing components
    without which circuitmem cannot compute. All others have a substitute or are optional.
    """
    missing: dict[str, str] = {}
    found: dict[str, Any] = {
        **environment(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": thread_count(),
        "packages": _packages(missing),
        "blas": _blas(),
    }
    _check_behavioral(missing)
    essential = list(missing)
    found |= {
        "ngspice": _ngspice(missing),
        "ngspice_program": shutil.which("ngspice"),
        "vacask": _vacask(),
        "mnist": _mnist(),
    }
    if found["ngspice_program"] is None:
        missing["ngspice program (only to run exported netlists)"] = "apt-get install ngspice"
    chosen = os.environ.get("CIRCUITMEM_KERNELS", "")
    if not chosen and any("compiled" not in description for description in found["kernels"].values()):
        missing["compiled kernels"] = "apt-get install gcc python3-dev, then pip install again"
    if are_old():
        missing["kernels compiled from the sources in this checkout"] = "python setup.py build_ext --inplace"
    return found | {"missing": missing, "essential": essential}


def _packages(missing: dict[str, str]) -> dict[str, str]:
    """Return the version of every package that circuitmem needs."""
    try:
        requirements = metadata.requires("circuitmem") or []
    except metadata.PackageNotFoundError:
        missing["circuitmem's own metadata"] = "pip install -e . (in the checkout that this is)"
        return {}
    versions = {}
    for requirement in requirements:
        match = re.match(r"[\w.-]+", requirement)
        if match is None or "extra ==" in requirement:
            continue
        try:
            versions[match[0]] = metadata.version(match[0])
        except metadata.PackageNotFoundError:
            missing[match[0]] = f"pip install '{requirement}'"
    return versions


def _blas() -> list[str]:
    """Return the BLAS libraries that NumPy and SciPy loaded, with the number of threads that each would use."""
    try:
        import scipy.linalg  # noqa: F401  (loads the library that is to be reported)
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return sorted({f"{pool['internal_api']} {pool['version']} ({pool['num_threads']} threads)" for pool in pools})


def _check_behavioral(missing: dict[str, str]) -> None:
    """Check the current of one cell of 1 mS behind 2 + 2 ohm of wire against Ohm's law."""
    try:
        from circuitmem.engine import BehavioralEngine

        spec = TileSpec(rows=1, columns=1, word_line_resistance=2.0, bit_line_resistance=2.0)
        current = float(BehavioralEngine().read(Tile(spec, np.array([[1e-3]])), np.array([0.2]))[0])
    except (ImportError, CircuitmemError) as error:
        if not missing:
            missing["a working engine"] = f"pip install --force-reinstall circuitmem ({error})"
        return
    if abs(current / (0.2 / 1004.0) - 1.0) > OHM_TOLERANCE:
        missing["a working engine"] = f"pip install --force-reinstall circuitmem (one cell: {current} A)"


def _ngspice(missing: dict[str, str]) -> dict[str, str] | None:
    """Return version, path and solver of the ngspice library; None if it cannot be loaded."""
    try:
        from circuitmem.engine import SpiceEngine

        library = SpiceEngine.probe()
    except ImportError:
        return None  # the missing package is listed already
    except SpiceError as error:
        missing["libngspice"] = f"apt-get install libngspice0 ({error.reason})"
        return None
    return {"version": library.version, "library": library.path, "solver": library.solver}


def _vacask() -> str:
    """Say which VACASK is installed, and whether it reads one cell correctly; it is optional, and so never missing."""
    try:
        from circuitmem.engine import VacaskEngine

        library, compiler = VacaskEngine.probe(), VacaskEngine.compiler_version()
        spec = TileSpec(rows=1, columns=1, word_line_resistance=2.0, bit_line_resistance=2.0)
        with VacaskEngine() as engine:
            current = float(engine.read(Tile(spec, np.array([[1e-3]])), np.array([0.2]))[0])
    except ImportError:
        return "not looked at"  # the missing package is listed already
    except SpiceUnavailableError as error:
        if "not installed" in error.reason:
            return "not installed (pip install 'circuitmem[vacask]'); ngspice alone is the referee"
        return f"installed but does not start: {error.reason.rpartition('does not start')[2].lstrip(': ')}"
    except SpiceError as error:
        return f"installed but does not compute: {error.message}"
    off = abs(current / (0.2 / 1004.0) - 1.0)
    smoke = f"smoke read within {OHM_TOLERANCE:g}" if off <= OHM_TOLERANCE else f"smoke read WRONG by {off:.1e}"
    return f"{library.version} (sha {VacaskEngine.digest()[:6]}…), openvaf {compiler}; {smoke}"


def _mnist() -> str:
    """Say which MNIST digits are on this machine: the bundled subset, or the full set too."""
    try:
        from circuitmem.data import cached_mnist

        folder, complete = cached_mnist()
    except ImportError:
        return "bundled subset"
    return f"bundled subset; full set {'in' if complete else 'not yet downloaded to'} {folder}"
