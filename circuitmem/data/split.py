"""Parts for training, validation and test, of each class alike, by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.errors import ValidationError
from circuitmem.rng import Purpose, stream
from circuitmem.validation import in_range

__all__ = ["SPLIT", "check_split", "divided"]

SPLIT = (0.7, 0.1, 0.2)
"""Fractions of training, validation and test."""
PARTS = ("train", "validation", "test")

Part = tuple[NDArray[Any], NDArray[Any]]


def check_split(split: Sequence[float]) -> tuple[float, ...]:
    """Return three fractions that add up to 1.

    Raises
    ------
    ValidationError
        If they do not, or training or test is 0.
    """
    rule = "must be three fractions, of training, validation and test, that add up to 1"
    if isinstance(split, str) or len(split) != 3:
        raise ValidationError("data.split", rule, split)
    shares = tuple(in_range("data.split", share, 0.0, 1.0) for share in split)
    if abs(sum(shares) - 1.0) > 1e-9:
        raise ValidationError("data.split", rule, split)
    if not shares[0] or not shares[2]:
        raise ValidationError("data.split", "must leave something for training and for the test", split)
    return shares


def divided(
    parts: Mapping[str, Part], task: str, classes: Sequence[str], split: tuple[float, ...], seed: int
) -> dict[str, Part]:
    """Return the parts for training, test, and perhaps validation, of samples that have no parts or lack the test.

    Raises
    ------
    ValidationError
        If a class has too few samples to be in training and test.
    """
    whole = parts.get("", parts.get("train"))
    assert whole is not None
    if "test" in parts:
        return dict(parts)
    inputs, targets = whole
    shares = split if "validation" not in parts else (1.0 - split[2], 0.0, split[2])
    groups = (
        [np.flatnonzero(targets == k) for k in range(len(classes))] if task == "classes" else [np.arange(len(targets))]
    )
    rng, place = stream(seed, Purpose.VALIDATION), np.zeros(len(targets), dtype=np.int64)
    for label, own in enumerate(groups):
        test, validation = (round(shares[k] * len(own)) for k in (2, 1))
        if not 0 < test < len(own) - validation:
            whose = f"class {classes[label]}" if task == "classes" else "the data"
            rule = f"must leave {whose} a sample for training and one for the test, of its {len(own)}"
            raise ValidationError("data.split", rule, list(split))
        mixed = rng.permutation(own)
        place[mixed[:test]], place[mixed[test : test + validation]] = 2, 1
    made = {name: (inputs[place == k], targets[place == k]) for k, name in enumerate(PARTS) if (place == k).any()}
    return made | {name: own for name, own in parts.items() if name == "validation"}
