"""A network cut in two: layers in front stay as they are on the chip, and layers behind the cut are trained."""

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
"""Inputs per forward pass, to bound the memory."""


class Cut(Protocol):
    """The part of a network on a chip that lies behind some layers.

    Attributes
    ----------
    layers : sequence of int
        The layers behind the cut, by their numbers.
    model : Network
        These layers as a network whose inputs are the outputs of the layers in front; it shares the network's arrays.
    """

    layers: Sequence[int]
    model: Any

    def measure(self, inputs: NDArray[Any]) -> Process:
        """Return the outputs of the layers in front on the chip, one entry per sample, in the form ``model`` takes."""

    def vectors(self, measured: NDArray[Any]) -> list[Floats]:
        """Return the vectors that each layer behind the cut multiplies, given what was measured."""


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
        """Return the measured inputs of the first layer behind the cut, (samples, inputs of the layer)."""
        found = []
        for start in range(0, len(inputs), AT_ONCE):
            activities = yield from self._network.forward(inputs[start : start + AT_ONCE])
            found.append(activities[self._index])
        return np.concatenate(found)

    def vectors(self, measured: NDArray[Any]) -> list[Floats]:
        """Return the vectors that each layer behind the cut multiplies, given what was measured."""
        found: list[Floats] = self.model.activities(measured)[:-1]
        return found
