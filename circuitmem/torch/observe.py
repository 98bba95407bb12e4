"""Inputs of the layers of a network on tiles, observed while its digital twin or the network itself runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from circuitmem.errors import CircuitmemError, ValidationError
from circuitmem.rng import Purpose, stream_key
from circuitmem.torch.module import CrossbarModule

__all__ = [
    "crossbar_layers", "digitally", "drawing", "evaluating", "fitting", "observe", "taking", "vectors_of", "watched",
]  # fmt: skip


def crossbar_layers(module: torch.nn.Module) -> dict[str, CrossbarModule]:
    """Return the layers of a module that are on tiles, by name, each once.

    Raises
    ------
    ValidationError
        If there is none.
    """
    found = {name: layer for name, layer in module.named_modules() if isinstance(layer, CrossbarModule)}
    if not found:
        raise ValidationError("module", "must have layers on tiles, as convert() makes them", type(module).__name__)
    return found


@contextmanager
def digitally(module: torch.nn.Module) -> Iterator[None]:
    """Let all crossbar layers of a module multiply by their weights in torch, not on tiles, within this block."""
    layers = list(crossbar_layers(module).values())
    before = [layer.digital for layer in layers]
    for layer in layers:
        layer.digital = True
    try:
        yield
    finally:
        for layer, was in zip(layers, before, strict=True):
            layer.digital = was


@contextmanager
def drawing(seed: int) -> Iterator[None]:
    """Let modules draw random numbers from a seed within this block; the generator of the caller stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_key(seed, Purpose.TEST)[0] % 2**63)
        yield


@contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Put a module in ``eval()``, without gradients, within this block; each part of it then returns to its mode."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def watched(module: torch.nn.Module, before: Any, after: Any = None) -> Iterator[None]:
    """Call ``before(name, layer, inputs)`` ahead of each crossbar layer within this block, and ``after`` behind it."""
    handles = []
    for name, layer in crossbar_layers(module).items():

        def ahead(layer: Any, inputs: Any, name: str = name) -> None:
            before(name, layer, inputs[0])

        def behind(layer: Any, inputs: Any, _: Any, name: str = name) -> None:
            after(name, layer, inputs[0])

        handles.append(layer.register_forward_pre_hook(ahead))
        if after is not None:
            handles.append(layer.register_forward_hook(behind))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def fitting(model: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Return inputs with floating-point numbers converted to the type that a network computes in."""
    kinds = [each.dtype for each in model.parameters() if each.is_floating_point()]
    return tuple(each.to(kinds[0]) if kinds and each.is_floating_point() else each for each in inputs)


@contextmanager
def taking(inputs: tuple[torch.Tensor, ...]) -> Iterator[None]:
    """Turn an error of torch within this block into one line: that the network does not take its inputs."""
    try:
        yield
    except CircuitmemError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        shapes = " and ".join(str(tuple(each.shape)) for each in inputs)
        words = (str(error).splitlines() or [type(error).__name__])[0]
        if len(inputs) > 1:
            words += " (a tuple has one tensor for each argument of forward, no targets)"
        raise ValidationError("data", f"must be what the network takes, not of shape {shapes}: {words}") from error


def observe(
    module: torch.nn.Module,
    inputs: tuple[torch.Tensor, ...],
    see: Callable[[str, CrossbarModule, torch.Tensor], None],
) -> None:
    """Run the digital twin of a network once and call ``see`` with the inputs of each layer at each of its calls.

    Parameters
    ----------
    module : torch.nn.Module
        The network, on tiles.
    inputs : tuple of Tensor
        Its inputs.
    see : callable
        Called with name, layer, and inputs.

    Raises
    ------
    ValidationError
        If a layer is never used.
    """
    unused = dict(crossbar_layers(module))

    def look(name: str, layer: CrossbarModule, given: torch.Tensor) -> None:
        unused.pop(name, None)
        see(name, layer, given)

    with taking(inputs), digitally(module), evaluating(module), watched(module, look):
        module(*inputs)
    if unused:
        raise ValidationError(f"{next(iter(unused))}.weight", "is never used with the sample inputs")


def vectors_of(
    module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], most: int, rng: np.random.Generator
) -> dict[CrossbarModule, list[NDArray[np.float64]]]:
    """Return the vectors that each layer multiplies for inputs: for each group of outputs, (vectors, inputs of it).

    If there are more than ``most`` vectors, ``most`` of them are chosen at random.

    Raises
    ------
    ValidationError
        If a layer is never used.
    """
    found: dict[CrossbarModule, list[list[NDArray[np.float64]]]] = {}

    def see(_: str, layer: CrossbarModule, given: torch.Tensor) -> None:
        found.setdefault(layer, []).append(layer.some_vectors(given, lambda count: _some(count, most, rng)))

    observe(module, inputs, see)
    vectors = {}
    for layer in crossbar_layers(module).values():
        every = [np.concatenate(calls) for calls in zip(*found[layer], strict=True)]
        chosen = _some(len(every[0]), most, rng)
        vectors[layer] = [own[chosen] for own in every]
    return vectors


def _some(count: int, most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return at most ``most`` of ``count`` places, chosen at random, in ascending order."""
    return np.arange(count) if count <= most else np.sort(rng.permutation(count)[:most])
