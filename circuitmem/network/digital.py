"""The digital twin of the network: the same layers in floating point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from circuitmem.network.patches import Patches

__all__ = ["Perceptron"]

Floats = NDArray[np.float64]

VECTORS = 8192
"""Vectors of a layer at once, where an image gives many: a bound on memory."""


@dataclass
class Perceptron:
    """A multi-layer perceptron with ReLU hidden layers, some of which may slide over maps: convolutions.

    Attributes
    ----------
    weights : list of (inputs, outputs) ndarray
        One matrix a layer.
    biases : list of (outputs,) ndarray
        One vector a layer; the digital core adds them.
    patches : sequence of Patches or None
        What lies before each layer; nothing when left out.
    """

    weights: list[Floats]
    biases: list[Floats]
    patches: tuple[Patches | None, ...] = ()

    def __post_init__(self) -> None:
        self.patches = self.patches or (None,) * len(self.weights)

    @property
    def inputs(self) -> int:
        """Numbers that an input of the network has."""
        first = self.patches[0]
        return len(self.weights[0]) if first is None else first.side**2 * first.channels

    @property
    def positions(self) -> list[int]:
        """Vectors that each layer multiplies for one input of the network."""
        return [1 if between is None else between.positions for between in self.patches]

    def gather(self, layer: int, values: Floats) -> Floats:
        """Return the vectors of a layer, before the ReLU, for the sums of the one before it, or for the inputs."""
        between = self.patches[layer]
        return values if between is None else between.gather(values)

    def scatter(self, layer: int, errors: Floats) -> Floats:
        """Return the derivative by the sums of the layer before, for that by the vectors of a layer."""
        between = self.patches[layer]
        return errors if between is None else between.scatter(errors)

    def activities(self, inputs: Floats) -> list[Floats]:
        """Return what each layer multiplies, for inputs (batch, inputs), and last the logits.

        Each is (batch·positions, inputs of the layer): what a dense layer multiplies are the activities before it.
        """
        found = [self.gather(0, inputs)]
        last = len(self.weights) - 1
        for layer, (weights, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            sums = found[-1] @ weights + bias
            found.append(sums if layer == last else np.maximum(self.gather(layer + 1, sums), 0.0))
        return found

    def logits(self, inputs: Floats) -> Floats:
        """Return the logits, (samples, outputs), of inputs (samples, inputs)."""
        size = self.at_once(len(inputs))
        return np.concatenate([self.activities(inputs[k : k + size])[-1] for k in range(0, len(inputs), size)])

    def at_once(self, batch: int) -> int:
        """Return how many of ``batch`` inputs are best taken at once."""
        most = max(self.positions)
        return batch if most == 1 else max(1, min(batch, VECTORS // most))

    def vectors(self, inputs: Floats, rng: np.random.Generator) -> list[Floats]:
        """Return as many vectors of every layer as there are inputs: from each the only one, or one at random."""
        found = []
        for activities, positions in zip(self.activities(inputs), self.positions, strict=False):
            if positions > 1:
                activities = activities[np.arange(len(inputs)) * positions + rng.integers(positions, size=len(inputs))]
            found.append(activities)
        return found

    def gradients(
        self, activities: list[Floats], error: Floats, ceilings: Sequence[float] = ()
    ) -> tuple[list[Floats], list[Floats]]:
        """Back-propagate ``error``, dLoss/dlogits (batch, outputs), with these weights through measured activities.

        A hidden unit passes the error where it is active and below the ceiling of the layer that it feeds, if that has
        one: clipped activities do not follow the weights. Returns gradients of the weights and of the biases.
        """
        weights: list[Floats] = []
        biases: list[Floats] = []
        for layer in range(len(self.weights) - 1, -1, -1):
            weights.insert(0, activities[layer].T @ error)
            biases.insert(0, error.sum(axis=0))
            if layer:
                follows = activities[layer] > 0.0
                if ceilings:
                    follows &= activities[layer] < ceilings[layer]
                error = self.scatter(layer, (error @ self.weights[layer].T) * follows)
        return weights, biases

    def through(self, weights: list[Floats]) -> Perceptron:
        """Return the same network with other weights."""
        return replace(self, weights=weights)

    def copy(self) -> Perceptron:
        """Return an independent copy."""
        return replace(self, weights=[w.copy() for w in self.weights], biases=[b.copy() for b in self.biases])
