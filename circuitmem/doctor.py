"""What is installed, what runs, what is missing, and the command that installs it."""

from __future__ import annotations

import os
import platform
import shutil
from importlib import metadata
from typing import Any

import circuitmem
from circuitmem._kernels import kernel_info
from circuitmem.engine import SpiceEngine
from circuitmem.errors import SpiceUnavailableError

__all__ = ["examine"]


def examine() -> dict[str, Any]:
    """Return what ``circuitmem doctor`` shows; ``missing`` maps what is missing to the command that installs it."""
    found: dict[str, Any] = {
        "circuitmem": circuitmem.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "packages": {},
        "kernels": kernel_info(),
    }
    missing: dict[str, str] = {}
    requirements = [item for item in metadata.requires("circuitmem") or [] if "extra ==" not in item]
    for requirement in requirements:
        name = requirement.split(">")[0].split("=")[0].split(";")[0].strip()
        try:
            found["packages"][name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing[name] = f"pip install '{requirement}'"
    try:
        library = SpiceEngine.probe()
        found["ngspice"] = {"version": library.version, "library": library.path}
    except SpiceUnavailableError as error:
        found["ngspice"] = None
        missing["libngspice"] = f"apt-get install libngspice0 ({error.reason})"
    found["ngspice_program"] = shutil.which("ngspice")
    if found["ngspice_program"] is None:
        missing["ngspice program (only to run exported netlists)"] = "apt-get install ngspice"
    if any("compiled" not in description for description in found["kernels"].values()):
        missing["compiled kernels"] = "apt-get install gcc python3-dev, then pip install again"
    found["missing"] = missing
    return found
