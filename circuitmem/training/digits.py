"""The data of a run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Digits"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Digits:
    """Training and test digits: images (samples, inputs) in [0, 1], and labels (samples,)."""

    train_images: Floats
    train_labels: NDArray[np.int64]
    test_images: Floats
    test_labels: NDArray[np.int64]
