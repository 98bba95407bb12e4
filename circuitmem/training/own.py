"""User-defined networks that ask for products: load the one that ``[network] model`` names, and check it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import NetworkSpec, RunSpec
from circuitmem.config.recipe import split_step
from circuitmem.data import Dataset
from circuitmem.errors import CircuitmemError, ValidationError
from circuitmem.network import Network, answer_digitally, kernels_of, positions
from circuitmem.registry import load, torch_room
from circuitmem.training.recipes import recipe_of
from circuitmem.validation import finite_array

__all__ = ["check_own_data", "check_own_run", "is_of_torch", "kernels_in", "own_network", "shapes_of"]

STEPS = ("program", "calibrate", "find-defects", "use-partners", "freeze-pairs", "train")
"""Steps that need nothing of a network but its weights, its products and, for training, its gradients."""


def own_network(network: NetworkSpec) -> Network | None:
    """Return the network that ``network.model`` names if it asks for products; None for layers and networks of torch.

    Raises
    ------
    ValidationError
        If it cannot be imported or made, or its weights are not matrices.
    """
    made = _made(network)
    return None if made is None else made.copy()


def is_of_torch(network: NetworkSpec) -> bool:
    """Say whether a network is one of torch: neither one of layers nor one that asks for products.

    Raises
    ------
    CircuitmemError
        If its model cannot be imported or made; if PyTorch is not installed, the error says so.
    """
    if network.model is None:
        return False
    try:
        return _made(network) is None
    except ValidationError:
        torch_room()
        raise


def shapes_of(network: NetworkSpec) -> tuple[tuple[int, ...], ...]:
    """Return inputs and outputs of each matrix of a network of layers, or of one that asks for products."""
    made = _made(network)
    return network.shapes if made is None else tuple(weights.shape for weights in made.weights)


def kernels_in(network: NetworkSpec) -> list[bool]:
    """Return which matrices of a network of layers are kernels; for one that asks for products this is unknown."""
    made = _made(network)
    return [many > 1 for many in positions(network)] if made is None else kernels_of(made)


@lru_cache(maxsize=1)
def _made(network: NetworkSpec) -> Network | None:
    """Return the network that its class makes; it is made only once, because making it may include training."""
    if network.model is None:
        return None
    found: Any = load(network.model, "network.model")
    if isinstance(found, type) and issubclass(found, Network):
        make: Any = found  # supposed to take no arguments
        try:
            found = make()
        except CircuitmemError:
            raise
        except Exception as error:  # a user's class may raise anything
            words = f"must be a class that is called without arguments; it raises {type(error).__name__}: {error}"
            raise ValidationError("network.model", words, network.model) from error
    if not isinstance(found, Network):
        return None
    for name in ("weights", "digital"):
        if getattr(network, name):
            rule = "must be left out: a network that asks brings its weights, and what is digital it does itself"
            raise ValidationError(f"network.{name}", rule, getattr(network, name))
    if not found.weights or any(np.ndim(own) != 2 or not np.size(own) for own in found.weights):
        shapes = [np.shape(own) for own in found.weights]
        raise ValidationError("network.model", "must have weights, each (inputs, outputs)", shapes)
    for name, parts in (("weights", found.weights), ("biases", found.biases)):
        parts[:] = [finite_array(f"network.model {name} {number}", own) for number, own in enumerate(parts)]
    return found


def check_own_run(spec: RunSpec, model: Network) -> None:
    """Refuse methods and settings of a run that a network that asks for products does not support.

    Raises
    ------
    ValidationError
        If a method, or a setting of training, needs more of a network than this one has.
    """
    trains = False
    for name in spec.methods:
        for step, _ in map(split_step, recipe_of(spec, name).steps):
            if step not in STEPS:
                rule = f"must not have {step}, which is for networks of layers: network.model asks for products"
                raise ValidationError("methods", rule, name)
            trains = trains or step == "train"
    if trains and type(model).gradients is Network.gradients:
        rule = "must have gradients(activities, error, ceilings), or methods must not train in situ"
        raise ValidationError("network.model", rule, spec.network.model)
    if trains and spec.in_situ.gradient == "adjoint" and not spec.chip.tile.cell.linear:
        rule = "must be read or ideal with a network.model that asks: it goes back through matrices, linear cells alone"
        raise ValidationError("in_situ.gradient", rule, "adjoint")
    if spec.in_situ.ranges != "fixed":
        raise ValidationError("in_situ.ranges", "must be fixed with network.model", spec.in_situ.ranges)
    if any(layer >= len(model.weights) for layer in spec.chip.defects.layers or ()):
        rule = f"must be < {len(model.weights)}, each"
        raise ValidationError("chip.defects.layers", rule, spec.chip.defects.layers)


def check_own_data(model: Network, data: Dataset) -> None:
    """Run a network that asks for products on two samples, and refuse invalid requests and outputs.

    Raises
    ------
    ValidationError
        If it asks for a matrix that it does not have, asks with vectors that do not fit, never asks for one of its
        matrices, or does not give an output for each sample and class, or value.
    """
    seen = [False] * len(model.weights)

    def see(matrix: int, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        if not 0 <= matrix < len(seen):
            raise ValidationError("network.model", f"must ask for matrices from 0 to {len(seen) - 1}", matrix)
        width = len(model.weights[matrix])
        if np.ndim(vectors) != 2 or np.shape(vectors)[1] != width:
            rule = f"must ask for matrix {matrix} with vectors (vectors, {width})"
            raise ValidationError("network.model", rule, np.shape(vectors))
        seen[matrix] = True
        return vectors

    samples = data.train_inputs[:2]
    outputs = answer_digitally(model.steps(samples), model.weights, see)
    if not all(seen):
        raise ValidationError("network.model", "must ask for every matrix; it never asks for", seen.index(False))
    wanted = len(samples), data.outputs
    if np.shape(outputs) != wanted:
        rule = f"must give {wanted} numbers, (samples, {data.task}), for {wanted[0]} samples"
        raise ValidationError("network.model", rule, np.shape(outputs))
