"""The digital twin of the network: the same layers in floating point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Perceptron"]

Floats = NDArray[np.float64]


@dataclass
class Perceptron:
    """A multi-layer perceptron with ReLU hidden layers.

    Attributes
    ----------
    weights : list of (inputs, outputs) ndarray
        One matrix a layer.
    biases : list of (outputs,) ndarray
        One vector a layer; the digital core adds them.
    """

    weights: list[Floats]
    biases: list[Floats]

    def activities(self, inputs: Floats) -> list[Floats]:
        """Return the activities of all layers, inputs first, for inputs (batch, inputs); the last are logits."""
        found = [inputs]
        for layer, (weights, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            sums = found[-1] @ weights + bias
            found.append(sums if layer == len(self.weights) - 1 else np.maximum(sums, 0.0))
        return found

    def gradients(self, activities: list[Floats], error: Floats) -> tuple[list[Floats], list[Floats]]:
        """Back-propagate ``error``, dLoss/dlogits (batch, outputs), with these weights through measured activities.

        A hidden unit passes the error where it is active. Returns gradients of the weights and of the biases.
        """
        weights: list[Floats] = []
        biases: list[Floats] = []
        for layer in range(len(self.weights) - 1, -1, -1):
            weights.insert(0, activities[layer].T @ error)
            biases.insert(0, error.sum(axis=0))
            if layer:
                error = (error @ self.weights[layer].T) * (activities[layer] > 0.0)
        return weights, biases

    def copy(self) -> Perceptron:
        """Return an independent copy."""
        return Perceptron([w.copy() for w in self.weights], [b.copy() for b in self.biases])
