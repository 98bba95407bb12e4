"""The product of vectors with one matrix on tiles, and its derivatives, for torch's automatic differentiation."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from circuitmem import registry
from circuitmem.calibration import CalibrationRecord, calibrate_layer, calibration_of
from circuitmem.config import CalibrationSpec, check_joined
from circuitmem.control import Chip, Conductances, PairTargets
from circuitmem.errors import ValidationError
from circuitmem.network import BackwardMap, HardwareLayer, mapping_on, output_ranges, partitions
from circuitmem.torch.passes import priority_of_pass, run_process
from circuitmem.torch.windows import Windows
from circuitmem.training.gradients import layer_gradient
from circuitmem.validation import finite_array, in_range

__all__ = ["Backward", "Product", "TileProduct", "checked_methods", "numbers", "scale_of"]

Floats = NDArray[np.float64]

Backward = Literal["exact", "straight-through"]
"""What gradients are taken of: the tiles as they are, or the ideal product that they stand for."""

_logger = logging.getLogger(__name__)

RANGE = 4.0
"""Range of the devices in standard deviations of the weights; it reaches the largest weight if that is more."""

FEW = 0.01
"""Fraction of inputs above which saturation gives a warning: ten times the one in a thousand of the input scale."""


class TileProduct:
    """One matrix on its own tiles of a chip.

    Parameters
    ----------
    chip : Chip
        The chip, to which the tiles of the matrix are added. On a packed chip, tiles may be shared.
    weights : (outputs, inputs) ndarray
        The starting weights, from which the range of the devices is chosen.
    input_scale : float, optional
        Magnitude of input that the highest DAC code stands for, > 0; when left out, the first inputs decide.
    largest_weight : float, optional
        Magnitude of weight that uses the whole range of the devices; when left out, the weights at the first product,
        or weights loaded later, decide. Training does not change it: the contribution of stuck cells to the product
        would grow with it.
    backward : {"exact", "straight-through"}
        What gradients are taken of.
    converters : bool
        Whether DACs and ADCs are simulated.
    kernel : bool
        Whether the matrix is a kernel of a convolution, of which the chip may have copies.

    Attributes
    ----------
    layer : HardwareLayer
        The tiles.
    placed : bool
        Whether cells were put in place without pulses.
    warns : bool
        Whether a warning is given if values saturate.
    chooses_gains : bool
        Whether the amplifiers' gains are chosen with the first inputs, unless a calibration has chosen them.
    way_back : BackwardMap, optional
        The map that gradients go back through, instead of what ``backward`` says.
    seen : list of ndarray, optional
        List to which the inputs of products are appended, if there is one.
    """

    def __init__(
        self,
        chip: Chip,
        weights: Floats,
        input_scale: float | None,
        largest_weight: float | None,
        backward: Backward,
        converters: bool,
        kernel: bool = False,
    ) -> None:
        self.backward, self.converters = backward, converters
        self.follows = largest_weight is None
        largest = RANGE * weights.std() if largest_weight is None else largest_weight
        (partition,) = partitions([weights.T.shape], chip.spec, [kernel])
        mapping = mapping_on(chip.spec, in_range("largest_weight", float(largest), 1e-12, np.inf))
        scale = 1.0 if input_scale is None else in_range("input_scale", input_scale, 1e-12, np.inf)
        firsts: list[int] | None = None
        if chip.spec.packed:
            units, firsts = chip.take_places(partition.shares)
        else:
            units = chip.add_tiles(partition.tiles)
        self.layer = HardwareLayer(chip, units, partition, mapping, scale, firsts)
        self._fitted = not self.follows
        self._scaled = input_scale is not None
        self.placed = False
        self.warns = True
        self.way_back: BackwardMap | None = None
        self.seen: list[Floats] | None = None
        self.chooses_gains = True
        self._ranged = False
        self._warned: set[str] = set()

    def state(self) -> dict[str, Any]:
        """Return what a product depends on apart from the weights and the chip, for a checkpoint."""
        layer = self.layer
        return {
            "input_scale": layer.input_scale,
            "largest_weight": layer.mapping.largest_weight,
            "fitted": self._fitted,
            "scaled": self._scaled,
            "ranged": self._ranged,
            "placed": self.placed,
            "layer": layer.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned."""
        self.layer.input_scale = state["input_scale"]
        self._set_range(state["largest_weight"], state["layer"].get("ranges"))
        self._fitted, self._scaled, self._ranged = state["fitted"], state["scaled"], state["ranged"]
        self.placed = state["placed"]
        self.layer.restore(state["layer"])

    def check_range(self, weights: Floats) -> None:
        """Refuse weights (outputs, inputs) beyond a range that was declared.

        Raises
        ------
        ValidationError
            If ``largest_weight`` was declared and a weight is larger.
        """
        largest = float(np.abs(finite_array("weight", weights)).max())
        if not self.follows and largest > self.layer.mapping.largest_weight:
            rule = f"must be >= {largest:g}, the largest of the weights loaded, or be left out: then it follows them"
            raise ValidationError("largest_weight", rule, self.layer.mapping.largest_weight)

    def fit_range(self, weights: Floats, room: float | None = None) -> None:
        """Let the range of the devices follow weights (outputs, inputs), unless it was declared.

        With ``room`` the range is ``room`` times the largest of them.
        """
        if self.follows:
            largest = np.abs(finite_array("weight", weights)).max(axis=1)  # of each output
            whole, spread = float(largest.max()), weights.std(axis=1)
            of_layer = max(RANGE * float(weights.std()) if room is None else room * whole, whole, 1e-12)
            own = np.minimum(np.maximum(RANGE * spread if room is None else room * largest, largest), of_layer)
            self._set_range(of_layer, output_ranges(self.layer.chip.spec, own, of_layer))
            self._fitted = True

    def _set_range(self, largest_weight: float, ranges: Floats | None) -> None:
        """Set the largest weight that devices can represent, and the fraction of it that each output needs."""
        before = self.layer.ranges
        alike = ranges is before or (ranges is not None and before is not None and np.array_equal(ranges, before))
        if largest_weight != self.layer.mapping.largest_weight or not alike:
            self.layer.mapping = replace(self.layer.mapping, largest_weight=largest_weight)
            self.layer.ranges = ranges
            self.layer.weights = np.full_like(self.layer.weights, np.nan)  # no cell represents its weight any more
            self._ranged = False

    def set_input_scale(self, scale: float) -> None:
        """Set the input that the highest DAC code stands for."""
        self.layer.input_scale = in_range("input_scale", scale, 1e-12, np.inf)
        self._scaled, self._ranged = True, False

    def fit_scale(self, inputs: Floats, windows: Windows | None = None) -> None:
        """Set the input scale, if it is open, to the magnitude that one in a thousand of these inputs exceeds.

        The inputs are vectors, or maps whose vectors ``windows`` show.
        """
        if not self._scaled:
            self.set_input_scale(scale_of(inputs, windows))

    def set_cells(self, weights: Floats) -> None:
        """Put the cells in place for weights (outputs, inputs), if these have changed."""
        if not np.array_equal(weights.T, self.layer.kernel):
            self._take(weights)
            self._ranged = False  # else larger weights saturate the ADCs, which makes training ask for larger ones
            self.layer.set_cells(weights.T)
            self.placed = True

    def targets(self, weights: Floats) -> PairTargets | Conductances:
        """Keep weights (outputs, inputs) as what is asked for, and return the targets of the cells.

        The amplifiers' gains are not changed, because a calibration was learnt at them.
        """
        if self.placed and "pulses" not in self._warned:
            self._warned.add("pulses")
            _logger.warning(
                "circuitmem: cells were put in place without pulses by an earlier use of the layer: only what has "
                "changed since then gets pulses; program a network before it is used"
            )
        self._take(weights)
        return self.layer.targets(weights.T)

    def _take(self, weights: Floats) -> None:
        if not self._fitted:
            self.fit_range(weights)
        magnitudes = np.abs(weights)
        beyond = int(np.count_nonzero(self.layer.largest_weights < magnitudes.T))
        self._warn("weights", beyond, weights.size, "largest_weight", magnitudes.max())

    def _warn(self, what: str, beyond: int, count: int, setting: str, largest: float) -> None:
        """Warn once that values saturate; a few inputs are meant to, and are counted in :attr:`layer.saturated`."""
        if self.warns and what not in self._warned and beyond > (count * FEW if setting == "input_scale" else 0):
            self._warned.add(what)
            declared = self.layer.input_scale if setting == "input_scale" else self.layer.mapping.largest_weight
            _logger.warning(
                "circuitmem: %d of %d %s are larger than %s=%g and count as that (the largest is %g); raise %s",
                *(beyond, count, what, setting, declared, largest, setting),
            )

    def calibrate(self, weights: Floats, inputs: Floats, spec: CalibrationSpec, record: CalibrationRecord) -> None:
        """Choose the amplifiers' gains and calibrate with inputs (vectors, inputs) of both signs."""
        self.fit_scale(inputs)
        self.set_cells(weights)
        halves = [part[part.any(axis=1)] for part in (np.maximum(inputs, 0.0), np.maximum(-inputs, 0.0))]
        activities = self._within_range(np.concatenate(halves) if any(map(len, halves)) else np.abs(inputs))
        layer, process = self.layer, calibration_of(spec.method, spec)
        before = layer.correction, [unit.readout.adc.pga_gain for unit in layer.units], self._ranged
        try:
            run_process(layer.chip, calibrate_layer(process, layer, activities, record))
        except BaseException:  # a correction at gains that it was not learnt at would be silently wrong
            layer.correction, gains, self._ranged = before
            for unit, gain in zip(layer.units, gains, strict=True):
                unit.readout.adc.pga_gain = gain
            raise
        self._ranged = True

    def set_read_noise(self, on: bool) -> None:
        """Let reads have the noise of their converters and cells, or none."""
        for unit in self.layer.units:
            unit.cell_noise = on
            unit.readout.adc.noise = unit.readout.adc.spec.noise if on else 0.0

    def multiply(self, inputs: Floats, weights: Floats, windows: Windows | None = None) -> Floats:
        """Return the product of inputs (batch, inputs) of both signs and weights (outputs, inputs).

        With ``windows`` the inputs are maps, and the vectors that the windows show are multiplied. DAC codes are
        calculated for the maps, because these have fewer elements than their vectors.
        """
        self.fit_scale(inputs, windows)
        self.set_cells(weights)
        if self.converters and self.chooses_gains and not self._ranged:
            largest = self._within_range(np.abs(inputs), windows)
            codes = self.layer.codes_within(largest)
            drives = self.layer.drives_of(codes if windows is None else windows.gather(codes))
            run_process(self.layer.chip, self.layer.set_range(drives, 1))
            self._ranged = True
        if self.seen is not None:
            self.seen.append(inputs if windows is None else windows.gather(inputs))
        below = inputs < 0.0
        signed = below.any() if windows is None else windows.count(below) > 0
        plus = self._read(np.maximum(inputs, 0.0), windows)
        return plus - self._read(np.maximum(-inputs, 0.0), windows) if signed else plus

    def _within_range(self, activities: Floats, windows: Windows | None = None) -> Floats:
        layer, beyond = self.layer, activities > self.layer.input_scale
        count = activities.size if windows is None else windows.elements(activities.shape)
        saturated = int(np.count_nonzero(beyond)) if windows is None else windows.count(beyond)
        self._warn("inputs", saturated, count, "input_scale", float(activities.max()))
        layer.count_converted(count, saturated)
        return np.minimum(activities, layer.input_scale)

    def _read(self, activities: Floats, windows: Windows | None) -> Floats:
        layer = self.layer
        within = self._within_range(activities, windows)
        if self.converters:
            codes = layer.codes_within(within)
            codes = codes if windows is None else windows.gather(codes)
            return np.asarray(run_process(layer.chip, layer.multiply(codes, priority_of_pass())))
        within = within if windows is None else windows.gather(within)
        sums = np.zeros((len(within), layer.partition.outputs))
        for index, (unit, place) in enumerate(zip(layer.units, layer.placements, strict=True)):
            unit.meet(layer.chip.clock, layer.chip.context.noise_seed)
            currents = layer.chip.electrics.behavioral.read(unit.tile, layer.line_voltages(index, within))[
                :, place.columns
            ]
            sums[:, layer.partition.output_slice(index)] += layer.mapping.difference(currents)
        sums = sums / layer.current_scale
        turns = np.arange(len(sums)) % layer.partition.copies
        return sums.reshape(len(sums), layer.partition.copies, -1)[np.arange(len(sums)), turns]

    def gradients(self, inputs: Floats, weights: Floats, error: Floats) -> tuple[Floats, Floats]:
        """Return the gradients of weights (outputs, inputs) and inputs (batch, inputs), from that of the product."""
        self.set_cells(weights)
        layer, way = self.layer, self.way_back
        if way is None and self.backward == "straight-through":
            return error.T @ inputs, error @ weights
        found, back = np.zeros_like(layer.kernel), np.zeros_like(inputs)
        for sign in (1.0, -1.0):
            part = sign * inputs
            if not (part > 0.0).any():
                continue
            within = np.clip(part, 0.0, layer.input_scale)
            if way is not None:
                gradient, behind = way.back(within, sign * error)
            else:
                options = {"quantised": self.converters, "stuck_follow": False}
                gradient, behind = layer_gradient(layer, within, sign * error, **options)
            found += gradient
            back += sign * behind * ((part > 0.0) & (part <= layer.input_scale))
        if way is not None:  # the caller's steps keep weights within the range
            return found.T, back
        # A change of a weight beyond the range of its devices has no effect.
        return np.where(np.abs(weights.T) > layer.largest_weights, 0.0, found).T, back


