"""Training of the starting weights on a digital computer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import ExSituSpec, NetworkSpec
from circuitmem.network import Perceptron, patches_of
from circuitmem.rng import Purpose, stream
from circuitmem.training.adam import Adam
from circuitmem.training.loss import cross_entropy

__all__ = ["accuracy_percent", "initial_perceptron", "train_ex_situ"]

Floats = NDArray[np.float64]


def initial_perceptron(network: NetworkSpec, seed: int) -> Perceptron:
    """Draw starting weights (He et al., ICCV 2015: variance 2/inputs) and zero biases."""
    rng = stream(seed, Purpose.WEIGHTS)
    weights = [rng.standard_normal((m, n)) * np.sqrt(2.0 / m) for m, n in network.shapes]
    return Perceptron(weights, [np.zeros(n) for _, n in network.shapes], patches_of(network))


def train_ex_situ(
    spec: ExSituSpec,
    network: NetworkSpec,
    images: Floats,
    labels: NDArray[np.int64],
    seed: int,
    progress: Callable[[int, int], None],
) -> Perceptron:
    """Train with Adam (Kingma & Ba, ICLR 2015) and keep every weight within the layer's limit.

    Parameters
    ----------
    spec : ExSituSpec
        Epochs, batch, step size, weight limit.
    network : NetworkSpec
        Its layers.
    images : (samples, inputs) ndarray
        Training inputs.
    labels : (samples,) ndarray of int
        Their classes.
    seed : int
        Seed of weights and batches.
    progress : callable
        Called with (epochs done, epochs).
    """
    model = initial_perceptron(network, seed)
    parameters = [*model.weights, *model.biases]
    optimiser = Adam(parameters)
    batches = -(-len(images) // spec.batch)
    for epoch in range(spec.epochs):
        order = stream(seed, Purpose.BATCHES, 0, epoch).permutation(len(images))
        for start in range(0, len(images), spec.batch):
            chosen = order[start : start + spec.batch]
            activities = model.activities(images[chosen])
            _, error = cross_entropy(activities[-1], labels[chosen])
            weight_gradients, bias_gradients = model.gradients(activities, error)
            rate = spec.learning_rate * (1.0 - optimiser.steps / (spec.epochs * batches))
            optimiser.step(parameters, [*weight_gradients, *bias_gradients], rate)
            for weights in model.weights:
                limit = spec.weight_limit * weights.std()
                np.clip(weights, -limit, limit, out=weights)
        progress(epoch + 1, spec.epochs)
    return model


def accuracy_percent(predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Return the percentage of right answers."""
    return 100.0 * np.count_nonzero(predicted == labels) / len(labels)
