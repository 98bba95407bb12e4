"""Networks of layers: the products that they ask for, and their derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuitmem.errors import ValidationError
from circuitmem.network.ask import Ask, Enter, Loss, Network, Steps
from circuitmem.network.patches import Patches

__all__ = ["Perceptron", "of_layers"]

Floats = NDArray[np.float64]

VECTORS = 8192
"""Vectors that a layer processes at once where an image gives many, to bound the memory."""


@dataclass
class Perceptron(Network):
    """A multi-layer perceptron with ReLU hidden layers, some of which may slide over maps: convolutions.

    Attributes
    ----------
    weights : list of (inputs, outputs) ndarray
        One matrix a layer.
    biases : list of (outputs,) ndarray
        One vector a layer; the digital core adds them.
    patches : sequence of Patches or None
        Pooling and patches before each layer; None if it takes the previous output directly, as all do when left out.
    """

    patches: tuple[Patches | None, ...] = ()

    def __post_init__(self) -> None:
        self.patches = self.patches or (None,) * len(self.weights)

    @property
    def inputs(self) -> int:
        """Number of elements of an input of the network."""
        first = self.patches[0]
        return len(self.weights[0]) if first is None else first.side**2 * first.channels

    @property
    def positions(self) -> list[int]:
        """Vectors that each layer multiplies for one input of the network."""
        return [1 if between is None else between.positions for between in self.patches]

    def gather(self, layer: int, values: Floats) -> Floats:
        """Return the vectors of a layer, before the ReLU, from the sums of the previous layer or from the inputs."""
        between = self.patches[layer]
        return values if between is None else between.gather(values)

    def scatter(self, layer: int, errors: Floats) -> Floats:
        """Return the derivative by the sums of the previous layer, given the derivative by the vectors of a layer."""
        between = self.patches[layer]
        return errors if between is None else between.scatter(errors)

    def check(self, inputs: Floats) -> None:
        """Refuse inputs that are not finite or not of the network's width, and an empty batch."""
        width = self.inputs
        if inputs.ndim != 2 or not len(inputs) or inputs.shape[1] != width:
            rule = f"must have shape (batch, {width}), with at least one sample"
            raise ValidationError("inputs", rule, inputs.shape)
        super().check(inputs)

    @property
    def signed(self) -> bool:
        """False: hidden activities come from a ReLU, and inputs are meant to be >= 0."""
        return False

    def steps(self, inputs: Floats) -> Steps:
        """Ask for the product of each layer with its vectors, and return the logits.

        The vectors are (batch·positions, inputs of the layer); those of a dense layer are the activities before it.
        """
        sums = inputs
        for layer, bias in enumerate(self.biases):
            # The additions of pooling are digital.
            operations = sums.size if layer and self.patches[layer] is not None else 0
            vectors = self.gather(layer, sums)
            (products,) = yield Ask([(layer, np.maximum(vectors, 0.0) if layer else vectors)], operations)
            sums = products + bias
        return sums

    def at_once(self, batch: int) -> int:
        """Return how many of ``batch`` inputs should be processed at once."""
        most = max(self.positions)
        return batch if most == 1 else max(1, min(batch, VECTORS // most))

    def gradients(
        self,
        activities: list[Floats],
        error: Floats,
        ceilings: Sequence[float] = (),
        passes: Enter | None = None,
    ) -> tuple[list[Floats], list[Floats]]:
        """Back-propagate ``error``, dLoss/dlogits (batch, outputs), with these weights through measured activities.

        A hidden unit passes the error on if it is active and below the ceiling, if any, of the layer that it feeds:
        clipped activities do not depend on the weights. Returns the gradients of the weights and of the biases.

        If ``passes`` is given it replaces this rule: it is called with a layer and the derivative with respect to the
        vectors that the layer multiplied, and returns the derivative with respect to the sums before the ReLU.
        """
        weights: list[Floats] = []
        biases: list[Floats] = []
        for layer in range(len(self.weights) - 1, -1, -1):
            weights.insert(0, activities[layer].T @ error)
            biases.insert(0, error.sum(axis=0))
            if not layer:
                break
            behind = error @ self.weights[layer].T
            if passes is None:
                follows = activities[layer] > 0.0
                if ceilings:
                    follows &= activities[layer] < ceilings[layer]
                behind *= follows
            else:
                behind = passes(layer, behind)
            error = self.scatter(layer, behind)
        return weights, biases

    def squared_gradients(self, inputs: Floats, loss: Loss) -> list[Floats]:
        """Return the mean over the samples of each weight's squared gradient, (inputs, outputs) for each layer.

        Parameters are those of :meth:`loss_gradients`.
        """
        count = len(inputs)
        activities = self.activities(inputs)
        error = loss(activities[-1])[1] * count
        found: list[Floats] = []
        for layer in range(len(self.weights) - 1, -1, -1):
            if self.positions[layer] == 1:
                squares = (activities[layer] ** 2).T @ error**2
            else:  # the gradient of a sample is a sum over the patches
                patches, errors = (each.reshape(count, -1, each.shape[1]) for each in (activities[layer], error))
                squares = np.square(patches.transpose(0, 2, 1) @ errors).sum(axis=0)
            found.insert(0, squares / count)
            if layer:
                error = self.scatter(layer, (error @ self.weights[layer].T) * (activities[layer] > 0.0))
        return found


def of_layers(model: Network, what: str) -> Perceptron:
    """Return the network if it is a network of layers.

    Raises
    ------
    ValidationError
        If it is not; the message names ``what``, which needs such a network.
    """
    if not isinstance(model, Perceptron):
        raise ValidationError("network.model", f"must be left out: {what} goes back through networks of layers alone")
    return model