class Product(torch.autograd.Function):
    """The product of (batch, inputs) and (outputs, inputs) on tiles: ``apply(vectors, weight, tiles, about, windows)``.

    ``about`` is what an error adds after the index of an input that is not finite. With ``windows`` the first argument
    is maps, and there are no derivatives.
    """

    @staticmethod
    def forward(
        vectors: torch.Tensor, weight: torch.Tensor, tiles: TileProduct, about: str, windows: Windows | None
    ) -> torch.Tensor:
        """Read the tiles."""
        product = tiles.multiply(numbers(vectors, "inputs", about), numbers(weight, "weight"), windows)
        return torch.as_tensor(product, dtype=vectors.dtype, device=vectors.device)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:  # noqa: ARG004
        """Keep what the derivatives need."""
        vectors, weight, ctx.tiles, _, _ = inputs
        ctx.save_for_backward(vectors, weight)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, error: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None, None]:
        """Return the gradients of vectors and weight."""
        vectors, weight = ctx.saved_tensors
        arrays = numbers(vectors, "inputs"), numbers(weight, "weight"), numbers(error, "gradient", finite=False)
        weights, back = ctx.tiles.gradients(*arrays)
        return (
            torch.as_tensor(back, dtype=vectors.dtype, device=vectors.device),
            torch.as_tensor(weights.copy(), dtype=weight.dtype, device=weight.device),
            None,
            None,
            None,
        )

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[Any, ...],
        vectors: torch.Tensor,
        weight: torch.Tensor,
        tiles: TileProduct,
        about: str,
        windows: Windows | None,
    ) -> tuple[torch.Tensor, int]:
        """Read a batch of batches as one; weights cannot be a batch, because the tiles hold one matrix."""
        if in_dims[1] is not None:
            raise ValidationError("weight", "must not be mapped by vmap: the tiles hold one matrix at a time")
        every = vectors.movedim(in_dims[0], 0)
        found = Product.apply(every.flatten(0, 1), weight, tiles, about, windows)
        return found.reshape(info.batch_size, -1, found.shape[-1]), 0


