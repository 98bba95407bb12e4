"""The declared network: a multi-layer perceptron, or convolutions before one."""

from __future__ import annotations

from itertools import pairwise
from math import isqrt
from typing import Annotated, Any, Literal

import pydantic

from circuitmem.config.base import Spec
from circuitmem.errors import ValidationError
from circuitmem.registry import is_reference

__all__ = ["NetworkSpec"]

Positive = Annotated[int, pydantic.Field(ge=1)]

MOST_WEIGHTS = 10**9
"""Most weights of one layer: 8 GB, more than any chip holds; below it no size of an array overflows."""

MODEL_WEIGHT_RANGE = 1.5
"""Range of the devices for a model that declares none, relative to the largest weight of a layer: room for training in
situ. The weights of networks of layers are bounded by ``ex_situ.weight_limit``, and use the whole range."""

LENET = ((6, 5), (16, 5))
"""The convolutions of LeNet-5 (LeCun et al., Proc. IEEE 86:2278, 1998)."""


class NetworkSpec(Spec):
    """A network with ReLU hidden layers.

    Parameters
    ----------
    kind : {"mlp", "cnn"}
        A multi-layer perceptron, or convolutions before one. Each convolution is followed by 2x2 average pooling.
    layers : sequence of int
        Number of inputs, then of units in each dense layer, outputs last; at least two. No layer has more than 10^9
        weights.
    convolutions : sequence of (int, int)
        Convolutions of a ``cnn``, first to last: channels, and side of the square kernel, each >= 1; stride 1, no
        padding. ((6, 5), (16, 5)) when left out. Maps must have an even side before they are pooled.
    model : str, optional
        ``"package.module:function"``, called without arguments, returns a ``torch.nn.Module`` instead; or a class of
        :class:`circuitmem.network.Network`. The parameters above are for networks of layers.
    weights : str, optional
        With ``model``: a file of its weights, a ``state_dict`` of torch or a ``.npz`` file with the same names. Left
        out, ``[ex_situ]`` trains it.
    digital : sequence of str
        With ``model``: names of modules to keep off the tiles.
    weight_range : float, optional
        Range of the devices, relative to the largest starting weight of a layer, from 1 to 10^6: values above 1 leave
        room for training in situ. Left out, it is 1.5 with a ``model``, and 1 without.
    """

    model: str | None = None
    weights: str | None = None
    digital: tuple[str, ...] = ()
    weight_range: float | None = pydantic.Field(default=None, ge=1.0, le=1e6)
    kind: Literal["mlp", "cnn"] = "mlp"
    layers: tuple[int, ...] = (784, 100, 10)
    convolutions: tuple[tuple[Positive, Positive], ...] = ()

    @pydantic.model_validator(mode="before")
    @classmethod
    def _convolutions_of_a_cnn(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("kind") == "cnn":
            return {"convolutions": LENET} | values
        return values

    @pydantic.model_validator(mode="after")
    def _check_layers(self) -> NetworkSpec:
        for name in ("weights", "digital"):
            if getattr(self, name) and not self.model:
                raise ValidationError(name, "must be left out unless there is a model", getattr(self, name))
        if self.model is not None and not is_reference(self.model):
            raise ValidationError("model", "must be package.module:function", self.model)
        if len(self.layers) < 2 or min(self.layers) < 1:
            raise ValidationError("layers", "must be at least two sizes, each >= 1", self.layers)
        if (self.kind == "cnn") != bool(self.convolutions):
            rule = "must name at least one" if self.kind == "cnn" else "must be left out unless kind is cnn"
            raise ValidationError("convolutions", rule, self.convolutions)
        if self.convolutions and isqrt(self.layers[0]) ** 2 != self.layers[0]:
            raise ValidationError("layers", "must begin with a square number, the pixels of an image", self.layers)
        for (side, _), (_, kernel) in zip(self.maps, self.convolutions, strict=False):
            left = side - kernel + 1
            if left < 2 or left % 2:
                rule = f"must leave maps of an even side to be pooled (a kernel of {kernel} on {side} leaves {left})"
                raise ValidationError("convolutions", rule, self.convolutions)
        for number, (inputs, outputs) in enumerate(self.shapes, 1):
            if inputs * outputs > MOST_WEIGHTS:
                name = "convolutions" if number <= len(self.convolutions) else "layers"
                rule = f"must give every layer at most {MOST_WEIGHTS} weights (layer {number} has {inputs}x{outputs})"
                raise ValidationError(name, rule)
        return self

    @property
    def room(self) -> float:
        """The range of the devices, relative to the largest starting weight of a layer."""
        if self.weight_range is not None:
            return self.weight_range
        return 1.0 if self.model is None else MODEL_WEIGHT_RANGE

    @property
    def maps(self) -> tuple[tuple[int, int], ...]:
        """Side and channels of the maps that each convolution sees, and last those that the dense layers see."""
        found = [(isqrt(self.layers[0]), 1)]
        for channels, kernel in self.convolutions:
            found.append(((found[-1][0] - kernel + 1) // 2, channels))
        return tuple(found)

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of the matrix of each layer; for a convolution, the size of a patch and the channels."""
        if not self.convolutions:
            return tuple(pairwise(self.layers))
        kernels = [
            (kernel**2 * before, channels)
            for (_, before), (channels, kernel) in zip(self.maps, self.convolutions, strict=False)
        ]
        side, channels = self.maps[-1]
        return (*kernels, *pairwise((side**2 * channels, *self.layers[1:])))
