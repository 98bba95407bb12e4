"""State of a network on tiles and of its optimiser for a checkpoint: arrays and plain values, no code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from circuitmem.errors import ValidationError
from circuitmem.torch.observe import crossbar_layers

__all__ = ["as_array", "network_state", "optimiser_state", "restore_network", "restore_optimiser"]

WIDER = {torch.bfloat16: torch.float32}
"""Types that NumPy does not know, and wider ones that hold all their values."""


def as_array(tensor: torch.Tensor) -> NDArray[Any]:
    """Return a tensor as an array of its own, with all its bits."""
    plain = tensor.detach().cpu()
    return np.array(plain.to(WIDER.get(plain.dtype, plain.dtype)).numpy())


def network_state(net: torch.nn.Module) -> dict[str, Any]:
    """Return what changes while a network on tiles is used and trained; its chip has a state of its own."""
    return {
        "values": {name: as_array(own) for name, own in _values(net)},
        "products": [product.state() for layer in crossbar_layers(net).values() for product in layer.products],
    }


def restore_network(net: torch.nn.Module, state: Mapping[str, Any]) -> None:
    """Go back to what :func:`network_state` returned."""
    with torch.no_grad():
        for name, own in _values(net):
            own.copy_(torch.from_numpy(state["values"][name]).reshape(own.shape))
    products = [product for layer in crossbar_layers(net).values() for product in layer.products]
    for product, kept in zip(products, state["products"], strict=True):
        product.restore(kept)


def _values(net: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Give parameters and buffers, including those that a ``state_dict`` leaves out."""
    yield from net.named_parameters()
    yield from net.named_buffers()


def optimiser_state(optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """Return what an optimiser keeps from step to step, and its settings.

    Raises
    ------
    ValidationError
        If it keeps anything but tensors and plain values.
    """
    state = optimiser.state_dict()
    kept = [[index, _plain(own)] for index, own in state["state"].items()]
    return {"state": kept, "groups": [_plain(group) for group in state["param_groups"]]}


def restore_optimiser(optimiser: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Go back to what :func:`optimiser_state` returned, with a fresh optimiser of the same kind."""
    groups = optimiser.state_dict()["param_groups"]
    found = [
        {name: _like(own[name], value) for name, value in group.items()}
        for own, group in zip(groups, state["groups"], strict=True)
    ]
    kept = {index: {name: _like(None, value) for name, value in own.items()} for index, own in state["state"]}
    optimiser.load_state_dict({"state": kept, "param_groups": found})


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return as_array(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    rule = "must keep nothing but tensors and plain values from step to step, for a run writes them down"
    raise ValidationError("optimiser", rule, type(value).__name__)


def _like(own: Any, value: Any) -> Any:
    """Return a value that was written down in the type that it had before."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, list):
        found = [_like(None, item) for item in value]
        return tuple(found) if isinstance(own, tuple) else found
    return value
