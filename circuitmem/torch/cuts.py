"""A network of torch cut in two: outputs of layers on the chip are noted, and replayed while other layers train."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from circuitmem.control import Process
from circuitmem.errors import ValidationError
from circuitmem.network.ask import Loss
from circuitmem.rng import Purpose, stream
from circuitmem.torch.module import CrossbarModule
from circuitmem.torch.observe import crossbar_layers, digitally, evaluating, observe
from circuitmem.torch.twin import AT_ONCE, Twin

__all__ = ["Behind", "TorchCut", "check_cuts", "cuts_of"]

Floats = NDArray[np.float64]
Numbers = NDArray[np.intp]
Given = dict[CrossbarModule, list[torch.Tensor]]
"""Outputs of each layer, call by call."""


class Behind:
    """The layers behind a cut, as a network that takes numbers of measured samples as its inputs.

    Digital operations are computed anew, because they may be trained; layers in front of the cut replay their outputs.

    Parameters
    ----------
    twin : Twin
        The whole network.
    front : sequence of CrossbarModule
        Layers whose outputs are noted.
    layers : sequence of int
        Numbers of the matrices that are trained.
    """

    def __init__(self, twin: Twin, front: Sequence[CrossbarModule], layers: Sequence[int]) -> None:
        self.twin, self.front, self.layers = twin, front, layers
        self._inputs: list[NDArray[Any]] = []
        self._given: dict[CrossbarModule, list[list[torch.Tensor]]] = {}
        self._joined: tuple[NDArray[Any], Given] | None = None

    @property
    def weights(self) -> list[Floats]:
        """The matrices that are trained, the network's own arrays."""
        return [self.twin.weights[layer] for layer in self.layers]

    @property
    def biases(self) -> list[Floats]:
        """All other parameters."""
        return self.twin.biases

    def copy(self) -> Any:
        """Return copies of what is trained."""
        return SimpleNamespace(weights=[each.copy() for each in self.weights], biases=self.twin.copy().biases)

    def note(self, inputs: NDArray[Any], given: Given) -> None:
        """Note the outputs of the layers in front for inputs.

        Raises
        ------
        ValidationError
            If a layer was called more or less often than before.
        """
        for layer, calls in given.items():
            known = self._given.setdefault(layer, [[] for _ in calls])
            if len(known) != len(calls):
                calls_then_now = f"{len(known)} and {len(calls)}"
                rule = f"must not have fine-tune: layer {layer.label} is called {calls_then_now} times, by its inputs"
                raise ValidationError("methods", rule)
            for parts, own in zip(known, calls, strict=True):
                parts.append(own)
        self._inputs.append(inputs)
        self._joined = None

    @property
    def count(self) -> int:
        """Number of samples whose outputs are noted."""
        return sum(len(own) for own in self._inputs)

    @property
    def _known(self) -> tuple[NDArray[Any], Given]:
        if self._joined is None:
            given = {layer: [torch.cat(parts) for parts in calls] for layer, calls in self._given.items()}
            self._joined = np.concatenate(self._inputs), given
            self._inputs = [self._joined[0]]
            self._given = {layer: [[own] for own in calls] for layer, calls in given.items()}
        return self._joined

    @contextmanager
    def again(self, numbers: Numbers) -> Iterator[NDArray[Any]]:
        """Let the layers in front replay their outputs for samples within this block; yields the samples' inputs."""
        inputs, given = self._known
        chosen, calls = torch.from_numpy(numbers), dict.fromkeys(self.front, 0)

        def answer(layer: Any, _: Any, output: torch.Tensor) -> torch.Tensor:
            calls[layer] += 1
            return given[layer][calls[layer] - 1][chosen].to(output.dtype)

        with _hooked(self.front, answer):
            yield inputs[numbers]

    def loss_gradients(self, numbers: Numbers, loss: Loss) -> tuple[float, list[Floats], list[Floats]]:
        """Return the loss of samples, and its gradients by the trained matrices and by all other parameters."""
        with self.again(numbers) as inputs:
            found, weights, biases = self.twin.loss_gradients(inputs, loss)
        return found, [weights[layer] for layer in self.layers], biases

    def logits(self, numbers: Numbers) -> Floats:
        """Return the outputs, (samples, outputs), for samples."""
        found = []
        for start in range(0, len(numbers), AT_ONCE):
            with self.again(numbers[start : start + AT_ONCE]) as inputs:
                found.append(self.twin.logits(inputs))
        return np.concatenate(found)


