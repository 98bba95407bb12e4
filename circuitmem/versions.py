"""Provenance of a result: versions, kernels, and the machine."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np

import circuitmem
from circuitmem._kernels import kernel_info

__all__ = ["environment"]


def environment() -> dict[str, Any]:
    """Return the provenance that every record of results carries.

    Returns
    -------
    dict
        Versions of ``circuitmem``, ``python`` and ``numpy``, the ``kernels`` in use, by name, and the ``platform``.
        For versions of circuit simulators see :func:`circuitmem.engine.simulator_versions`.
    """
    return {
        "circuitmem": circuitmem.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "kernels": kernel_info(),
        "platform": platform.platform(),
    }
