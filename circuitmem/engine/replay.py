"""Repeat an operation that an audit saved."""

from __future__ import annotations

import math
import os
from typing import Any

from circuitmem.engine.behavioral import BehavioralEngine
from circuitmem.engine.findings import load_case
from circuitmem.engine.referees import REFEREES, RefereeName

__all__ = ["replay_case"]


def replay_case(
    path: str | os.PathLike[str], *, behavioral: bool = True, spice: bool = True, referee: RefereeName | None = None
) -> dict[str, Any]:
    """Repeat a saved operation and compare the answers.

    Parameters
    ----------
    path : path
        File that an audit saved.
    behavioral, spice : bool
        Whether the kernels, and a circuit simulator, compute their answer again; if not, the saved answer is used.
    referee : str, optional
        The simulator, ``ngspice`` or ``vacask``; when left out, the one whose answer was saved.

    Returns
    -------
    dict
        ``kind``, ``size``, ``limit``, ``saved_error`` (between the two saved answers), ``error`` (between the two
        answers compared now), ``agrees`` (whether ``error`` is within the limit), ``referee``, ``provenance``.

    Raises
    ------
    DataFileError
        If the file is missing, corrupt, or not a saved operation.
    SpiceError
        If the simulator is to compute the answer and fails.
    """
    saved = load_case(path)
    case, reference = saved.case, saved.reference
    before = case.errors(reference)
    if behavioral:
        case = case.again(BehavioralEngine())
    before_name: RefereeName = "vacask" if saved.provenance.get("referee") == "vacask" else "ngspice"
    name = referee or before_name
    if spice:
        with REFEREES[name]() as engine:
            reference = case.reference(engine)
    error = float(case.errors(reference).max(initial=0.0))
    return {
        "kind": case.kind,
        "size": case.size,
        "limit": saved.limit,
        "saved_error": _plain(float(before.max(initial=0.0))),
        "error": _plain(error),
        "agrees": error <= saved.limit,
        "referee": name if spice else before_name,
        "provenance": saved.provenance,
    }


def _plain(error: float) -> float | None:
    """Return a number that JSON can represent; None if it is not finite."""
    return error if math.isfinite(error) else None
