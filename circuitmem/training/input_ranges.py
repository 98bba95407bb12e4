"""Ranges of DACs that are learnt together with the weights in hardware-aware training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from circuitmem.network import HardwareLayer, Perceptron
from circuitmem.network.ask import Loss

__all__ = ["InputRanges"]

Floats = NDArray[np.float64]


class InputRanges:
    """The activity that the highest DAC code of each hidden layer stands for, as a trained parameter.

    The network is trained with activities as the DACs give them, clipped and rounded to the codes. Gradients pass the
    rounding as if it were not there (straight-through). The range itself follows the derivative of the rounded and
    clipped activities with respect to it (LSQ: Esser et al., ICLR 2020), which weighs the clipping of a narrow range
    against the coarse steps of a wide one by their effect on the loss. The trained parameter is the logarithm, which
    keeps a range above 0.

    Parameters
    ----------
    layers : sequence of HardwareLayer
        Layers whose present ranges are the initial ones. The first layer keeps its range, which is that of the data.
    levels : int
        Codes of a DAC, >= 2.
    """

    def __init__(self, layers: Sequence[HardwareLayer], levels: int) -> None:
        self._first = np.array([layer.input_scale for layer in layers])
        self._top = levels - 1
        self.logarithms = np.zeros(len(self._first))
        """The parameters, (layers,): logarithms of ranges relative to their initial values, 0 in the first layer."""

    @property
    def now(self) -> list[float]:
        """The activity that the highest code of each layer stands for."""
        return [float(own) for own in self._first * np.exp(self.logarithms)]

    def enter(self, layer: int, vectors: Floats) -> Floats:
        """Return vectors (vectors, inputs) of a layer as its DACs give them: clipped and rounded."""
        step = self.now[layer] / self._top
        return np.asarray(np.rint(np.clip(vectors / step, 0.0, self._top)) * step)

    def loss_gradients(
        self, model: Perceptron, inputs: Floats, loss: Loss
    ) -> tuple[float, list[Floats], list[Floats], Floats]:
        """Return the loss, and its gradients with respect to weights, biases and :attr:`logarithms`.

        Parameters
        ----------
        model : Perceptron
            The network.
        inputs : (samples, inputs) ndarray
            Inputs of the network.
        loss : callable
            Called with the outputs; returns their loss and its gradient with respect to them.
        """
        exact: list[Floats] = []
        ranges, found = self.now, np.zeros_like(self.logarithms)

        def enter(layer: int, vectors: Floats) -> Floats:
            exact.append(vectors)
            return self.enter(layer, vectors)

        def passes(layer: int, behind: Floats) -> Floats:
            given, cut = exact[layer], exact[layer] >= ranges[layer]
            by_range = np.where(cut, ranges[layer], activities[layer] - given)
            found[layer] = np.vdot(behind, by_range)
            return behind * ((given > 0.0) & ~cut)

        activities = model.activities(inputs, enter)
        value, error = loss(activities[-1])
        return value, *model.gradients(activities, error, passes=passes), found
