"""Checks at the boundary: user input is validated once here, and trusted inside.

Every function returns the checked (and converted) value or raises
:class:`~circuitmem.errors.ValidationError` with the parameter's name, the rule and the value.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from circuitmem.errors import ValidationError

__all__ = ["boolean_array", "did_you_mean", "finite_array", "in_range", "integer", "real_array"]
__all__ += ["seconds_of", "split_shares", "time_of"]

_SECONDS = {"": 1.0, "ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_SECONDS["y"] = 365.25 * 86_400.0


def finite_array(
    name: str,
    value: ArrayLike,
    shape: Sequence[int] | None = None,
    minimum: float | None = None,
    allow_infinite: bool = False,
    copy: bool = True,
) -> NDArray[np.float64]:
    """Return ``value`` as a C-contiguous, read-only float64 array.

    Parameters
    ----------
    name : str
        Parameter name for the error message.
    value : array_like
        What the user gave.
    shape : sequence of int, optional
        Required shape; a scalar is *not* broadcast.
    minimum : float, optional
        Smallest allowed element.
    allow_infinite : bool
        Accept infinity (an open wire), of either sign unless ``minimum`` forbids it; NaN is never accepted.
    copy : bool
        Whether the array must be a new one; otherwise it may share the memory of ``value``.

    Raises
    ------
    ValidationError
        If the value is not numeric, has the wrong shape, or an element is not allowed.
    """
    array = np.array(real_array(name, value), dtype=np.float64, order="C", copy=True if copy else None)[...]
    if shape is not None and array.shape != tuple(shape):
        raise ValidationError(name, f"must have shape {tuple(shape)}", array.shape)
    if array.size == 0:
        lowest = highest = 0.0 if minimum is None else minimum
    else:  # two passes without a temporary array; both are NaN if one element is
        lowest, highest = array.min(), array.max()
    if np.isnan(lowest) or not (allow_infinite or (np.isfinite(lowest) and np.isfinite(highest))):
        bad = np.isnan(array) if allow_infinite else ~np.isfinite(array)
        raise ValidationError(name, "must be finite" + _where(bad), float(array[bad][0]))
    if minimum is not None and lowest < minimum:
        low = array < minimum
        raise ValidationError(name, f"must be >= {minimum:g}{_where(low)}", float(array[low][0]))
    array.flags.writeable = False
    return array


def real_array(name: str, value: ArrayLike) -> NDArray[Any]:
    """Return ``value`` as an array of any real type, shape and values, which may share memory with ``value``.

    Raises
    ------
    ValidationError
        If the value is not numeric, or complex.
    """
    array = _as_array(name, value, "real numbers")
    if array.dtype.kind not in "biuf":
        raise ValidationError(name, "must be an array of real numbers", value)
    return array


def boolean_array(name: str, value: ArrayLike, shape: Sequence[int] | None = None) -> NDArray[np.bool_]:
    """Return ``value`` as a new read-only boolean array; integers 0 and 1 are accepted.

    Raises
    ------
    ValidationError
        If an element is neither true nor false, or the shape is wrong.
    """
    array = np.array(_as_array(name, value, "true/false"))
    if array.dtype != np.bool_:
        if array.dtype.kind not in "iu" or not np.isin(array, (0, 1)).all():
            raise ValidationError(name, "must be an array of true/false", value)
        array = array.astype(np.bool_)
    if shape is not None and array.shape != tuple(shape):
        raise ValidationError(name, f"must have shape {tuple(shape)}", array.shape)
    array.flags.writeable = False
    return array


def in_range(name: str, value: float, low: float = -math.inf, high: float = math.inf) -> float:
    """Return ``value`` as a float if it is finite and ``low <= value <= high``.

    Raises
    ------
    ValidationError
        If the value is not a real number in the range.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValidationError(name, "must be a real number", value) from None
    if not math.isfinite(number):
        raise ValidationError(name, "must be finite", number)
    if not low <= number <= high:
        if high == math.inf:
            raise ValidationError(name, f"must be >= {low:g}", number)
        raise ValidationError(name, f"must be between {low:g} and {high:g}", number)
    return number


def integer(name: str, value: int, minimum: int = 0, maximum: int | None = None) -> int:
    """Return ``value`` as an int (NumPy integers are accepted, floats and bools are not).

    Raises
    ------
    ValidationError
        If the value is not an integer, is below ``minimum`` or above ``maximum``.
    """
    if isinstance(value, bool | np.bool_):
        raise ValidationError(name, "must be an integer", value)
    try:
        number = operator.index(value)
    except TypeError:
        raise ValidationError(name, "must be an integer", value) from None
    if number < minimum:
        raise ValidationError(name, f"must be >= {minimum}", number)
    if maximum is not None and number > maximum:
        raise ValidationError(name, f"must be <= {maximum}", number)
    return number


def split_shares(name: str, split: Sequence[float]) -> tuple[float, ...]:
    """Return the fractions of samples for training, validation and test.

    Raises
    ------
    ValidationError
        If they are not three that add up to 1, or training or test is 0.
    """
    rule = "must be three fractions, of training, validation and test, that add up to 1"
    if isinstance(split, str) or len(split) != 3:
        raise ValidationError(name, rule, split)
    shares = tuple(in_range(name, share, 0.0, 1.0) for share in split)
    if abs(sum(shares) - 1.0) > 1e-9:
        raise ValidationError(name, rule, split)
    if not shares[0] or not shares[2]:
        raise ValidationError(name, "must leave something for training and for the test", split)
    return shares


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known name nearest to ``word``, or ``""``."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def _as_array(name: str, value: ArrayLike, of: str) -> NDArray[Any]:
    """Return ``value`` as an array; its elements are not checked."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError):  # lists of unequal length
        raise ValidationError(name, f"must be an array of {of}", value) from None


def _where(bad: NDArray[np.bool_]) -> str:
    """Return `` at index (i, j)`` of the first offending element."""
    if bad.ndim == 0:
        return ""
    index = tuple(int(k) for k in np.argwhere(bad)[0])
    return f" at index {index if len(index) > 1 else index[0]}"


def seconds_of(name: str, text: str) -> float:
    """Return a time in words, such as ``"90s"``, ``"1.5 h"`` or ``"10y"``, in seconds; a number alone is in seconds.

    Raises
    ------
    ValidationError
        If it is not such a time.
    """
    match = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?\s*([a-z]*)", text.strip().lower())
    if match is None or match[3] not in _SECONDS:
        units = ", ".join(unit for unit in _SECONDS if unit)
        raise ValidationError(name, f"must be times such as 90s, 1.5h or 10y (units: {units})", text)
    return float(match[1] + (match[2] or "")) * _SECONDS[match[3]]


def time_of(seconds: float) -> str:
    """Return a time in the largest unit of :func:`seconds_of` of which it is a few, such as ``1 d`` or ``90 s``.

    Parameters
    ----------
    seconds : float
        The time, >= 0.
    """
    for unit in sorted(filter(None, _SECONDS), key=_SECONDS.__getitem__, reverse=True):
        count = seconds / _SECONDS[unit]
        if f"{count:.4g}" == f"{round(count)}" != "0":
            return f"{round(count)} {unit}"
    return f"{seconds:.4g} s"
