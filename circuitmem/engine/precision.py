"""The precision in which transfer matrices are computed."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from circuitmem.errors import ValidationError
from circuitmem.validation import did_you_mean

__all__ = ["PRECISION", "Precision", "check_precision"]

Precision = Literal["double", "single"]

PRECISION: dict[Precision, type[np.floating[Any]]] = {"double": np.float64, "single": np.float32}
"""Number type of each precision, by name."""


def check_precision(precision: Precision) -> Precision:
    """Return the name of a precision if it is a valid one; raise ValidationError otherwise."""
    known = tuple(PRECISION)
    if precision not in known:
        rule = f"must be one of {', '.join(known)}{did_you_mean(str(precision), known)}"
        raise ValidationError("precision", rule, precision)
    return precision
