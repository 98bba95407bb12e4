"""Training on the chip: hardware forward pass, digital backward pass, two-pulse updates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import InSituSpec
from circuitmem.control import Process
from circuitmem.network import HardwareNetwork
from circuitmem.rng import Purpose, stream
from circuitmem.training.loss import cross_entropy

__all__ = ["Momentum", "train_epoch"]

Floats = NDArray[np.float64]


class Momentum:
    """Stochastic gradient descent with momentum on the digital core's weights, which the pulses then follow.

    Parameters
    ----------
    spec : InSituSpec
        Step size and momentum.
    network : HardwareNetwork
        The network to train.
    """

    def __init__(self, spec: InSituSpec, network: HardwareNetwork) -> None:
        self.spec = spec
        self.network = network
        model = network.model
        self.velocities = [np.zeros_like(p) for p in (*model.weights, *model.biases)]

    def state(self) -> dict[str, Any]:
        """Return what is kept from step to step, for a checkpoint."""
        return {"velocities": self.velocities}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned."""
        self.velocities = state["velocities"]

    def step(self, activities: list[Floats], error: Floats, rate: float) -> None:
        """Move weights and biases against the gradient; weights stay within what a pair can hold."""
        model = self.network.model
        weight_gradients, bias_gradients = model.gradients(activities, error)
        parameters = [*model.weights, *model.biases]
        gradients = [*weight_gradients, *bias_gradients]
        for parameter, velocity, gradient in zip(parameters, self.velocities, gradients, strict=True):
            velocity *= self.spec.momentum
            velocity -= rate * gradient
            parameter += velocity
        for layer, weights in zip(self.network.layers, model.weights, strict=True):
            limit = layer.mapping.largest_weight
            np.clip(weights, -limit, limit, out=weights)


def train_epoch(
    network: HardwareNetwork,
    optimiser: Momentum,
    images: Floats,
    labels: NDArray[np.int64],
    seed: int,
    epoch: int,
    losses: list[float] | None = None,
    after_batch: Callable[[], None] = lambda: None,
) -> Process:
    """Train for one pass over the digits, or what is left of it; returns the mean loss.

    Parameters
    ----------
    network : HardwareNetwork
        The network on its chip.
    optimiser : Momentum
        Keeps the velocities from epoch to epoch.
    images : (samples, inputs) ndarray
        Training inputs.
    labels : (samples,) ndarray of int
        Their classes.
    seed : int
        Seed of the order of the digits.
    epoch : int
        Which epoch, from 0.
    losses : list of float, optional
        Losses of the batches that are over; those that follow are appended.
    after_batch : callable
        Called after every batch, when its pulses have been given and nothing is under way.
    """
    spec = optimiser.spec
    deadband = network.chip.spec.programming.deadband
    order = stream(seed, Purpose.BATCHES, 1, epoch).permutation(len(images))
    batches = -(-len(images) // spec.batch)
    operations = 6 * sum(weights.size for weights in network.model.weights)
    losses = [] if losses is None else losses
    for index in range(len(losses), batches):
        chosen = order[index * spec.batch : (index + 1) * spec.batch]
        activities = yield from network.forward(images[chosen])
        loss, error = cross_entropy(activities[-1], labels[chosen])
        done = (epoch * batches + index) / (spec.epochs * batches)
        optimiser.step(activities, error, spec.learning_rate * (1.0 - 0.9 * done))
        yield from network.chip.compute(operations * len(chosen))
        yield from network.program(deadband)
        losses.append(loss)
        after_batch()
    return float(np.mean(losses))