def checked_methods(method: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of calibrations that learn one after another.

    Raises
    ------
    ValidationError
        If one is not known, or cannot be combined with the others.
    """
    methods = (method,) if isinstance(method, str) else tuple(method)
    for each in methods:
        registry.check("calibrations", each, "method")
    check_joined("method", methods)
    return methods


def scale_of(inputs: Floats, windows: Windows | None = None) -> float:
    """Return the magnitude that one input in a thousand exceeds, or one element in a thousand that windows show."""
    magnitudes = np.abs(inputs)
    found = np.quantile(magnitudes, 0.999) if windows is None else windows.quantile(magnitudes, 0.999)
    return max(float(found), 1e-6)


def numbers(tensor: torch.Tensor, name: str, about: str = "", finite: bool = True) -> Floats:
    """Return a tensor as a float64 NumPy array.

    Raises
    ------
    ValidationError
        If an element is not finite, or torch does not give access to the elements, as within vmap of a gradient.
    """
    try:
        array: Floats = np.asarray(tensor.detach().cpu().to(torch.float64).numpy())
    except RuntimeError:
        raise ValidationError(name, "must not be mapped by vmap here: tiles need its numbers; use a loop") from None
    if finite and not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))
        index = tuple(int(place) for place in bad[0])
        more = f", and at {len(bad) - 1} places more" if len(bad) > 1 else ""
        raise ValidationError(name, f"must be finite at index {index}{more}{about}", float(array[index]))
    return array
