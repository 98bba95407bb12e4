"""A network of torch on tiles: its matrices on one chip, everything else as it was."""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch

from circuitmem.config import ChipSpec, load_run
from circuitmem.control import Chip, check_faults, check_room
from circuitmem.errors import ValidationError
from circuitmem.network import tile_counts
from circuitmem.torch.conv import CrossbarConv1d, CrossbarConv2d
from circuitmem.torch.linear import CrossbarLinear
from circuitmem.torch.module import CrossbarModule, TileOptions
from circuitmem.torch.observe import fitting, observe
from circuitmem.torch.product import Backward, numbers
from circuitmem.torch.rewrites import REWRITTEN, rewritten
from circuitmem.torch.weights import check_shapes
from circuitmem.validation import did_you_mean, in_range, integer

__all__ = ["convert", "inputs_of", "prepared"]

MATRICES = (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d)
"""Types of modules that go on tiles, exactly these: a subclass may compute something else."""

ELEMENTWISE = (
    torch.nn.modules.batchnorm._NormBase,
    torch.nn.LayerNorm,
    torch.nn.RMSNorm,
    torch.nn.GroupNorm,
    torch.nn.PReLU,
)
"""Modules whose parameters multiply element by element, whatever their shape."""


def convert(
    model: torch.nn.Module,
    chip: ChipSpec | Chip | str | os.PathLike[str] | None = None,
    seed: int | None = None,
    *,
    sample: Any = None,
    digital: Sequence[str] = (),
    weight_range: float = 1.0,
    backward: Backward = "exact",
    read_noise: bool = True,
) -> torch.nn.Module:
    """Return a copy of a network whose ``Linear``, ``Conv1d`` and ``Conv2d`` modules are on the tiles of one chip.

    ``LSTM``, ``GRU`` and ``MultiheadAttention`` are rewritten with ``Linear`` modules first, which renames parameters.
    Biases, norms, activations and pooling stay digital. The copy is an ordinary module: any optimiser of torch trains
    it, its ``state_dict`` holds the chip, and its layers are :class:`CrossbarLinear`,
    :class:`CrossbarConv1d` and :class:`CrossbarConv2d`.

    Parameters
    ----------
    model : torch.nn.Module
        The network. It is left as it is.
    chip : ChipSpec, Chip, or path of a TOML file, optional
        The chip that all layers share; a file's chip is its table ``[chip]``; the default one when left out.
    seed : int, optional
        Seed of its fabrication and noise, drawn from torch's generator when left out; not allowed with a ``Chip``,
        which has its own.
    sample : Tensor, array or tuple of them, optional
        Inputs of the network, a tuple if its ``forward`` takes several, from which each layer's range of inputs is
        learnt. When left out, the first inputs that a layer gets decide the range.
    digital : sequence of str
        Names of modules to keep digital, as ``named_modules()`` has them; ``*`` stands for anything.
    weight_range : float
        The range of the devices of a layer, relative to its largest weight, >= 1. A larger range leaves weights room to
        grow in training, but makes all of them coarser.
    backward : {"exact", "straight-through"}
        As in :class:`CrossbarLinear`.
    read_noise : bool
        Whether reads have the noise of converters and cells.

    Raises
    ------
    ValidationError
        If there is nothing to put on tiles, a weight that ``digital`` does not name would stay digital, a layer is
        never used with the sample, or an argument breaks its rule.
    DataFileError
        If the file is not one of a run.
    """
    if not isinstance(model, torch.nn.Module):
        raise ValidationError("model", "must be a torch.nn.Module", type(model).__name__)
    in_range("weight_range", weight_range, 1.0, 1e6)
    net, chosen = prepared(model, digital)
    shared = _shared_chip(chip, seed)
    _check_room(net, chosen, shared)
    net = _replaced(net, chosen, shared, weight_range, backward, read_noise)
    check_faults(shared.spec, len(shared.units))
    if sample is not None:
        _set_scales(net, fitting(net, inputs_of(sample)))
    return net


