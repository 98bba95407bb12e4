"""What computed a result: versions, kernels, and the machine."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np

import circuitmem
from circuitmem._kernels import kernel_info
from circuitmem.engine.spice import SpiceEngine
from circuitmem.errors import SpiceUnavailableError

__all__ = ["environment", "software"]


def environment() -> dict[str, Any]:
    """Return the versions of circuitmem, Python and NumPy, the kernels that run, and the platform."""
    return {
        "circuitmem": circuitmem.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "kernels": kernel_info(),
        "platform": platform.platform(),
    }


def software() -> dict[str, Any]:
    """Return :func:`environment` and the version of ngspice, None where there is none."""
    return environment() | {"ngspice": _ngspice()}


def _ngspice() -> str | None:
    try:
        return SpiceEngine.probe().version
    except SpiceUnavailableError:
        return None
