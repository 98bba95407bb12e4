"""In which precision transfer matrices are worked out."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from circuitmem.errors import ValidationError
from circuitmem.validation import did_you_mean

__all__ = ["PRECISION", "Precision", "check_precision"]

Precision = Literal["double", "single"]

PRECISION: dict[Precision, type[np.floating[Any]]] = {"double": np.float64, "single": np.float32}
"""Types of numbers, by name."""


def check_precision(precision: Precision) -> Precision:
    """Return the name of a precision, if it is one; raises ValidationError otherwise."""
    known = tuple(PRECISION)
    if precision not in known:
        rule = f"must be one of {', '.join(known)}{did_you_mean(str(precision), known)}"
        raise ValidationError("precision", rule, precision)
    return precision