def prepared(model: torch.nn.Module, digital: Sequence[str]) -> tuple[torch.nn.Module, list[str]]:
    """Return a copy of a network with a module for each matrix that goes on tiles, and the names of these.

    Raises
    ------
    ValidationError
        If there is nothing to put on tiles, a weight would stay digital without being named, or one is not finite or
        has no shape yet.
    """
    check_shapes(model)
    left = _left_digital(model, digital)
    for name, parameter in model.named_parameters():
        if parameter.layout != torch.strided:  # torch cannot copy such modules
            raise ValidationError(name, "must be dense", str(parameter.layout))
    net = _rewritten(copy.deepcopy(model), left)
    return net, _check(net, left)


def inputs_of(sample: Any) -> tuple[torch.Tensor, ...]:
    """Return the arguments of a network's forward pass: one tensor, or one for each entry of a tuple.

    Raises
    ------
    ValidationError
        If one cannot be converted to a tensor.
    """
    values = sample if isinstance(sample, tuple) else (sample,)
    try:
        tensors = tuple(torch.as_tensor(value) for value in values)
    except (TypeError, ValueError, RuntimeError):
        raise ValidationError(
            "sample", "must be a tensor or an array, or a tuple of them", type(sample).__name__
        ) from None
    # Arrays of NumPy are float64, and weights float32 as a rule.
    default = torch.get_default_dtype()
    return tuple(
        tensor.to(default) if tensor.is_floating_point() and not isinstance(value, torch.Tensor) else tensor
        for tensor, value in zip(tensors, values, strict=True)
    )


def _left_digital(model: torch.nn.Module, patterns: Sequence[str]) -> set[str]:
    """Return the names of modules that stay digital, including the modules within them."""
    if isinstance(patterns, str):
        raise ValidationError("digital", "must be a list of names of modules", patterns)
    names = [name for name, _ in model.named_modules(remove_duplicate=False) if name]
    left: set[str] = set()
    for pattern in patterns:
        found = [name for name in names if fnmatchcase(name, pattern)]
        if not found:
            rule = f"must name modules of the network; there is no {pattern}{did_you_mean(pattern, names)}"
            raise ValidationError("digital", rule)
        left.update(name for name in names for top in found if name == top or name.startswith(f"{top}."))
    return left


def _rewritten(net: torch.nn.Module, left: Collection[str]) -> torch.nn.Module:
    """Rewrite modules that are one operation in torch with ``Linear`` modules, in place; returns the network."""
    for name, module in list(net.named_modules(remove_duplicate=False)):
        if type(module) in REWRITTEN and name not in left:
            made = rewritten(name or "the network", module)
            if not name:
                return made
            parent, _, last = name.rpartition(".")
            setattr(net.get_submodule(parent), last, made)
    return net


def _check(model: torch.nn.Module, left: Collection[str]) -> list[str]:
    """Return the names of modules that go on tiles; raise if a weight would stay digital without being named."""
    chosen = []
    for name, module in model.named_modules(remove_duplicate=False):
        if name in left:
            continue
        shown = name or "the network"
        if isinstance(module, CrossbarModule):
            raise ValidationError("model", f"must have no layers on tiles yet: {shown} is a {type(module).__name__}")
        if type(module) in MATRICES:
            _check_matrix(shown, module)
            chosen.append(name)
        elif not isinstance(module, ELEMENTWISE):
            for own, parameter in module.named_parameters(recurse=False):
                if parameter.dim() >= 2:
                    full = f"{name}.{own}" if name else own
                    rule = f"must name what shall stay digital: {full} ({type(module).__name__}) cannot go on tiles"
                    raise ValidationError("digital", rule)
    if not chosen:
        raise ValidationError("model", "must have a Linear, Conv1d or Conv2d module that does not stay digital")
    return chosen


def _check_matrix(name: str, module: Any) -> None:
    hint = f"; name {name} in digital to keep it digital"
    if getattr(module, "padding_mode", "zeros") != "zeros":
        raise ValidationError(f"{name}.padding_mode", f"must be zeros on tiles{hint}", module.padding_mode)
    if not isinstance(module.weight, torch.nn.Parameter):
        raise ValidationError(f"{name}.weight", f"must be a parameter of its own on tiles{hint}")
    if not module.weight.is_floating_point():
        raise ValidationError(f"{name}.weight", f"must be real numbers on tiles{hint}", str(module.weight.dtype))
    if module._forward_hooks or module._forward_pre_hooks:
        raise ValidationError(name, f"must have no forward hooks on tiles{hint}")
    numbers(module.weight, f"{name}.weight")


