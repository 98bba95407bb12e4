"""What layers on tiles have in common: a chip, shared or their own, a reproducible state, calibration, read noise."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray

from circuitmem.calibration import CalibrationRecord
from circuitmem.config import CalibrationSpec, ChipSpec
from circuitmem.control import Chip, Unit, check_faults
from circuitmem.errors import ValidationError
from circuitmem.torch.product import Backward, Product, TileProduct, checked_methods, numbers, scale_of
from circuitmem.torch.windows import Windows
from circuitmem.validation import did_you_mean, integer

__all__ = ["CrossbarModule", "TileOptions", "set_read_noise"]

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

FORMAT = 1
"""Version of the contents of a state."""


class TileOptions(TypedDict, total=False):
    """Keyword arguments that all layers on tiles take; :class:`CrossbarLinear` explains them."""

    chip: ChipSpec | Chip | None
    seed: int | None
    input_scale: float | None
    largest_weight: float | None
    backward: Backward
    converters: bool
    read_noise: bool


DEFAULTS: TileOptions = {
    "chip": None,
    "seed": None,
    "input_scale": 1.0,
    "largest_weight": None,
    "backward": "exact",
    "converters": True,
    "read_noise": True,
}


class CrossbarModule(torch.nn.Module):
    """A layer whose weights, (outputs, ...), are matrices on tiles, one for each group of outputs.

    A subclass makes ``weight`` and ``bias`` and turns its inputs into vectors. Parameters are those of
    :class:`CrossbarLinear`.

    Attributes
    ----------
    chip : Chip
        The chip: its clock (``chip.now``) and its accounts (``chip.ledger``).
    read_noise : bool
        Whether reads have the noise of converters and cells.
    digital : bool
        Whether the layer multiplies in torch and leaves its tiles alone; see :func:`digitally`.
    label : str
        Name that errors give it: its name in the network that :func:`convert` has made.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None

    def _place(self, groups: int, width: str, given: TileOptions, *, kernel: bool = False) -> None:
        """Put the weights on tiles; ``width`` is the name that errors give the size of an input."""
        for name in given:
            if name not in DEFAULTS:
                hint = did_you_mean(name, DEFAULTS)
                raise TypeError(f"{type(self).__name__} got an unexpected keyword argument {name!r}{hint}")
        options: TileOptions = {**DEFAULTS, **given}
        chip, seed, backward = options["chip"], options["seed"], options["backward"]
        if backward not in ("exact", "straight-through"):
            raise ValidationError("backward", "must be exact or straight-through", backward)
        self.backward, self.converters, self.read_noise = backward, options["converters"], options["read_noise"]
        self.digital = False
        self.label = ""
        self._width = width
        self._own_chip = not isinstance(chip, Chip)
        if isinstance(chip, Chip):
            if seed is not None:
                raise ValidationError("seed", "must be left out where chip is a Chip, which has its own", seed)
            self.chip = chip
        else:
            # Drawn as starting weights are: torch.manual_seed repeats it, and no two layers have the same by accident.
            drawn = int(torch.randint(2**31, ())) if seed is None else integer("seed", seed, 0)
            self.chip = Chip(ChipSpec() if chip is None else chip, 0, drawn, drawn)
        scale, largest = options["input_scale"], options["largest_weight"]
        self.products = [
            TileProduct(self.chip, part, scale, largest, backward, self.converters, kernel)
            for part in self._matrices(self.weight, groups)
        ]
        if self._own_chip:
            check_faults(self.chip.spec, len(self.chip.units))

    @staticmethod
    def _matrices(weight: torch.Tensor, groups: int) -> list[np.ndarray[Any, Any]]:
        return list(numbers(weight, "weight").reshape(groups, weight.shape[0] // groups, -1))

    def extra_repr(self) -> str:
        """Return what ``print`` shows of the chip."""
        rows, columns = self.chip.spec.tile.shape
        tiles = len(self._units())
        return f"tiles={tiles} of {rows}x{columns}, seed={self.chip.seed}, read_noise={self.read_noise}"

    def _units(self) -> list[Unit]:
        """Return the tiles of the layer, each once."""
        return list(dict.fromkeys(unit for product in self.products for unit in product.layer.units))

    def _multiply(
        self, vectors: torch.Tensor, weight: torch.Tensor, product: TileProduct, windows: Windows | None = None
    ) -> torch.Tensor:
        """Return (batch, outputs) for vectors (batch, inputs), or for maps whose windows show these vectors."""
        product.set_read_noise(self.read_noise)
        about = self._about() if windows is None else CrossbarModule._about(self)
        found: torch.Tensor = Product.apply(vectors, weight, product, about, windows)
        return found

    def _about(self) -> str:
        """Return what an error adds after the index of an input that is not finite."""
        whose = f", layer {self.label}" if self.label else ""
        return f"; {self._width}={getattr(self, self._width)}{whose}"

    def _check_inputs(self, inputs: Any, sizes: tuple[int, ...], axis: int, shape: str) -> None:
        """Raise :class:`ValidationError` unless inputs have an allowed number of axes and the right width."""
        if not isinstance(inputs, torch.Tensor) or not inputs.is_floating_point():
            kind = inputs.dtype if isinstance(inputs, torch.Tensor) else type(inputs).__name__
            raise ValidationError("inputs", "must be a tensor of floating-point numbers", str(kind))
        if inputs.layout != torch.strided or inputs.is_meta:
            kind = "meta" if inputs.is_meta else str(inputs.layout)
            raise ValidationError("inputs", "must be a dense tensor that has its numbers", kind)
        width = getattr(self, self._width)
        wrong = bool(sizes and inputs.dim() not in sizes) or inputs.dim() < -axis or inputs.shape[axis] != width
        if wrong or inputs.numel() == 0:
            whose = f" (layer {self.label})" if self.label else ""
            rule = f"must have shape {shape} with {self._width}={width}, and at least one vector{whose}"
            raise ValidationError("inputs", rule, tuple(inputs.shape))

    @abstractmethod
    def vectors(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """Return the vectors, (vectors, inputs of the matrix), that the matrix of each group multiplies for inputs."""

    def some_vectors(self, inputs: torch.Tensor, choose: Callable[[int], Rows]) -> list[Floats]:
        """Return the rows of :meth:`vectors` that ``choose`` returns when called with their number."""
        every = self.vectors(inputs)
        chosen = choose(len(every[0]))
        return [numbers(own, "inputs", self._about())[chosen] for own in every]

    def scales(self, inputs: torch.Tensor) -> list[float]:
        """Return for each group the magnitude that one element in a thousand of its vectors exceeds."""
        return [scale_of(numbers(own, "inputs", self._about())) for own in self.vectors(inputs)]

    def calibrate(self, inputs: torch.Tensor, method: str | Sequence[str] = "affine") -> CalibrationRecord:
        """Choose the amplifiers' gains and calibrate the layer with typical inputs; returns the cost.

        Inputs of both signs are used as they are read: the positive parts, and the magnitudes of the negative ones.

        Parameters
        ----------
        inputs : Tensor
            Inputs of the layer.
        method : str or sequence of str
            A calibration (``circuitmem list calibrations``), or several: each learns with those before it applied.

        Raises
        ------
        ValidationError
            If a method is not known, or the inputs break a rule.
        """
        return self.calibrate_vectors(self.vectors(inputs), CalibrationSpec(method=checked_methods(method)))

    def calibrate_vectors(self, vectors: Sequence[torch.Tensor], spec: CalibrationSpec) -> CalibrationRecord:
        """Do what :meth:`calibrate` does, as ``spec`` declares it, with what :meth:`vectors` returns."""
        record = CalibrationRecord()
        for product, weights, own in zip(self.products, self.matrices(), vectors, strict=True):
            product.set_read_noise(self.read_noise)
            inputs = numbers(own, "inputs", self._about())
            product.calibrate(weights, inputs, spec, record)
        return record

    def matrices(self) -> list[np.ndarray[Any, Any]]:
        """Return the weights of each group, (outputs, inputs)."""
        return self.matrices_of(self.weight)

    def matrices_of(self, weight: torch.Tensor) -> list[np.ndarray[Any, Any]]:
        """Return what :meth:`matrices` returns, but for a tensor with the shape of the weights."""
        return self._matrices(weight, len(self.products))

    def get_extra_state(self) -> dict[str, Any]:
        """Return what ``state_dict`` needs beside the weights to give the same bits: tensors and plain values.

        These are range, input scale, gains, calibration, the cells and their defects, the position in the noise, and
        the clock and the accounts of the chip.
        """
        chip = self.chip.state()
        units = [[unit.index, unit.state()] for unit in self._units()]
        if "entries" not in chip["transfers"]:  # matrices are calculated again, to the same bits
            chip["transfers"] = {**chip["transfers"], "fresh": []}
        return {
            "format": FORMAT,
            "spec": self.chip.spec.model_dump_json(),
            "seeds": [self.chip.seed, self.chip.context.noise_seed],
            "tiles": len(self.chip.units),
            "chip": _packed({name: value for name, value in chip.items() if name != "units"}),
            "units": _packed(units),
            "products": _packed([product.state() for product in self.products]),
        }

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`get_extra_state` returned.

        A layer with a chip of its own takes over the seed. A layer that shares a chip must have been made on a chip
        with the same seed, and in the same order.

        Raises
        ------
        ValidationError
            If the state is of another chip or another version of circuitmem.
        """
        saved, seeds = self._checked(state)
        if seeds != (self.chip.seed, self.chip.context.noise_seed):
            self.chip = Chip(self.chip.spec, len(saved), seeds[0], seeds[1])
            for product in self.products:
                product.layer.chip = self.chip
                product.layer.units = [self.chip.units[unit.index] for unit in product.layer.units]
        units = [saved.get(unit.index, unit.state()) for unit in self.chip.units]
        self.chip.restore({**_unpacked(state["chip"]), "units": units})
        for product, kept in zip(self.products, state["products"], strict=True):
            product.restore(_unpacked(kept))

    def _checked(self, state: Any) -> tuple[dict[int, Any], tuple[int, int]]:
        """Return the tiles of a state by number and the seeds of its chip, if this layer can take it."""
        hint = "; drop the _extra_state entries to load the weights alone"
        names = {"format", "spec", "seeds", "tiles", "chip", "units", "products"}
        if not isinstance(state, Mapping) or not names <= set(state):
            raise ValidationError("state_dict", f"must hold what a layer's get_extra_state() gave{hint}")
        if state["format"] != FORMAT:
            raise ValidationError("state_dict", f"must be of format {FORMAT}{hint}", state["format"])
        if state["spec"] != self.chip.spec.model_dump_json():
            raise ValidationError("state_dict", f"must be that of a chip with the same specification{hint}")
        own = [unit.index for unit in self._units()]
        saved = {int(index): _unpacked(unit) for index, unit in state["units"]}
        if list(saved) != own or state["tiles"] != len(self.chip.units):
            rule = (
                f"must be that of layers made on their chip in the same order: tiles {list(saved)} of {state['tiles']}"
            )
            raise ValidationError("state_dict", rule + hint, f"tiles {own} of {len(self.chip.units)}")
        seeds = [self.chip.seed, self.chip.context.noise_seed]
        if seeds != state["seeds"] and not self._own_chip:
            raise ValidationError("chip", f"must have the seeds of the state, {state['seeds']}{hint}", seeds)
        first, second = state["seeds"]
        return saved, (first, second)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, metadata: Any, strict: bool, missing: list[str], *rest: Any
    ) -> None:
        extra, given = f"{prefix}_extra_state", state_dict.get(f"{prefix}weight")
        parts = None
        # Whatever is refused is refused before anything is changed.
        if extra in state_dict:
            self._checked(state_dict[extra])
        elif isinstance(given, torch.Tensor) and given.shape == self.weight.shape:  # weights of a plain layer
            parts = self._matrices(given, len(self.products))
            for product, part in zip(self.products, parts, strict=True):
                product.check_range(part)
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, missing, *rest)
        if extra in missing:
            missing.remove(extra)
        for product, part in zip(self.products, parts or (), strict=parts is not None):
            product.fit_range(part)


def set_read_noise(module: torch.nn.Module, on: bool) -> None:
    """Switch the read noise of all crossbar layers of a module on or off.

    ``module.eval()`` does not do this: a chip is as noisy in use as in training.
    """
    for layer in module.modules():
        if isinstance(layer, CrossbarModule):
            layer.read_noise = on


def _packed(value: Any) -> Any:
    """Return nested values with tensors in place of arrays, which ``torch.load`` reads without running code."""
    if isinstance(value, np.ndarray):
        return str(value) if value.dtype.kind == "U" else torch.from_numpy(value.copy())
    if isinstance(value, Mapping):
        return {name: _packed(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_packed(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _unpacked(value: Any) -> Any:
    """Return what :func:`_packed` was given, with lists in place of tuples."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy().copy()
    if isinstance(value, Mapping):
        return {name: _unpacked(item) for name, item in value.items()}
    return [_unpacked(item) for item in value] if isinstance(value, list | tuple) else value
