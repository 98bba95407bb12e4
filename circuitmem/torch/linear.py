"""``torch.nn.Linear`` on tiles."""

from __future__ import annotations

from typing import Unpack

import torch

from circuitmem.network import HardwareLayer
from circuitmem.torch.module import CrossbarModule, TileOptions
from circuitmem.validation import integer

__all__ = ["CrossbarLinear"]


class CrossbarLinear(CrossbarModule):
    """``y = x W^T + b`` like ``torch.nn.Linear``, W on as many tiles as it needs.

    Whenever the weights have changed, cells are put in place without pulses and their noise; stuck ones stay as they
    are. The amplifiers' gains are then chosen anew with the next inputs. Inputs of both signs are read twice, the
    negative part by itself. Biases are digital.

    ``state_dict`` holds all that a reload needs to give the same bits. ``load_state_dict`` also takes the weights of a
    plain ``torch.nn.Linear``. Two forward passes differ by read noise, even in ``eval()``; see ``read_noise``.

    Parameters
    ----------
    in_features, out_features : int
        Size, >= 1.
    bias : bool
        Whether there is a bias.
    chip : ChipSpec or Chip, optional
        Specification of the layer's own chip, the default one when left out; or a chip that layers share, ``Chip(spec,
        0, seed=1)``: each takes tiles of its own from it, and they have one clock and one account of energy.
    seed : int, optional
        Seed of the fabrication and noise of the layer's own chip. When left out it is drawn from torch's generator as
        the weights are: ``torch.manual_seed`` repeats it, and two layers do not have the same stuck cells by accident.
    input_scale : float, optional
        Magnitude of input that the highest DAC code stands for, > 0; larger ones saturate, with a warning. With
        ``None`` it is the magnitude that one in a thousand of the first inputs exceeds.
    largest_weight : float, optional
        Magnitude of weight that uses the whole range of the devices, > 0; larger ones saturate, with a warning, and
        are refused by ``load_state_dict``. When left out it is four standard deviations of the weights at the first
        pass, or of weights loaded later, or the largest of them if that is more.
    backward : {"exact", "straight-through"}
        Whether gradients are those of the tiles as they are, wires and stuck cells included, or those of ``x W^T``.
    converters : bool
        Whether DACs and ADCs are simulated; without them the forward pass is smooth.
    read_noise : bool
        Whether reads have the noise of converters and cells. The attribute of that name can be set at any time, and
        :func:`set_read_noise` sets it for all layers of a model.

    Attributes
    ----------
    layer : HardwareLayer
        The tiles.
    chip : Chip
        The chip: its clock (``chip.now``) and its accounts (``chip.ledger``).

    Raises
    ------
    ValidationError
        If an argument breaks its rule, or an input is not finite or not of the size ``in_features``.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        **options: Unpack[TileOptions],
    ) -> None:
        super().__init__()
        self.in_features = integer("in_features", in_features, 1)
        self.out_features = integer("out_features", out_features, 1)
        linear = torch.nn.Linear(in_features, out_features, bias)
        self.weight, self.bias = linear.weight, linear.bias
        self._place(1, "in_features", options)

    @property
    def layer(self) -> HardwareLayer:
        """The tiles."""
        return self.products[0].layer

    def extra_repr(self) -> str:
        """Return what ``print`` shows of it."""
        size = f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        return f"{size}, {super().extra_repr()}"

    @torch.compiler.disable
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (..., out_features) for inputs (..., in_features). ``torch.compile`` does not compile it."""
        (vectors,) = self.vectors(inputs)
        if self.digital:
            return torch.nn.functional.linear(inputs, self.weight, self.bias)
        found = self._multiply(vectors, self.weight, self.products[0])
        shaped = found.reshape(*inputs.shape[:-1], self.out_features)
        return shaped if self.bias is None else shaped + self.bias

    def vectors(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """Return inputs (..., in_features) as one batch, (vectors, in_features)."""
        self._check_inputs(inputs, (), -1, "(..., in_features)")
        return [inputs.reshape(-1, self.in_features)]
