"""What a network needs of a chip: tiles, cells, and the reads, time and energy of one inference."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from circuitmem.config import ChipSpec
from circuitmem.control import ATTOJOULE, PICOSECOND, Chip
from circuitmem.data import Dataset
from circuitmem.errors import ValidationError
from circuitmem.network import LayerSummary, NetworkSummary, cells_used, tiles_of, used_columns
from circuitmem.torch.bring_up import chip_of
from circuitmem.torch.convert import convert, inputs_of
from circuitmem.torch.module import CrossbarModule
from circuitmem.torch.observe import crossbar_layers, digitally, evaluating, fitting, observe, watched
from circuitmem.torch.product import numbers

__all__ = ["summary"]

MEASURED = 8
"""Inputs with which reads, time and energy are measured."""


def summary(
    model: torch.nn.Module,
    data: Any = None,
    chip: ChipSpec | Chip | str | os.PathLike[str] | None = None,
    seed: int = 0,
    *,
    digital: Sequence[str] = (),
) -> NetworkSummary:
    """Return what a network needs of a chip; nothing is programmed, and the network is left as it is.

    Reads, time and energy are not estimated: they are what forward passes on tiles book. They contain the converters,
    the array, and what the digital core does to the results of reads; norms, activations and pooling are not booked.

    Parameters
    ----------
    model : torch.nn.Module
        The network, or one that :func:`convert` has made.
    data : Tensor, array, tuple of them, data set of torch, or circuitmem.data.Dataset, optional
        Inputs as its ``forward`` takes them, a data set of torch that gives (inputs, target), or what
        :func:`circuitmem.data.load_dataset` returns. Without data there are no reads, time and energy.
    chip, seed, digital
        As in :func:`convert`; ignored if the network is on a chip already.

    Raises
    ------
    ValidationError
        As :func:`convert` does.
    """
    if not isinstance(model, torch.nn.Module):
        raise ValidationError("model", "must be a torch.nn.Module", type(model).__name__)
    inputs = None if data is None else fitting(model, inputs_of(_inputs(data)))
    if inputs is not None and not any(each.dim() and len(each) for each in inputs):
        raise ValidationError(
            "data", "must be a batch of one input at least", str([tuple(each.shape) for each in inputs])
        )
    if any(isinstance(module, CrossbarModule) for module in model.modules()):
        net = copy.deepcopy(model)
    else:
        net = convert(model, chip, None if isinstance(chip, Chip) else seed, sample=inputs, digital=digital)
    layers = {name: _layer(name, layer) for name, layer in crossbar_layers(net).items()}
    others = tuple(f"{name} ({type(module).__name__})" for name, module in _digital(net))
    every_part = [product.layer for layer in crossbar_layers(net).values() for product in layer.products]
    shared = sum(layer.tiles for layer in layers.values()) - tiles_of(every_part)
    if inputs is None:
        return NetworkSummary(tuple(layers.values()), others, shared=shared)
    few = tuple(each[:MEASURED] if each.dim() else each for each in inputs)
    count = next(len(each) for each in few if each.dim())
    on_tiles = _multiplications(net, few, layers, count)
    _measure(net, few, layers, count)
    with _decomposed(), digitally(net), evaluating(net), FlopCounterMode(display=False) as counter:
        net(*few)
    every = max(counter.get_total_flops() / 2, on_tiles)
    return NetworkSummary(tuple(layers.values()), others, round(every / count), on_tiles / every, shared)


def _inputs(data: Any) -> Any:
    """Return the inputs of a data set of torch as one batch; anything else as it is."""
    if isinstance(data, Dataset):
        return data.train_inputs[: 100 * MEASURED]
    if not isinstance(data, torch.utils.data.Dataset):
        return data
    size = getattr(data, "__len__", lambda: MEASURED)()
    items = [data[index] for index in range(min(size, 100 * MEASURED))]
    return torch.stack([torch.as_tensor(item[0] if isinstance(item, tuple | list) else item) for item in items])


def _layer(name: str, layer: CrossbarModule) -> LayerSummary:
    outputs, inputs = layer.matrices()[0].shape
    parts = [product.layer for product in layer.products]
    kind, tiles = type(layer).__name__.removeprefix("Crossbar"), tiles_of(parts)
    return LayerSummary(name, kind, inputs, outputs, len(parts), tiles, used_columns(parts), cells_used(parts))


def _digital(net: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    for name, module in net.named_modules():
        if not isinstance(module, CrossbarModule) and any(True for _ in module.parameters(recurse=False)):
            yield name, module


def _multiplications(
    net: torch.nn.Module, inputs: tuple[torch.Tensor, ...], layers: dict[str, LayerSummary], count: int
) -> int:
    """Note each layer's vectors and their sign; returns the multiplications by weights on tiles for all inputs."""
    products = 0

    def see(name: str, layer: CrossbarModule, given: torch.Tensor) -> None:
        nonlocal products
        values = [numbers(own, f"inputs of {name or 'the layer'}") for own in layer.vectors(given)]
        found = layers[name]
        vectors = (found.vectors or 0.0) + len(values[0]) / count
        signed = bool(found.signed) or any(bool((own < 0.0).any()) for own in values)
        layers[name] = replace(found, vectors=vectors, signed=signed)
        products += len(values[0]) * layer.weight.numel()

    observe(net, inputs, see)
    return products


def _measure(
    net: torch.nn.Module, inputs: tuple[torch.Tensor, ...], layers: dict[str, LayerSummary], count: int
) -> None:
    """Note what each layer books in a forward pass, per input of the network."""
    chip = chip_of(net)
    begun: list[tuple[int, int, int]] = []

    def booked() -> tuple[int, int, int]:
        account = chip.ledger.accounts.get("mac_read")
        return chip.clock, chip.ledger.total.energy, 0 if account is None else account.operations

    def before(*_: Any) -> None:
        begun.append(booked())

    def after(name: str, *_: Any) -> None:
        time, energy, reads = (now - then for now, then in zip(booked(), begun.pop(), strict=True))
        found = layers[name]
        layers[name] = replace(
            found,
            time_s=(found.time_s or 0.0) + time * PICOSECOND / count,
            energy_j=(found.energy_j or 0.0) + energy * ATTOJOULE / count,
            reads=(found.reads or 0.0) + reads / count,
        )

    for layer in crossbar_layers(net).values():
        for product in layer.products:
            product.warns = False  # the results are not used
    with evaluating(net):
        net(*inputs)  # chooses the gains of the amplifiers
        with watched(net, before, after):
            net(*inputs)


@contextmanager
def _decomposed() -> Iterator[None]:
    """Let torch compute recurrent layers by products that can be counted, not by one operation of a library."""
    with warnings.catch_warnings(action="ignore", category=UserWarning), torch.backends.mkldnn.flags(enabled=False):
        yield  # torch warns of its own switch
