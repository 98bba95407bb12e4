"""Checks of a user's arrays: finite numbers, as many targets as inputs, one shape in all parts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.errors import ValidationError

__all__ = ["LARGEST", "Arrays", "check_parts", "data_digest", "inexact"]

LARGEST = 1e150
"""Largest magnitude of an input or a value: sums of the squares of larger numbers are infinite."""

Arrays = tuple[Any, Any]
"""Inputs and targets of a part, as they came."""


def check_parts(parts: Mapping[str, Arrays]) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Return inputs and targets as arrays.

    Raises
    ------
    ValidationError
        If inputs are not real, finite numbers, a part is empty or has another shape than the first, or the numbers of
        inputs and targets differ.
    """
    found: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
    for part, (inputs, targets) in parts.items():
        words = f"data {part} " if part else "data "
        values = _inputs(f"{words}inputs", inputs)
        own = _targets(f"{words}targets", targets, len(values))
        first = next(iter(found.values()))[0].shape[1:] if found else values.shape[1:]
        if values.shape[1:] != first:
            rule = f"must be of one shape in all parts, {first} as in {next(iter(found))}"
            raise ValidationError(f"{words}inputs", rule, values.shape[1:])
        found[part] = values, own
    return found


def _array(name: str, values: Any) -> NDArray[Any]:
    """Return values as an array; they may be a tensor, or a list of tensors."""
    try:
        if hasattr(values, "detach"):
            values = values.detach().cpu()
        elif isinstance(values, Sequence) and len(values) and hasattr(values[0], "detach"):
            values = np.stack([np.asarray(each.detach().cpu()) for each in values])
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValidationError(name, f"must be an array, samples of one shape ({error})") from None


def _inputs(name: str, given: Any) -> NDArray[Any]:
    values = _array(name, given)
    if values.dtype.kind not in "biuf":
        raise ValidationError(name, "must be real numbers", str(values.dtype))
    if values.ndim < 2 or not values.size:
        raise ValidationError(name, "must be (samples, ...), one sample and one number at least", values.shape)
    wrong = ~np.isfinite(values)
    if wrong.any():
        index = tuple(int(place) for place in np.argwhere(wrong)[0])
        rule = f"must be finite at index {index}, and at {np.count_nonzero(wrong)} places in all"
        raise ValidationError(name, rule, float(values[index]))
    _check_magnitude(name, values)
    return values


def inexact(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which numbers are integers beyond 2^53: as float64, neighbours of them would be equal."""
    if values.dtype.kind not in "iu":
        return np.zeros(values.shape, dtype=np.bool_)
    return np.asarray((values > 2**53) | (values < -(2**53)))


def _check_magnitude(name: str, values: NDArray[Any]) -> None:
    if values.dtype.kind == "f":
        wide = values.astype(np.float64, copy=False)  # narrower types have no number as large to compare with
        wrong, rule = np.abs(wide) > LARGEST, f"must be within {LARGEST:g}"
    else:
        wrong, rule = inexact(values), "must be within 2^53, beyond which float64 has not every integer,"
    if wrong.any():
        index = tuple(int(place) for place in np.argwhere(wrong)[0])
        raise ValidationError(name, f"{rule} at index {index}", values[index].item())


def _targets(name: str, given: Any, samples: int) -> NDArray[Any]:
    values = _array(name, given)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim not in (1, 2) or len(values) != samples:
        raise ValidationError(name, f"must be ({samples},), one for each input", values.shape)
    if values.dtype.kind == "O":
        texts = [each for each in values.ravel() if not isinstance(each, str)]
        if texts:
            raise ValidationError(name, "must be numbers or texts, none missing", texts[0])
        values = values.astype(np.str_)
    if values.dtype.kind not in "biufU":
        raise ValidationError(name, "must be numbers or texts", str(values.dtype))
    _check_magnitude(name, values)
    return values


def data_digest(parts: Mapping[str, tuple[NDArray[Any], NDArray[Any]]], classes: Sequence[str]) -> str:
    """Return the SHA-256 of names, types, shapes and bytes of all arrays, and of the names of the classes.

    Numbers that are not bytes are taken as float64, so that a table has the same digest in any file format.
    """
    hasher = hashlib.sha256("\0".join(classes).encode())
    for part in sorted(parts):
        for name, array in zip(("inputs", "targets"), parts[part], strict=True):
            plain = np.ascontiguousarray(
                array if array.dtype.kind in "u" and array.itemsize == 1 else array.astype("<f8")
            )
            hasher.update(f"{part}_{name} {plain.dtype.str} {plain.shape}|".encode())
            hasher.update(plain.tobytes())
    return hasher.hexdigest()
