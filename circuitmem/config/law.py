"""A parameter of a device that depends on its conductance: a constant, a table, or a user's function."""

from __future__ import annotations

import math
from functools import partial
from typing import Annotated, Any

import numpy as np
import pydantic
from numpy.typing import ArrayLike, NDArray

from circuitmem import registry
from circuitmem.config.quantity import LARGEST_CONDUCTANCE
from circuitmem.errors import ValidationError

__all__ = ["ConductanceLaw", "Fraction", "Law", "NonNegative", "is_zero", "law_range", "law_values"]

Floats = NDArray[np.float64]
TablePoints = tuple[tuple[float, float], ...]
ConductanceLaw = float | TablePoints | str
"""A number; pairs of a conductance [S], rising, and the number there, with straight lines between them; or
``"package.module:function"`` of a function that takes conductances [S] and returns as many numbers."""

MOST = 1_000
"""Most pairs that a table may have."""


def _checked(low: float, high: float, value: Any) -> ConductanceLaw:
    """Return a declared law, or say which rule it breaks."""
    bounds = f"between {low:g} and {high:g}" if math.isfinite(high) else f">= {low:g}"
    bounds = bounds if math.isfinite(low) else "finite"
    if isinstance(value, str):
        if not registry.is_reference(value):
            raise ValueError("must be a number, pairs [[conductance, number], ...] or package.module:function")
        try:
            found = registry.load(value, "law")
        except ValidationError as error:
            raise ValueError(error.rule) from None
        if not callable(found):
            raise ValueError("must name a function of conductances")
        return value
    if _is_number(value):
        if not (math.isfinite(value) and low <= value <= high):
            raise ValueError(f"must be {bounds}")
        return float(value)
    if not isinstance(value, tuple) or not 2 <= len(value) <= MOST:
        raise ValueError(
            f"must be a number, 2 to {MOST} pairs [[conductance, number], ...], or package.module:function"
        )
    last = -1.0
    for pair in value:
        if not (isinstance(pair, tuple) and len(pair) == 2 and all(map(_is_number, pair))):
            raise ValueError("must have pairs of two numbers, [conductance, number]")
        if not last < pair[0] <= LARGEST_CONDUCTANCE:
            raise ValueError(f"must have conductances that rise, from 0 to {LARGEST_CONDUCTANCE:g} S")
        if not (math.isfinite(pair[1]) and low <= pair[1] <= high):
            raise ValueError(f"must have numbers {bounds}")
        last = max(float(pair[0]), 0.0)
    return tuple((float(first), float(second)) for first, second in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


Law = Annotated[ConductanceLaw, pydantic.PlainValidator(partial(_checked, -math.inf, math.inf))]
"""A law whose values may have either sign."""
NonNegative = Annotated[ConductanceLaw, pydantic.PlainValidator(partial(_checked, 0.0, math.inf))]
Fraction = Annotated[ConductanceLaw, pydantic.PlainValidator(partial(_checked, 0.0, 1.0))]
"""Relative, in [0, 1]."""


def is_zero(law: ConductanceLaw) -> bool:
    """Say whether a law is 0 everywhere."""
    return not any(value for _, value in law) if isinstance(law, tuple) else law == 0.0


def law_range(law: ConductanceLaw) -> tuple[float, float] | None:
    """Return the lowest and the highest conductance [S] of a table; None if the law is not a table."""
    return (law[0][0], law[-1][0]) if isinstance(law, tuple) else None


def law_values(law: ConductanceLaw, conductance: ArrayLike, name: str = "law") -> float | Floats:
    """Return the values of a law at conductances [S], of their shape; a constant law returns its number.

    Beyond its ends, a table keeps its first or last value.

    Raises
    ------
    ValidationError
        If a function does not return one finite number per conductance; ``name`` is the setting that declares it.
    """
    if isinstance(law, float):
        return law
    g = np.asarray(conductance, dtype=np.float64)
    if isinstance(law, tuple):
        places, numbers = np.array(law).T
        return np.asarray(np.interp(g, places, numbers))
    try:
        found = np.asarray(registry.load(law, name)(g), dtype=np.float64)
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise ValidationError(name, f"must return a number for each conductance ({error})", law) from None
    if found.shape != g.shape or not np.isfinite(found).all():
        raise ValidationError(name, f"must return finite numbers of shape {g.shape}, not {found.shape}", law)
    return found
