"""Arrays by name or by place, and data sets that give a sample at each index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from circuitmem.data.parts import Arrays
from circuitmem.errors import ValidationError
from circuitmem.validation import did_you_mean

__all__ = ["by_name", "of_values"]

INPUTS = ("inputs", "x", "X", "data", "images")
TARGETS = ("targets", "y", "Y", "labels", "target")
PARTS = {"": ("",), "train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}
"""Words for each part, before or after the word for inputs or targets."""


def by_name(arrays: Mapping[str, Any], target: str | Sequence[str] | None, where: str) -> dict[str, Arrays]:
    """Return the parts of arrays whose names say what they are.

    Raises
    ------
    ValidationError
        If the names do not say it, or two arrays have the same part.
    """
    known = ", ".join(arrays) or "none"
    if target is not None:
        if not isinstance(target, str) or target not in arrays:
            hint = did_you_mean(target, arrays) if isinstance(target, str) else ""
            raise ValidationError("data.target", f"must name an array of {where}, of {known}{hint}", target)
        others = [name for name in arrays if name != target]
        chosen = [name for name in others if name in INPUTS] or others
        if len(chosen) != 1:
            raise ValidationError("data.target", f"must leave one array of inputs in {where}, not {', '.join(others)}")
        return {"": (arrays[chosen[0]], arrays[target])}
    parts: dict[str, Arrays] = {}
    for part, marks in PARTS.items():
        inputs, targets = (_one(arrays, kinds, marks, where) for kinds in (INPUTS, TARGETS))
        if inputs is not None and targets is not None:
            parts[part] = arrays[inputs], arrays[targets]
    if "" in parts:
        return {"": parts[""]}
    if "train" not in parts:
        rule = "must have arrays inputs and targets (or x and y), or train_inputs, train_targets and so on"
        raise ValidationError("data.source", f"{rule}; {where} has {known}")
    return parts


def _one(arrays: Mapping[str, Any], kinds: Sequence[str], marks: Sequence[str], where: str) -> str | None:
    """Return the name of the array of a kind and a part, such as ``x_train``, if there is one."""
    spelt = {
        name for kind in kinds for mark in marks for name in ((f"{mark}_{kind}", f"{kind}_{mark}") if mark else (kind,))
    }
    found = [name for name in arrays if name in spelt]
    if len(found) > 1:
        raise ValidationError("data.source", f"must have one array of each part; {where} has {' and '.join(found)}")
    return found[0] if found else None


def of_values(source: Any) -> dict[str, Arrays]:
    """Return the parts of a tuple of arrays, or of a data set that gives a sample at each index.

    Raises
    ------
    ValidationError
        If it is neither.
    """
    if isinstance(source, tuple | list):
        if len(source) == 2:
            return {"": (source[0], source[1])}
        if len(source) == 4:
            return {"train": (source[0], source[1]), "test": (source[2], source[3])}
    elif hasattr(source, "__getitem__") and hasattr(source, "__len__") and not isinstance(source, np.ndarray):
        items = [source[index] for index in range(len(source))]
        if not items or not all(isinstance(item, tuple | list) and len(item) == 2 for item in items):
            raise ValidationError("data", "must give (input, target) at each index", type(source).__name__)
        return {"": ([item[0] for item in items], [item[1] for item in items])}
    rule = (
        "must be a path, a Dataset, a data set that gives (input, target) at each index, (inputs, targets), or "
        "(train inputs, train targets, test inputs, test targets)"
    )
    raise ValidationError("data", rule, type(source).__name__)
