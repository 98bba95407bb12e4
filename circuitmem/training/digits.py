"""The data of a run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import DataSpec
from circuitmem.data import Dataset, load_mnist

__all__ = ["Digits", "load_digits"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Digits:
    """Training and test digits: images (samples, inputs) in [0, 1], and labels (samples,)."""

    train_images: Floats
    train_labels: NDArray[np.int64]
    test_images: Floats
    test_labels: NDArray[np.int64]

    @classmethod
    def of(cls, data: Dataset) -> Digits:
        """Return the digits of a data set."""
        return cls(data.train_images, data.train_labels, data.test_images, data.test_labels)


def load_digits(spec: DataSpec) -> Dataset:
    """Load the data that a run declares.

    Raises
    ------
    DataFileError
        If the files cannot be had.
    ValidationError
        If more digits are asked for than there are.
    """
    data = load_mnist(spec.source).resized(spec.side).first(spec.train, spec.test)
    return data.validating(spec.validation)
