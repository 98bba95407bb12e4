"""``torch.nn.Conv1d`` and ``Conv2d`` on tiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Unpack

import torch

from circuitmem.errors import ValidationError
from circuitmem.torch.module import CrossbarModule, Floats, Rows, TileOptions
from circuitmem.torch.product import numbers, scale_of
from circuitmem.torch.windows import Windows
from circuitmem.validation import integer

__all__ = ["CrossbarConv1d", "CrossbarConv2d"]

SizeOrPair = int | tuple[int, int]


class CrossbarConv2d(CrossbarModule):
    """A convolution like ``torch.nn.Conv2d``: every patch of the maps is a vector that the same tiles multiply.

    The matrix of a group is (out_channels/groups, in_channels/groups · kernel height · kernel width); groups have tiles
    of their own. All else is as in :class:`CrossbarLinear`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels, >= 1.
    kernel_size, stride, dilation : int or (int, int)
        As in ``torch.nn.Conv2d``.
    padding : int, (int, int), "same" or "valid"
        Zeros around the maps.
    groups : int
        Divides both numbers of channels.
    bias : bool
        Whether there is a bias.
    chip, seed, input_scale, largest_weight, backward, converters, read_noise
        As in :class:`CrossbarLinear`.

    Raises
    ------
    ValidationError
        If an argument breaks its rule, or an input is not finite or does not have ``in_channels`` channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: SizeOrPair,
        stride: SizeOrPair = 1,
        padding: SizeOrPair | Literal["same", "valid"] = 0,
        dilation: SizeOrPair = 1,
        groups: int = 1,
        bias: bool = True,
        **options: Unpack[TileOptions],
    ) -> None:
        super().__init__()
        self.in_channels = integer("in_channels", in_channels, 1)
        self.out_channels = integer("out_channels", out_channels, 1)
        self.groups = integer("groups", groups, 1)
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValidationError(name, f"must be a multiple of groups={groups}", channels)
        self.kernel_size = _pair("kernel_size", kernel_size, 1)
        self.stride, self.dilation = _pair("stride", stride, 1), _pair("dilation", dilation, 1)
        self.padding = padding
        self._zeros = self._padded(padding)
        conv = torch.nn.Conv2d(in_channels, out_channels, self.kernel_size, groups=groups, bias=bias)
        self.weight, self.bias = conv.weight, conv.bias
        self._place(groups, "in_channels", options, kernel=True)

    def _padded(self, padding: SizeOrPair | str) -> tuple[int, int, int, int]:
        """Return the zeros left, right, above and below."""
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValidationError("padding", "must be same, valid, or one or two integers", padding)
            if padding == "valid":
                return 0, 0, 0, 0
            if self.stride != (1, 1):
                raise ValidationError("padding", "must not be same where the stride is not 1", self.stride)
            high, wide = (step * (size - 1) for step, size in zip(self.dilation, self.kernel_size, strict=True))
            return wide // 2, wide - wide // 2, high // 2, high - high // 2
        high, wide = _pair("padding", padding, 0)
        return wide, wide, high, high

    def extra_repr(self) -> str:
        """Return what ``print`` shows of it."""
        size = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        rest = f"padding={self.padding!r}, dilation={self.dilation}, groups={self.groups}, bias={self.bias is not None}"
        return f"{size}, {rest}, {super().extra_repr()}"

    @torch.compiler.disable
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (batch, out_channels, height, width) for inputs (batch, in_channels, height, width), or without batch.

        ``torch.compile`` does not compile it.
        """
        if self.digital:
            self._check_inputs(inputs, (3, 4), -3, "(batch, in_channels, height, width)")
            maps = torch.nn.functional.pad(inputs, self._zeros)
            options = {"stride": self.stride, "dilation": self.dilation, "groups": self.groups}
            weight = self.weight if self.weight.dim() == 4 else self.weight.unsqueeze(2)
            return torch.nn.functional.conv2d(maps, weight, self.bias, **options)
        windows = None if torch.is_grad_enabled() else self._windows  # for gradients torch itself cuts the patches
        parts = self._patches(inputs) if windows is None else self._maps(inputs).chunk(self.groups, dim=1)
        high, wide = self._windows.steps(inputs.shape)
        weights = self.weight.flatten(1).chunk(self.groups)
        sums = [self._multiply(*each, windows) for each in zip(parts, weights, self.products, strict=True)]
        found = torch.cat(sums, dim=1)
        if self.bias is not None:
            found = found + self.bias
        maps = found.reshape(-1, high * wide, self.out_channels).transpose(1, 2)
        return maps.reshape(*inputs.shape[:-3], self.out_channels, high, wide)

    def vectors(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """Return the patches of maps as each group multiplies them, (batch·positions, inputs of a group)."""
        return self._patches(inputs)

    def some_vectors(self, inputs: torch.Tensor, choose: Callable[[int], Rows]) -> list[Floats]:
        """Return the rows of :meth:`vectors` that ``choose`` returns when called with their number."""
        groups, windows = self._groups(inputs), self._windows
        high, wide = windows.steps(groups[0].shape)
        chosen = choose(len(groups[0]) * high * wide)
        return [windows.some(maps, chosen) for maps in groups]

    def scales(self, inputs: torch.Tensor) -> list[float]:
        """Return for each group the magnitude that one element in a thousand of its patches exceeds."""
        return [scale_of(maps, self._windows) for maps in self._groups(inputs)]

    def _about(self) -> str:
        return " of the patches" + super()._about()

    @property
    def _windows(self) -> Windows:
        return Windows(self.kernel_size, self.stride, self.dilation, self._zeros)

    def _groups(self, inputs: torch.Tensor) -> list[Floats]:
        """Return the maps of each group as arrays, (batch, channels, height, width)."""
        about = super()._about()
        return [numbers(maps, "inputs", about) for maps in self._maps(inputs).chunk(self.groups, dim=1)]

    def _maps(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return maps (batch, in_channels, height, width); with their zeros they must be as large as the kernel."""
        self._check_inputs(inputs, (3, 4), -3, "(batch, in_channels, height, width)")
        (high, wide), (down, across) = self._windows.padded(inputs.shape), self._windows.reach
        if high < down or wide < across:
            rule = f"must be at least {down}x{across} with their padding, the reach of the kernel"
            raise ValidationError("inputs", rule, tuple(inputs.shape))
        return inputs if inputs.dim() == 4 else inputs[None]

    def _patches(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """Return the patches of each group, (batch·positions, inputs), cut from its maps by torch."""
        maps = torch.nn.functional.pad(self._maps(inputs), self._zeros)
        columns = torch.nn.functional.unfold(maps, self.kernel_size, self.dilation, 0, self.stride)
        vectors = columns.transpose(1, 2).reshape(-1, columns.shape[1])
        return list(vectors.chunk(self.groups, dim=1))


class CrossbarConv1d(CrossbarConv2d):
    """A convolution like ``torch.nn.Conv1d``: every stretch of the sequences is a vector that the same tiles multiply.

    Parameters
    ----------
    in_channels, out_channels, groups, bias, chip, seed, input_scale, largest_weight, backward, converters, read_noise
        As in :class:`CrossbarConv2d`.
    kernel_size, stride, dilation : int
        As in ``torch.nn.Conv1d``.
    padding : int, "same" or "valid"
        Zeros before and behind the sequences.

    Raises
    ------
    ValidationError
        If an argument breaks its rule, or an input is not finite or does not have ``in_channels`` channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int | Literal["same", "valid"] = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        **options: Unpack[TileOptions],
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            (1, integer("kernel_size", kernel_size, 1)),
            (1, integer("stride", stride, 1)),
            padding if isinstance(padding, str) else (0, integer("padding", padding, 0)),
            (1, integer("dilation", dilation, 1)),
            groups,
            bias,
            **options,
        )
        self.weight = torch.nn.Parameter(self.weight.detach().squeeze(2))

    @torch.compiler.disable
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (batch, out_channels, length) for inputs (batch, in_channels, length), or both without batch."""
        return super().forward(self._as_maps(inputs)).squeeze(-2)

    def vectors(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """Return the stretches of sequences as each group multiplies them, (batch·positions, inputs of a group)."""
        return super().vectors(self._as_maps(inputs))

    def some_vectors(self, inputs: torch.Tensor, choose: Callable[[int], Rows]) -> list[Floats]:
        """Return the rows of :meth:`vectors` that ``choose`` returns when called with their number."""
        return super().some_vectors(self._as_maps(inputs), choose)

    def scales(self, inputs: torch.Tensor) -> list[float]:
        """Return for each group the magnitude that one element in a thousand of its stretches exceeds."""
        return super().scales(self._as_maps(inputs))

    def _as_maps(self, inputs: torch.Tensor) -> torch.Tensor:
        self._check_inputs(inputs, (2, 3), -2, "(batch, in_channels, length)")
        return inputs.unsqueeze(-2)


def _pair(name: str, value: SizeOrPair, minimum: int) -> tuple[int, int]:
    """Return one or two integers as two, checked."""
    first, second = value if isinstance(value, tuple | list) and len(value) == 2 else (value, value)
    return integer(name, first, minimum), integer(name, second, minimum)
