"""The protocol of networks: a network asks for products of vectors with its matrices, and does not know who answers.

A network is written once, as a generator: it yields an :class:`Ask` and is sent the products. :func:`on_chip` answers
from tiles, in simulated time; :func:`answer_digitally` answers from the weights themselves. Whatever runs a
network uses one of the two: the choice of ranges and calibration vectors, training on a computer and on the chip, and
requests side by side.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from circuitmem.control import Chip, Priority, Process
from circuitmem.errors import ValidationError
from circuitmem.validation import finite_array

__all__ = ["Ask", "Enter", "Loss", "Network", "Steps", "answer_digitally", "as_it_is", "halves_of", "joined", "on_chip"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ask:
    """A request of a network for products.

    Parameters
    ----------
    products : sequence of (int, ndarray)
        Number of each matrix, and its vectors (vectors, inputs); a chip computes all products at the same time.
    operations : int
        Operations of the digital core since the last ask; the core is booked for them before the products.
    """

    products: Sequence[tuple[int, Floats]]
    operations: int = 0


Loss = Callable[[Floats], tuple[float, Floats]]
"""Called with outputs (samples, outputs); returns the mean loss and its gradient with respect to the outputs."""

Steps = Generator[Ask, list[Floats], Floats]
"""A forward pass: yields asks, is sent the products of each, and returns the outputs (samples, outputs)."""

LayerProduct = Callable[[int, Floats], Process]
"""Called with a matrix number and vectors (vectors, inputs); returns (vectors, outputs), in simulated time."""

Enter = Callable[[int, Floats], Floats]
"""Called with a matrix number and vectors (vectors, inputs); returns the vectors that are multiplied instead."""


def on_chip(chip: Chip, steps: Steps, product: LayerProduct, priority: Priority = Priority.NORMAL) -> Process:
    """Compute on a chip the products that a network asks for; returns the outputs.

    Parameters
    ----------
    chip : Chip
        The chip, whose clock and digital core are used.
    steps : generator
        Yields what it asks for (:class:`Ask`), is sent the products, and returns the outputs.
    product : callable
        Begins a product on tiles.
    priority : Priority
        Priority of the reads, for the chip's arbiter.
    """
    try:
        ask = next(steps)
        while True:
            if ask.operations:
                yield from chip.compute(ask.operations, priority)
            if len(ask.products) == 1:
                answers = [(yield from product(*ask.products[0]))]
            else:
                answers = yield from chip.together([product(*each) for each in ask.products])
            ask = steps.send(answers)
    except StopIteration as end:
        return end.value


def as_it_is(matrix: int, vectors: Floats) -> Floats:  # noqa: ARG001
    """Return the vectors unchanged."""
    return vectors


def answer_digitally(steps: Steps, weights: Sequence[Floats], enter: Enter = as_it_is) -> Floats:
    """Compute from the weights the products that a network asks for; returns the outputs.

    Parameters
    ----------
    steps : generator
        The forward pass.
    weights : sequence of (inputs, outputs) ndarray
        The matrices.
    enter : callable
        Applied to vectors before they are multiplied, as converters would be; nothing when left out.
    """
    try:
        ask = next(steps)
        while True:
            entered = [(matrix, enter(matrix, vectors)) for matrix, vectors in ask.products]
            ask = steps.send([vectors @ weights[matrix] for matrix, vectors in entered])
    except StopIteration as end:
        found: Floats = end.value
        return found


@dataclass
class Network(ABC):
    """A network that asks for products: its matrices, and :meth:`steps`, which requests products with them.

    A subclass calls ``super().__init__(weights)`` and implements :meth:`steps`. If it also implements
    :meth:`gradients` it can be trained on the chip.

    Parameters
    ----------
    weights : list of (inputs, outputs) ndarray
        The matrices that lie on tiles.
    biases : list of ndarray
        The other trained parameters, of any shape; they are held by the digital core.
    """

    weights: list[Floats]
    biases: list[Floats] = field(default_factory=list)

    @abstractmethod
    def steps(self, inputs: Floats) -> Steps:
        """Ask for the products that inputs (samples, inputs) need, and return the outputs (samples, outputs)."""

    def gradients(
        self,
        activities: list[Floats],  # noqa: ARG002
        error: Floats,  # noqa: ARG002
        ceilings: Sequence[float] = (),  # noqa: ARG002
    ) -> tuple[list[Floats], list[Floats]]:
        """Back-propagate ``error``, dLoss/doutputs (samples, outputs), with these weights through measured activities.

        Parameters
        ----------
        activities : list of ndarray
            What :meth:`activities` returns, computed by a chip.
        error : (samples, outputs) ndarray
            Derivative of the loss with respect to the outputs.
        ceilings : sequence of float
            For each matrix, the activity at which its vectors were clipped; no clipping when left out.

        Returns
        -------
        weights, biases : list of ndarray
            Derivatives of the loss with respect to each.

        Raises
        ------
        ValidationError
            If the network does not implement it; such a network cannot be trained.
        """
        raise ValidationError("network.model", "must have gradients(activities, error, ceilings) to be trained")

    def loss_gradients(self, inputs: Floats, loss: Loss) -> tuple[float, list[Floats], list[Floats]]:
        """Return the loss of inputs (samples, inputs) and its gradients with respect to weights and biases."""
        activities = self.activities(inputs)
        found, error = loss(activities[-1])
        return found, *self.gradients(activities, error)

    def squared_gradients(self, inputs: Floats, loss: Loss) -> list[Floats]:  # noqa: ARG002
        """Return the mean over the samples of each weight's squared gradient.

        Raises
        ------
        ValidationError
            If the network does not implement it; weights cannot be placed by their gradients then.
        """
        raise ValidationError("network.model", "must be left out: remapping goes back through networks of layers alone")

    def check(self, inputs: Floats) -> None:
        """Raise :class:`ValidationError` if the network does not take such inputs."""
        if inputs.ndim != 2 or not len(inputs):
            raise ValidationError("inputs", "must have shape (batch, inputs), with at least one sample", inputs.shape)
        finite_array("inputs", inputs, copy=False)

    @property
    def signed(self) -> bool:
        """Whether vectors with negative elements are read in two halves; else these saturate at 0 and are counted."""
        return True

    def activities(self, inputs: Floats, enter: Enter = as_it_is) -> list[Floats]:
        """Return the vectors that each matrix multiplies for inputs (samples, inputs), and the outputs last.

        For a matrix that is asked for several times these are all its vectors, in the order of the asks. They are as
        ``enter`` returns them (:func:`answer_digitally`).
        """
        seen: list[list[Floats]] = [[] for _ in self.weights]

        def note(matrix: int, vectors: Floats) -> Floats:
            seen[matrix].append(enter(matrix, vectors))
            return seen[matrix][-1]

        outputs = answer_digitally(self.steps(inputs), self.weights, note)
        return [*map(joined, seen), outputs]

    def logits(self, inputs: Floats, enter: Enter = as_it_is) -> Floats:
        """Return the outputs, (samples, outputs), of inputs (samples, inputs); ``enter``: :func:`answer_digitally`."""
        size = self.at_once(len(inputs))
        parts = (inputs[k : k + size] for k in range(0, len(inputs), size))
        return np.concatenate([answer_digitally(self.steps(part), self.weights, enter) for part in parts])

    def at_once(self, batch: int) -> int:
        """Return how many of ``batch`` inputs should be processed at once."""
        return batch

    def vectors(self, inputs: Floats, rng: np.random.Generator) -> list[Floats]:
        """Return the vectors to read for every matrix: of each input its only vector, or one drawn at random.

        If the network is :attr:`signed`, vectors with negative elements are read in two halves, and both are included.
        """
        found = []
        for activities in self.activities(inputs)[:-1]:
            positions = len(activities) // len(inputs)
            if positions > 1:
                activities = activities[np.arange(len(inputs)) * positions + rng.integers(positions, size=len(inputs))]
            found.append(halves_of(activities) if self.signed else activities)
        return found

    def through(self, weights: list[Floats]) -> Self:
        """Return the same network with other weights."""
        return self.holding(weights, self.biases)

    def holding(self, weights: list[Floats], biases: list[Floats]) -> Self:
        """Return the same network with other weights and biases."""
        other = copy(self)
        other.weights, other.biases = weights, biases
        return other

    def copy(self) -> Self:
        """Return an independent copy."""
        return self.holding([own.copy() for own in self.weights], [own.copy() for own in self.biases])


def joined(parts: list[Floats]) -> Floats:
    """Return vectors of several asks as one batch."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def halves_of(vectors: Floats) -> Floats:
    """Return the vectors to be read: positive parts, and magnitudes of negative parts, without rows of zeros."""
    if not (vectors < 0.0).any():
        return vectors
    halves = [part[part.any(axis=1)] for part in (np.maximum(vectors, 0.0), np.maximum(-vectors, 0.0))]
    return np.concatenate(halves)
