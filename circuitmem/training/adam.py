"""Adam on a digital computer (Kingma & Ba, ICLR 2015)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Adam"]

Floats = NDArray[np.float64]


class Adam:
    """Steps parameters in place.

    Parameters
    ----------
    parameters : sequence of ndarray
        What is optimised: only the shapes count.
    """

    def __init__(self, parameters: Sequence[Floats]) -> None:
        self.steps = 0
        self.first = [np.zeros_like(p) for p in parameters]
        self.second = [np.zeros_like(p) for p in parameters]

    def step(self, parameters: Sequence[Floats], gradients: Sequence[Floats], rate: float) -> None:
        """Move the parameters against their gradients, with step size ``rate``."""
        self.steps += 1
        mean, square = 1.0 - 0.9**self.steps, 1.0 - 0.999**self.steps
        for p, m, v, gradient in zip(parameters, self.first, self.second, gradients, strict=True):
            m += 0.1 * (gradient - m)
            v += 0.001 * (gradient**2 - v)
            p -= rate * (m / mean) / (np.sqrt(v / square) + 1e-8)
