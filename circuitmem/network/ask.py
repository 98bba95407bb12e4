"""The protocol of networks: one asks for products of vectors with its matrices, and who answers is another's business.

A network is written once, as a generator: it yields an :class:`Ask` and is sent the products. :func:`on_chip` answers
from tiles, in simulated time; :func:`answer_digitally` answers from the weights themselves. All that runs a network is
one of the two: ranges and calibration vectors, training on a computer and on the chip, requests side by side.
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
        Numbers of matrices, and the vectors (vectors, inputs) of each; on a chip all of them at the same time.
    operations : int
        Operations of the digital core since the last ask, which is booked for them first.
    """

    products: Sequence[tuple[int, Floats]]
    operations: int = 0


Loss = Callable[[Floats], tuple[float, Floats]]
"""Called with outputs (samples, outputs); returns the mean loss, and its gradient by them."""

Steps = Generator[Ask, list[Floats], Floats]
"""A forward pass: yields asks, is sent the products of each, and returns the outputs (samples, outputs)."""

LayerProduct = Callable[[int, Floats], Process]
"""Multiplies vectors (vectors, inputs) by the matrix of a number, in simulated time; returns (vectors, outputs)."""

Enter = Callable[[int, Floats], Floats]
"""What stands before the matrix of a number: called with vectors (vectors, inputs), returns what is multiplied."""


def on_chip(chip: Chip, steps: Steps, product: LayerProduct, priority: Priority = Priority.NORMAL) -> Process:
    """Compute the products that a network asks for on a chip; returns the outputs.

    Parameters
    ----------
    chip : Chip
        Its clock and digital core.
    steps : generator
        Yields what it asks for (:class:`Ask`), is sent the products, and returns the outputs.
    product : callable
        Begins a product on tiles.
    priority : Priority
        Of the reads, for the chip's arbiter.
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
    """Return vectors: nothing stands before a matrix."""
    return vectors


def answer_digitally(steps: Steps, weights: Sequence[Floats], enter: Enter = as_it_is) -> Floats:
    """Compute the products that a network asks for with its weights; returns the outputs.

    Parameters
    ----------
    steps : generator
        The forward pass.
    weights : sequence of (inputs, outputs) ndarray
        The matrices.
    enter : callable
        What stands before the matrices, as converters do; nothing when left out.
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

    A subclass of one's own calls ``super().__init__(weights)`` and writes :meth:`steps`. With :meth:`gradients` it can
    be trained on the chip, too.

    Parameters
    ----------
    weights : list of (inputs, outputs) ndarray
        The matrices that lie on tiles.
    biases : list of ndarray
        What else is trained: numbers of the digital core, of any shape.
    """

    weights: list[Floats]
    biases: list[Floats] = field(default_factory=list)

    @abstractmethod
    def steps(self, inputs: Floats) -> Steps:
        """Ask for what the outputs (samples, outputs) of inputs (samples, inputs) need, and return them."""

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
            What :meth:`activities` returns, as a chip has computed it.
        error : (samples, outputs) ndarray
            Derivative of the loss by the outputs.
        ceilings : sequence of float
            For each matrix, the activity at which its vectors were clipped; no clipping when left out.

        Returns
        -------
        weights, biases : list of ndarray
            Derivatives by each.

        Raises
        ------
        ValidationError
            If the network does not say how: then it cannot be trained.
        """
        raise ValidationError("network.model", "must have gradients(activities, error, ceilings) to be trained")

    def loss_gradients(self, inputs: Floats, loss: Loss) -> tuple[float, list[Floats], list[Floats]]:
        """Return the loss of inputs (samples, inputs), and its gradients by the weights and by the biases."""
        activities = self.activities(inputs)
        found, error = loss(activities[-1])
        return found, *self.gradients(activities, error)

    def squared_gradients(self, inputs: Floats, loss: Loss) -> list[Floats]:  # noqa: ARG002
        """Return the mean square of the gradients that single samples have, by each weight.

        Raises
        ------
        ValidationError
            If the network does not say how: then nothing can be placed by it.
        """
        raise ValidationError("network.model", "must be left out: remapping goes back through networks of layers alone")

    def check(self, inputs: Floats) -> None:
        """Raise :class:`ValidationError` if inputs are not what the network takes."""
        if inputs.ndim != 2 or not len(inputs):
            raise ValidationError("inputs", "must have shape (batch, inputs), with at least one sample", inputs.shape)
        finite_array("inputs", inputs, copy=False)

    @property
    def signed(self) -> bool:
        """Whether vectors below 0 are read in two halves; else they are taken as 0, and counted as saturated."""
        return True

    def activities(self, inputs: Floats, enter: Enter = as_it_is) -> list[Floats]:
        """Return what is multiplied with each matrix for inputs (samples, inputs), and last the outputs.

        Of a matrix that is asked for several times all vectors, in the order of the asks; as ``enter`` returns them
        (:func:`answer_digitally`).
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
        """Return how many of ``batch`` inputs are best taken at once."""
        return batch

    def vectors(self, inputs: Floats, rng: np.random.Generator) -> list[Floats]:
        """Return what is read of every matrix for inputs, of each the only vector, or one at random.

        If the network is :attr:`signed` those with numbers below 0 are read in two halves, which are both there.
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
