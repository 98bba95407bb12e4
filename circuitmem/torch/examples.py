"""Examples with classes that a network of torch is trained and tested with, from what users have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from circuitmem.data import Dataset
from circuitmem.errors import ValidationError
from circuitmem.rng import Purpose, stream
from circuitmem.torch.convert import inputs_of
from circuitmem.validation import in_range

__all__ = ["Examples", "examples_of"]


@dataclass(frozen=True)
class Examples:
    """Inputs and classes.

    Attributes
    ----------
    train_inputs, test_inputs : Tensor
        (samples, ...).
    train_labels, test_labels : Tensor of int64
        (samples,), from 0 on.
    """

    train_inputs: torch.Tensor
    train_labels: torch.Tensor
    test_inputs: torch.Tensor
    test_labels: torch.Tensor

    @property
    def classes(self) -> int:
        """How many there are."""
        return int(self.train_labels.max()) + 1


def examples_of(data: Any, seed: int, test_fraction: float = 0.2) -> Examples:
    """Return the examples of data.

    Parameters
    ----------
    data : Dataset, torch Dataset, (inputs, labels), or (train inputs, train labels, test inputs, test labels)
        Without a part to test with, examples of each class are drawn for that.
    seed : int
        Of that draw.
    test_fraction : float
        How many of each class, in (0, 1).

    Raises
    ------
    ValidationError
        If inputs are not finite, labels are not classes, or there are too few.
    """
    if isinstance(data, Dataset):
        parts: Any = (data.train_images, data.train_labels, data.test_images, data.test_labels)
    elif isinstance(data, torch.utils.data.Dataset):
        parts = _listed(data)
    else:
        parts = data
    if not isinstance(parts, tuple | list) or len(parts) not in (2, 4):
        rule = "must be a data set, (inputs, labels), or (train inputs, train labels, test inputs, test labels)"
        raise ValidationError("data", rule, type(data).__name__)
    pairs = [_checked(parts[0], parts[1], "")]
    if len(parts) == 4:
        pairs.append(_checked(parts[2], parts[3], "test "))
    if len(pairs) == 1:
        pairs = _split(*pairs[0], seed, in_range("test_fraction", test_fraction, 0.0, 1.0))
    (inputs, labels), (test_inputs, test_labels) = pairs
    missing = sorted(set(test_labels.tolist()) - set(labels.tolist()))
    if missing:
        raise ValidationError("data", f"must have classes in training that it is tested with: {missing[0]} is missing")
    if len(set(labels.tolist())) < 2:
        raise ValidationError("data", "must have two classes at least", 1)
    if inputs.shape[1:] != test_inputs.shape[1:]:
        rule = f"must be of one shape, {tuple(inputs.shape[1:])}, in training and test"
        raise ValidationError("data inputs", rule, tuple(test_inputs.shape[1:]))
    return Examples(inputs, labels, test_inputs, test_labels)


def _listed(data: Any) -> tuple[torch.Tensor, torch.Tensor]:
    items = [data[index] for index in range(len(data))]
    if not items or not all(isinstance(item, tuple | list) and len(item) == 2 for item in items):
        raise ValidationError("data", "must give (input, label) at each index", type(data).__name__)
    return torch.stack([torch.as_tensor(item[0]) for item in items]), torch.as_tensor([int(item[1]) for item in items])


def _checked(inputs: Any, labels: Any, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    (values,) = inputs_of(inputs if isinstance(inputs, torch.Tensor) else np.asarray(inputs))
    if not values.is_floating_point():
        values = values.to(torch.get_default_dtype())
    if values.dim() < 2 or len(values) == 0:
        raise ValidationError(f"data {part}inputs", "must be (samples, ...), one sample at least", tuple(values.shape))
    wrong = ~torch.isfinite(values)
    if bool(wrong.any()):
        index = tuple(int(place) for place in wrong.nonzero()[0])
        rule = f"must be finite at index {index}, and at {int(wrong.sum())} places in all"
        raise ValidationError(f"data {part}inputs", rule, float(values[index]))
    (found,) = inputs_of(labels if isinstance(labels, torch.Tensor) else np.asarray(labels))
    if found.dim() != 1 or len(found) != len(values):
        raise ValidationError(f"data {part}labels", f"must be ({len(values)},), one for each input", tuple(found.shape))
    if found.is_floating_point() or found.is_complex() or int(found.min()) < 0:
        shown = f"{found.dtype}" if found.is_floating_point() or found.is_complex() else int(found.min())
        raise ValidationError(f"data {part}labels", "must be classes, integers from 0 on", shown)
    return values, found.to(torch.int64)


def _split(
    inputs: torch.Tensor, labels: torch.Tensor, seed: int, fraction: float
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Draw the same part of each class for the test."""
    rng = stream(seed, Purpose.VALIDATION)
    test: list[NDArray[np.intp]] = []
    for label in np.unique(labels.numpy()):
        own = np.flatnonzero(labels.numpy() == label)
        count = round(fraction * len(own))
        if not 0 < count < len(own):
            rule = f"must have more examples of class {label}, for {fraction:g} of them are tested with"
            raise ValidationError("data", rule, len(own))
        test.append(rng.permutation(own)[:count])
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    chosen[torch.from_numpy(np.concatenate(test))] = True
    return [(inputs[~chosen], labels[~chosen]), (inputs[chosen], labels[chosen])]
