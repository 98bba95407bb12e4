"""A network cut in two: layers in front that stay as they are on the chip, and those behind, which are trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from circuitmem.control import Process
from circuitmem.network.digital import Perceptron

__all__ = ["Cut", "LayerCut"]

Floats = NDArray[np.float64]

AT_ONCE = 500
"""Inputs of a forward pass: a bound on memory."""


class Cut(Protocol):
    """The part of a network on a chip that lies behind some layers.

    Attributes
    ----------
    layers : sequence of int
        The layers behind the cut, by their numbers.
    model : Network
        These as a network of its own, whose inputs are what the layers in front give; its arrays are the network's.
    """

    layers: Sequence[int]
    model: Any

    def measure(self, inputs: NDArray[Any]) -> Process:
        """Return what the layers in front give on the chip for inputs, as ``model`` takes it, one entry a sample."""

    def vectors(self, measured: NDArray[Any]) -> list[Floats]:
        """Return what each layer behind the cut multiplies for what was measured."""


class LayerCut:
    """A network of layers, cut before one of them.

    Parameters
    ----------
    network : HardwareNetwork
        The network on its chip.
    model : Perceptron
        Its digital estimate.
    index : int
        The first layer behind the cut, > 0.
    """

    def __init__(self, network: Any, model: Perceptron, index: int) -> None:
        self._network, self._index = network, index
        self.layers: Sequence[int] = range(index, len(model.weights))
        self.model: Any = Perceptron(model.weights[index:], model.biases[index:], (None, *model.patches[index + 1 :]))

    def measure(self, inputs: NDArray[Any]) -> Process:
        """Return what the first layer behind the cut gets from those before it, (samples, inputs of the layer)."""
        found = []
        for start in range(0, len(inputs), AT_ONCE):
            activities = yield from self._network.forward(inputs[start : start + AT_ONCE])
            found.append(activities[self._index])
        return np.concatenate(found)

    def vectors(self, measured: NDArray[Any]) -> list[Floats]:
        """Return what each layer behind the cut multiplies for what was measured."""
        found: list[Floats] = self.model.activities(measured)[:-1]
        return found
