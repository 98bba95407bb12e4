"""A network of torch as plain arrays: the digital core's own estimate of what is on the tiles."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from circuitmem.network import halves_of
from circuitmem.network.ask import Loss
from circuitmem.torch.observe import crossbar_layers, digitally, drawing, evaluating, taking, vectors_of
from circuitmem.torch.state import as_array

__all__ = ["AT_ONCE", "Twin"]

Floats = NDArray[np.float64]

AT_ONCE = 250
"""Inputs per forward pass, to bound the memory."""


class Twin:
    """Counterpart of :class:`circuitmem.network.Perceptron` for a network of torch on tiles.

    The arrays take precedence: they are copied to the parameters of the module before it is used. Off the chip the
    network is computed in ``eval()``: without dropout, and with its norms as they are.

    Parameters
    ----------
    net : torch.nn.Module
        From :func:`convert`.
    seed : int
        Seed of what its modules draw: each pass begins with the same draws.

    Attributes
    ----------
    weights : list of (inputs, outputs) ndarray
        A matrix for each group of outputs of each layer on tiles. Layers that share a parameter share the array.
    biases : list of ndarray
        All other parameters that are trained.
    """

    def __init__(self, net: torch.nn.Module, seed: int = 0) -> None:
        self.net, self._seed = net, seed
        self.weights: list[Floats] = []
        self.biases: list[Floats] = []
        self._layers = list(crossbar_layers(net).values())
        own = {id(layer.weight) for layer in self._layers}
        self._rest = [each for each in net.parameters() if each.requires_grad and id(each) not in own]
        self.pull()

    def pull(self) -> None:
        """Take over the values of the parameters."""
        known: dict[int, list[Floats]] = {}
        self.weights = []
        for layer in self._layers:
            if id(layer.weight) not in known:
                known[id(layer.weight)] = [np.ascontiguousarray(own.T) for own in layer.matrices()]
            self.weights += known[id(layer.weight)]
        self.biases = [as_array(each).astype(np.float64) for each in self._rest]

    def push(self) -> None:
        """Copy the arrays to the parameters, and round them as the type of the parameters does."""
        place = 0
        with torch.no_grad():
            for layer in self._layers:
                own = self.weights[place : place + len(layer.products)]
                place += len(own)
                matrix = np.concatenate([each.T for each in own])
                layer.weight.copy_(torch.from_numpy(matrix).reshape(layer.weight.shape))
                if layer.weight.dtype != torch.float64:
                    for each, rounded in zip(own, layer.matrices(), strict=True):
                        each[...] = rounded.T
            for parameter, array in zip(self._rest, self.biases, strict=True):
                parameter.copy_(torch.from_numpy(array).reshape(parameter.shape))
                if parameter.dtype != torch.float64:
                    array[...] = as_array(parameter)

    def gradients(self) -> tuple[list[Floats], list[Floats]]:
        """Return the gradients that ``backward()`` has left, of weights and of other parameters; 0 where there is none.

        If several layers share a parameter, the first of them gets the whole gradient.
        """
        weights: list[Floats] = []
        known: set[int] = set()
        for layer in self._layers:
            gradient, repeated = layer.weight.grad, id(layer.weight) in known
            known.add(id(layer.weight))
            if gradient is None or repeated:
                weights += [np.zeros((own.shape[1], own.shape[0])) for own in layer.matrices()]
            else:
                weights += [np.ascontiguousarray(own.T) for own in layer.matrices_of(gradient)]
        rest = [
            np.zeros(tuple(each.shape)) if each.grad is None else as_array(each.grad).astype(np.float64)
            for each in self._rest
        ]
        return weights, rest

    def tensor(self, inputs: NDArray[Any]) -> torch.Tensor:
        """Return inputs of the network in the type that it computes in."""
        kinds = (each.dtype for each in self.net.parameters() if each.is_floating_point())
        return torch.from_numpy(np.ascontiguousarray(inputs)).to(next(kinds, torch.get_default_dtype()))

    def through(self, weights: list[Floats]) -> Twin:
        """Return the same network with other weights."""
        other = copy(self)
        other.weights = weights
        return other

    def copy(self) -> Twin:
        """Return a copy with arrays of its own."""
        other = copy(self)
        other.weights, other.biases = ([each.copy() for each in own] for own in (self.weights, self.biases))
        return other

    def logits(self, inputs: NDArray[Any]) -> Floats:
        """Return the outputs, (samples, outputs), of inputs (samples, ...)."""
        self.push()
        found = []
        with digitally(self.net), evaluating(self.net), drawing(self._seed):
            for part in self.tensor(inputs).split(AT_ONCE):
                with taking((part,)):
                    found.append(self.net(part))
        return as_array(torch.cat(found)).astype(np.float64)

    def vectors(self, inputs: NDArray[Any], rng: np.random.Generator) -> list[Floats]:
        """Return the vectors to read for each matrix for these inputs, all >= 0.

        If there are more vectors than inputs, as many as inputs are chosen at random. Those of both signs give their
        positive parts and the magnitudes of their negative parts, as they are read.
        """
        self.push()
        with drawing(self._seed):
            every = vectors_of(self.net, (self.tensor(inputs),), len(inputs), rng)
        return [halves_of(own) for layer in self._layers for own in every[layer]]

    def loss_gradients(self, inputs: NDArray[Any], loss: Loss) -> tuple[float, list[Floats], list[Floats]]:
        """Return the loss of a batch, and its gradients by the weights and by the other parameters."""
        self.push()
        with digitally(self.net), evaluating(self.net), drawing(self._seed), torch.enable_grad():
            outputs = self.net(self.tensor(inputs))
            found, error = loss(as_array(outputs).astype(np.float64))
            self.net.zero_grad(set_to_none=True)
            outputs.backward(torch.from_numpy(error).to(outputs.dtype))
        return found, *self.gradients()

    def squared_gradients(self, inputs: NDArray[Any], loss: Loss) -> list[Floats]:
        """Return the mean over the samples of each weight's squared gradient."""
        error = loss(self.logits(inputs))[1] * len(inputs)
        squares = [np.zeros_like(each) for each in self.weights]
        with digitally(self.net), evaluating(self.net), drawing(self._seed), torch.enable_grad():
            for own, wanted in zip(self.tensor(inputs).split(1), error, strict=True):
                self.net.zero_grad(set_to_none=True)
                single = self.net(own)
                single.backward(torch.from_numpy(wanted[None]).to(single.dtype))
                for square, gradient in zip(squares, self.gradients()[0], strict=True):
                    square += gradient**2
        return [square / len(inputs) for square in squares]
