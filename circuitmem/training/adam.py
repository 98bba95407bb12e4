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
        self._scratch = [(np.empty_like(p), np.empty_like(p)) for p in parameters]

    def step(self, parameters: Sequence[Floats], gradients: Sequence[Floats], rate: float) -> None:
        """Move the parameters against their gradients, with step size ``rate``."""
        self.steps += 1
        mean, square = 1.0 - 0.9**self.steps, 1.0 - 0.999**self.steps
        states = zip(parameters, self.first, self.second, gradients, self._scratch, strict=True)
        for p, m, v, gradient, (change, scale) in states:  # no new array at each operation, which took half of the time
            # m += 0.1 * (gradient - m)
            m += np.multiply(0.1, np.subtract(gradient, m, out=change), out=change)
            # v += 0.001 * (gradient**2 - v)
            np.subtract(np.square(gradient, out=change), v, out=change)
            v += np.multiply(0.001, change, out=change)
            # p -= rate * (m / mean) / (sqrt(v / square) + 1e-8)
            np.sqrt(np.divide(v, square, out=scale), out=scale)
            scale += 1e-8
            np.multiply(rate, np.divide(m, mean, out=change), out=change)
            p -= np.divide(change, scale, out=change)
