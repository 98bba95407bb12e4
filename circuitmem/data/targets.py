"""Targets as numbers of classes, or as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from circuitmem.errors import ValidationError

__all__ = ["MISSING", "encoded"]

MISSING = ("", "nan")
"""Texts that stand for a missing label, in lower case: pandas and NumPy write the latter."""


def encoded(
    targets: Mapping[str, NDArray[Any]], task: Literal["classes", "values"]
) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    """Return the targets of each part as indices of the sorted classes, and the classes; or as values, and none.

    Raises
    ------
    ValidationError
        If targets are not what the task says, there are fewer than two classes, more than half as many classes as
        samples, or a part has a class that training lacks.
    """
    if task == "values":
        return {part: _values(part, own) for part, own in targets.items()}, ()
    plain = {part: _labels(part, own) for part, own in targets.items()}
    learnt = plain[""] if "" in plain else plain["train"]
    known = np.unique(learnt)
    if len(known) < 2:
        raise ValidationError("data targets", "must have two classes at least; in training all are", str(known[0]))
    if 2 * len(known) > len(learnt):
        rule = f"must have two samples a class at least: {len(known)} classes of {len(learnt)} training samples"
        raise ValidationError("data targets", f"{rule} (say task = values if they are numbers to predict)")
    codes = {}
    for part, own in plain.items():
        new = np.setdiff1d(own, known)
        if len(new):
            raise ValidationError(f"data {part} targets", "must have no class that training lacks", str(new[0]))
        codes[part] = np.searchsorted(known, own).astype(np.int64)
    return codes, tuple(str(label) for label in known)


def _labels(part: str, targets: NDArray[Any]) -> NDArray[Any]:
    """Return labels as whole numbers or texts."""
    name = f"data {part} targets" if part else "data targets"
    if targets.ndim != 1:
        raise ValidationError(name, f"must be ({len(targets)},), one class for each input", targets.shape)
    if targets.dtype.kind in "U":
        texts = np.array([text.strip() for text in targets.tolist()])
        missing = [index for index, text in enumerate(texts.tolist()) if text.lower() in MISSING]
        if missing:
            raise ValidationError(name, f"must not be missing, as at index {missing[0]}", targets.tolist()[missing[0]])
        return texts
    whole = targets.astype(np.float64)
    for index in np.flatnonzero((whole != np.rint(whole)) | ~np.isfinite(whole) | (np.abs(whole) > 2.0**53)):
        rule = f"must be classes, whole numbers or texts, at index {index}; say task = values for numbers to predict"
        raise ValidationError(name, rule, float(whole[index]))
    return whole.astype(np.int64)


def _values(part: str, targets: NDArray[Any]) -> NDArray[Any]:
    name = f"data {part} targets" if part else "data targets"
    if targets.dtype.kind not in "biuf":
        raise ValidationError(name, "must be numbers, the values to predict", str(targets.dtype))
    values = targets.astype(np.float64)
    if not np.isfinite(values).all():
        index = tuple(int(place) for place in np.argwhere(~np.isfinite(values))[0])
        raise ValidationError(name, f"must be finite at index {index}", float(values[index]))
    if np.ptp(values) == 0.0:
        raise ValidationError(name, "must differ; all are", float(values.flat[0]))
    return values