class TorchCut:
    """A network of torch, cut in front of a layer on tiles: those before it in a forward pass stay as they are.

    Parameters
    ----------
    network : TorchNetwork
        The network on its chip.
    behind : set of CrossbarModule
        Layers that are trained.
    """

    def __init__(self, network: Any, behind: set[CrossbarModule]) -> None:
        self._network = network
        modules = list(crossbar_layers(network.net).values())
        owners = [module for module in modules for _ in module.products]
        self.layers: Sequence[int] = [number for number, module in enumerate(owners) if module in behind]
        front = [module for module in modules if module not in behind]
        self.model: Any = Behind(network.model, front, self.layers)

    def measure(self, inputs: NDArray[Any]) -> Process:
        """Note the outputs of the layers in front, on the chip, for inputs; returns the numbers of these samples."""
        model, first = self.model, self.model.count
        for start in range(0, len(inputs), AT_ONCE):
            part, given = inputs[start : start + AT_ONCE], Given()

            def note(layer: Any, _: Any, output: torch.Tensor, given: Given = given) -> None:
                given.setdefault(layer, []).append(output.detach())

            with _hooked(model.front, note):
                yield from self._network.forward(part)
            model.note(part, given)
        return np.arange(first, model.count)

    def vectors(self, measured: NDArray[Any]) -> list[Floats]:
        """Return vectors that each layer behind the cut multiplies: up to one per sample, chosen at random."""
        with self.model.again(measured) as inputs:
            every = self._network.model.vectors(inputs, stream(self._network.seed, Purpose.CALIBRATION))
        return [every[layer] for layer in self.layers]


def cuts_of(network: Any, inputs: NDArray[Any]) -> Iterator[TorchCut]:
    """Give a cut in front of each trained layer, but the first layer, of a network of torch on a chip, front to back.

    Layers come in the order of a forward pass with ``inputs``; those that share a parameter count as one.
    """
    order: dict[int, set[CrossbarModule]] = {}

    def see(_: str, layer: CrossbarModule, __: torch.Tensor) -> None:
        order.setdefault(id(layer.weight), set())

    observe(network.net, (network.model.tensor(inputs),), see)
    for layer in crossbar_layers(network.net).values():
        order[id(layer.weight)].add(layer)
    groups = list(order.values())
    for index in range(1, len(groups)):
        if any(layer.weight.requires_grad for layer in groups[index]):
            yield TorchCut(network, set().union(*groups[index:]))


def check_cuts(net: torch.nn.Module, inputs: torch.Tensor) -> None:
    """Refuse to cut a network unless the first axis of each output of its layers on tiles is that of the samples.

    Raises
    ------
    ValidationError
        If a layer has an output whose first axis is another.
    """

    def look(layer: Any, _: Any, output: torch.Tensor) -> None:
        if output.shape[0] != size:
            rule = f"must not have fine-tune: layer {layer.label} gives {tuple(output.shape)} for {size} samples"
            raise ValidationError("methods", f"{rule}, and samples must come first")

    with digitally(net), evaluating(net), _hooked(list(crossbar_layers(net).values()), look):
        for size in (1, min(2, len(inputs))):
            net(inputs[:size])


@contextmanager
def _hooked(layers: Sequence[CrossbarModule], hook: Callable[[Any, Any, Any], Any]) -> Iterator[None]:
    handles = [layer.register_forward_hook(hook) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