def _check_room(net: torch.nn.Module, chosen: Sequence[str], chip: Chip) -> None:
    """Refuse a network whose tiles need more memory than there is, before any tile is made."""
    modules: list[Any] = list({id(own): own for own in map(net.get_submodule, chosen)}.values())
    groups = [getattr(own, "groups", 1) for own in modules]
    each = [(own.weight[0].numel(), len(own.weight) // many) for own, many in zip(modules, groups, strict=True)]
    shapes = [shape for shape, many in zip(each, groups, strict=True) for _ in range(many)]
    kernels = [own.weight.dim() > 2 for own, many in zip(modules, groups, strict=True) for _ in range(many)]
    check_room(chip.spec, len(chip.units) + sum(tile_counts(shapes, chip.spec, kernels)))


def _shared_chip(chip: ChipSpec | Chip | str | os.PathLike[str] | None, seed: int | None) -> Chip:
    if isinstance(chip, Chip):
        if seed is not None:
            raise ValidationError("seed", "must be left out where chip is a Chip, which has its own", seed)
        return chip
    spec = chip if isinstance(chip, ChipSpec) else load_run(chip).chip
    drawn = int(torch.randint(2**31, ())) if seed is None else integer("seed", seed, 0)
    return Chip(spec, 0, drawn, drawn)


def _replaced(
    net: torch.nn.Module,
    chosen: Sequence[str],
    chip: Chip,
    weight_range: float,
    backward: Backward,
    read_noise: bool,
) -> torch.nn.Module:
    """Put the chosen modules of a network on tiles, in place; returns the network, which may be one of them."""
    made: dict[int, CrossbarModule] = {}
    options: TileOptions = {"chip": chip, "input_scale": None, "backward": backward, "read_noise": read_noise}
    for name in chosen:
        module: Any = net.get_submodule(name)
        if isinstance(module, CrossbarModule):  # one module at two places
            continue
        layer = made.get(id(module))
        if layer is None:
            layer = made[id(module)] = _on_tiles(module, options, weight_range)
            layer.label = name
        parent, _, last = name.rpartition(".")
        if not name:
            return layer
        setattr(net.get_submodule(parent), last, layer)
    for module in _encoders(net):
        module.activation_relu_or_gelu = 0  # its fused path would use the weights without the tiles
    return net


def _on_tiles(module: Any, options: TileOptions, weight_range: float) -> CrossbarModule:
    bias = module.bias is not None
    layer: CrossbarModule
    with torch.random.fork_rng(devices=[]):  # the starting weights that it draws are not used
        if isinstance(module, torch.nn.Linear):
            layer = CrossbarLinear(module.in_features, module.out_features, bias, **options)
        else:
            names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
            sizes: dict[str, Any] = {name: getattr(module, name) for name in names}
            if isinstance(module, torch.nn.Conv1d):
                single = {name: value[0] if isinstance(value, tuple) else value for name, value in sizes.items()}
                layer = CrossbarConv1d(**single, bias=bias, **options)
            else:
                layer = CrossbarConv2d(**sizes, bias=bias, **options)
    layer.weight, layer.bias = module.weight, module.bias  # the parameters themselves, for some may be tied
    layer.train(module.training)
    for product, weights in zip(layer.products, layer.matrices(), strict=True):
        product.fit_range(weights, weight_range)
    return layer


def _encoders(net: torch.nn.Module) -> Iterator[Any]:
    for module in net.modules():
        if isinstance(module, torch.nn.TransformerEncoderLayer):
            yield module


def _set_scales(net: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
    """Learn each layer's range of inputs from a digital pass."""
    scales: dict[CrossbarModule, list[float]] = {}

    def see(_: str, layer: CrossbarModule, given: torch.Tensor) -> None:
        found = layer.scales(given)
        scales[layer] = [max(pair) for pair in zip(found, scales.get(layer, found), strict=True)]

    observe(net, inputs, see)
    for layer, own in scales.items():
        for product, scale in zip(layer.products, own, strict=True):
            product.set_input_scale(scale)
