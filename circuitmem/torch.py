"""A layer for torch whose product is a memristor chip's: wires, defects and converters forward, exact gradients back.

It needs the extra ``circuitmem[torch]``; nothing else here imports torch.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from circuitmem.calibration import CALIBRATIONS, CalibrationRecord, calibrate_layer
from circuitmem.config import CalibrationSpec, ChipSpec
from circuitmem.control import Chip
from circuitmem.errors import ValidationError
from circuitmem.network import HardwareLayer, Partition
from circuitmem.tile import PairMapping
from circuitmem.training.gradients import layer_gradient
from circuitmem.validation import in_range, integer

__all__ = ["CrossbarLinear"]

Floats = NDArray[np.float64]


class CrossbarLinear(torch.nn.Module):
    """``y = x W^T + b`` like ``torch.nn.Linear``, W on as many tiles as it needs.

    Cells are put at what the weights ask for, without pulses and their noise, whenever these have changed; stuck ones
    stay as they are. Amplifiers' gains are chosen anew then, with the inputs that come next. Inputs of both signs are
    read twice, the negative part by itself. Biases are digital.

    Parameters
    ----------
    in_features, out_features : int
        Size, >= 1.
    bias : bool
        Whether there is one.
    chip : ChipSpec, optional
        The chip; the default one when left out.
    seed : int
        Seed of its fabrication and noise.
    input_scale : float
        Magnitude of input that the highest DAC code stands for, > 0; larger ones saturate.
    largest_weight : float, optional
        Magnitude of weight that uses the whole range of the devices, > 0; larger ones saturate. Four standard
        deviations of the starting weights when left out.
    backward : {"exact", "straight-through"}
        Whether gradients are those of the tiles as they are, wires and stuck cells included, or those of ``x W^T``.
    converters : bool
        Whether DACs and ADCs are simulated, or left out: then the forward pass is smooth.

    Attributes
    ----------
    layer : HardwareLayer
        The tiles.

    Raises
    ------
    ValidationError
        If an argument breaks its rule.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        chip: ChipSpec | None = None,
        seed: int = 0,
        input_scale: float = 1.0,
        largest_weight: float | None = None,
        backward: Literal["exact", "straight-through"] = "exact",
        converters: bool = True,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = (
            integer("in_features", in_features, 1),
            integer("out_features", out_features, 1),
        )
        if backward not in ("exact", "straight-through"):
            raise ValidationError("backward", "must be exact or straight-through", backward)
        self.backward, self.converters = backward, converters
        linear = torch.nn.Linear(in_features, out_features, bias)
        self.weight, self.bias = linear.weight, linear.bias
        if largest_weight is None:
            largest_weight = 4.0 * float(linear.weight.detach().std(correction=0))
        spec = ChipSpec() if chip is None else chip
        partition = Partition(in_features, out_features, *spec.tile.shape)
        limits = np.array([spec.device.minimum_conductance, spec.device.maximum_conductance])
        low, high = (float(limit) for limit in spec.tile.cell.mesh_conductance(limits))
        mapping = PairMapping(low, high, in_range("largest_weight", largest_weight, 1e-12, np.inf))
        hardware = Chip(spec, partition.tiles, seed, seed)
        scale = in_range("input_scale", input_scale, 1e-12, np.inf)
        self.layer = HardwareLayer(hardware, hardware.units, partition, mapping, scale)
        self._ranged = False

    def extra_repr(self) -> str:
        """Return what ``print`` shows of it."""
        rows, columns = self.layer.chip.spec.tile.shape
        size = f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        return f"{size}, tiles={len(self.layer.units)} of {rows}x{columns}"

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (..., out_features) for inputs (..., in_features)."""
        product = _Product.apply(inputs.reshape(-1, self.in_features), self.weight, self).to(inputs.dtype)
        shaped = product.reshape(*inputs.shape[:-1], self.out_features)
        return shaped if self.bias is None else shaped + self.bias

    def calibrate(self, inputs: torch.Tensor, method: str = "affine") -> CalibrationRecord:
        """Choose the amplifiers' gains and calibrate with inputs (vectors, in_features) >= 0; returns what it cost.

        Raises
        ------
        ValidationError
            If the method is not one of ``CALIBRATIONS``, or programs cells by pulses.
        """
        if method not in CALIBRATIONS or CALIBRATIONS[method].programs:
            names = ", ".join(name for name, each in CALIBRATIONS.items() if not each.programs)
            raise ValidationError("method", f"must be one of {names}", method)
        record = CalibrationRecord()
        self._set_cells()
        activities = self.layer.within_range(_numbers(inputs))
        self.layer.chip.run(calibrate_layer(CALIBRATIONS[method](CalibrationSpec()), self.layer, activities, record))
        self._ranged = True
        return record

    def _set_cells(self) -> None:
        weights = _numbers(self.weight).T
        if not np.array_equal(weights, self.layer.weights):
            self.layer.set_cells(weights)
            self._ranged = False  # larger weights would saturate the ADCs, and training, not told, ask for still larger

    def _multiply(self, inputs: Floats) -> Floats:
        """Return the product of inputs (batch, in_features) of both signs, (batch, out_features)."""
        self._set_cells()
        parts = np.maximum(inputs, 0.0), np.maximum(-inputs, 0.0)
        if self.converters and not self._ranged:
            largest = self.layer.within_range(np.abs(inputs))
            self.layer.chip.run(self.layer.set_range(self.layer.input_codes(largest), 1))
            self._ranged = True
        plus = self._read(parts[0])
        return plus - self._read(parts[1]) if parts[1].any() else plus

    def _read(self, activities: Floats) -> Floats:
        layer = self.layer
        within = layer.within_range(activities)
        if self.converters:
            return np.asarray(layer.chip.run(layer.forward(within)))
        sums = np.zeros((len(activities), self.out_features))
        for index, (unit, place) in enumerate(zip(layer.units, layer.placements, strict=True)):
            currents = layer.chip.electrics.behavioral.read(unit.tile, layer.line_voltages(index, within))[
                :, place.columns
            ]
            sums[:, layer.partition.output_slice(index)] += currents[:, 0::2] - currents[:, 1::2]
        return sums / layer.current_scale

    def _gradients(self, inputs: Floats, error: Floats) -> tuple[Floats, Floats]:
        """Return gradients of weights (in, out) and inputs (batch, in)."""
        layer = self.layer
        if self.backward == "straight-through":
            return inputs.T @ error, error @ layer.weights.T
        weights, back = np.zeros_like(layer.weights), np.zeros_like(inputs)
        for sign in (1.0, -1.0):
            part = sign * inputs
            if not (part > 0.0).any():
                continue
            within = np.clip(part, 0.0, layer.input_scale)
            gradient, own = layer_gradient(layer, within, sign * error, quantised=self.converters, stuck_follow=False)
            weights += gradient
            back += sign * own * ((part > 0.0) & (part <= layer.input_scale))
        # A weight beyond the range of its devices moves nothing.
        return np.where(np.abs(layer.weights) > layer.mapping.largest_weight, 0.0, weights), back


class _Product(torch.autograd.Function):
    """The product on the tiles, and its derivatives."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, weight: torch.Tensor, module: CrossbarLinear) -> torch.Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.module = module
        return torch.as_tensor(module._multiply(_numbers(inputs)), dtype=weight.dtype)

    @staticmethod
    def backward(ctx: Any, error: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        inputs, weight = ctx.saved_tensors
        ctx.module._set_cells()
        weights, back = ctx.module._gradients(_numbers(inputs), _numbers(error))
        return torch.as_tensor(back, dtype=inputs.dtype), torch.as_tensor(weights.T.copy(), dtype=weight.dtype), None


def _numbers(tensor: torch.Tensor) -> Floats:
    """Return a tensor as float64 NumPy array."""
    return np.asarray(tensor.detach().cpu().to(torch.float64).numpy())
