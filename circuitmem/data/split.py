"""Parts for training, validation and test, of each class alike, by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.errors import ValidationError
from circuitmem.rng import Purpose, stream

__all__ = ["SPLIT", "divided", "held_back"]

SPLIT = (0.7, 0.1, 0.2)
"""Fractions of training, validation and test."""
PARTS = ("train", "validation", "test")

Part = tuple[NDArray[Any], NDArray[Any]]


def divided(
    parts: Mapping[str, Part], task: str, classes: Sequence[str], split: tuple[float, ...], seed: int
) -> dict[str, Part]:
    """Return parts for training, test, and perhaps validation, of samples without parts or without a test part.

    Each part has its classes mixed evenly, whatever the order of the samples.

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
    rng = stream(seed, Purpose.VALIDATION)
    chosen: dict[str, list[NDArray[np.intp]]] = {name: [] for name in PARTS}
    for label, own in enumerate(groups):
        test, validation = (round(shares[k] * len(own)) for k in (2, 1))
        if not 0 < test < len(own) - validation:
            whose = f"class {classes[label]}" if task == "classes" else "the data"
            rule = f"must leave {whose} a sample for training and one for the test, of its {len(own)}"
            raise ValidationError("data.split", rule, list(split))
        mixed = rng.permutation(own)
        end = test + validation
        for name, part in (("train", mixed[end:]), ("validation", mixed[test:end]), ("test", mixed[:test])):
            chosen[name].append(part)
    made = {}
    for name, by_class in chosen.items():
        # Classes are mixed evenly: a part may be cut to its first samples, which then are of each class alike.
        ranks = np.concatenate([(np.arange(len(own)) + 0.5) / len(own) for own in by_class])
        order = np.concatenate(by_class)[np.argsort(ranks, kind="stable")]
        if len(order):
            made[name] = (inputs[order], targets[order])
    return made | {name: own for name, own in parts.items() if name == "validation"}


def held_back(targets: NDArray[Any], task: str, count: int, seed: int) -> NDArray[np.bool_]:
    """Return which of the training samples are held back, (samples,): ``count`` of them, of each class alike.

    Raises
    ------
    ValidationError
        If a class would have no training sample left.
    """
    groups = (
        [np.flatnonzero(targets == k) for k in np.unique(targets)] if task == "classes" else [np.arange(len(targets))]
    )
    shares = count * np.array([len(own) for own in groups]) / len(targets)
    wanted = np.floor(shares).astype(np.int64)
    # The rest goes to the classes with the largest remainders, to the first of them if these are equal.
    wanted[np.argsort(-(shares - wanted), kind="stable")[: count - wanted.sum()]] += 1
    if any(number >= len(own) for number, own in zip(wanted, groups, strict=True)):
        rule = f"must leave each class a sample to train with, of {len(targets)} in all"
        raise ValidationError("data.held_back", rule, count)
    rng, held = stream(seed, Purpose.HELD_BACK), np.zeros(len(targets), dtype=bool)
    for number, own in zip(wanted, groups, strict=True):
        held[rng.permutation(own)[:number]] = True
    return held
