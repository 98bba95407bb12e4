"""From a network on tiles to one that multiplies: pulses, calibration, and norms that are measured on the chip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from circuitmem.calibration import CalibrationRecord
from circuitmem.config import CalibrationSpec
from circuitmem.control import Chip
from circuitmem.errors import ValidationError
from circuitmem.rng import Purpose, stream
from circuitmem.torch.convert import inputs_of
from circuitmem.torch.module import CrossbarModule
from circuitmem.torch.observe import crossbar_layers, evaluating, fitting, observe
from circuitmem.torch.product import checked_methods
from circuitmem.torch.rule import program_towards
from circuitmem.validation import in_range, integer

__all__ = ["calibrate", "calibrate_layers", "chip_of", "program", "program_layers", "some"]

JOINED = ("defect-subtract", "affine")
"""What suits inputs of both signs and of any distribution: known stuck cells are subtracted, the rest is fitted."""


def chip_of(module: torch.nn.Module) -> Chip:
    """Return the chip that the layers of a network share.

    Raises
    ------
    ValidationError
        If there is none, or more than one.
    """
    chips = {id(layer.chip): layer.chip for layer in crossbar_layers(module).values()}
    if len(chips) > 1:
        raise ValidationError(
            "module", "must have its layers on one chip, as convert() makes them", f"{len(chips)} chips"
        )
    return next(iter(chips.values()))


def program(module: torch.nn.Module, deadband: float = 0.0, verify: bool = False) -> int:
    """Program all layers of a network towards their weights by timed pulses, side by side; returns how many pulses.

    Without it cells are put in place at the next use, without pulses, time, energy and their noise: program a network
    before it is used. After a step of an optimiser this gives the pulses of the update: training in situ.

    Parameters
    ----------
    module : torch.nn.Module
        From :func:`convert`.
    deadband : float
        Changes of conductance up to this are not worth a pulse [S], >= 0.
    verify : bool
        Whether cells are read back and programmed again as ``[chip.programming]`` says.

    Raises
    ------
    ValidationError
        If the layers are not on one chip, or a weight is not finite.
    """
    chip, deadband = chip_of(module), in_range("deadband", deadband, 0.0, np.inf)
    before = chip.ledger.pulses
    with chip.during("programming"):
        program_layers(module, deadband, verify)
    return chip.ledger.pulses - before


def program_layers(module: torch.nn.Module, deadband: float = 0.0, verify: bool = False) -> None:
    """Do as :func:`program` does, in the phase of the chip that it is in."""
    chip, layers = chip_of(module), list(crossbar_layers(module).values())
    for layer in layers:
        for product in layer.products:
            product.set_read_noise(layer.read_noise)
    chip.run(program_towards(layers, deadband))
    if verify:
        tries, tolerance = chip.spec.programming.verify_tries, chip.spec.programming.verify_tolerance
        for layer in layers:
            for product in layer.products:
                chip.run(product.layer.verify(tries, tolerance))


def calibrate(
    module: torch.nn.Module,
    inputs: Any,
    method: str | Sequence[str] = JOINED,
    *,
    vectors: int = CalibrationSpec().vectors,
    batch_norm: bool = True,
) -> CalibrationRecord:
    """Calibrate all layers of a network, and measure the statistics of its batch norms on the chip; returns the cost.

    Parameters
    ----------
    module : torch.nn.Module
        From :func:`convert`.
    inputs : Tensor, array or tuple of them
        Inputs of the network; what each layer gets of them is worked out digitally.
    method : str or sequence of str
        Names of calibrations, each of which learns on what those before it leave.
    vectors : int
        With how many vectors each layer is calibrated, >= 2: all it gets, or so many of them at random.
    batch_norm : bool
        Whether running means and variances are those of a forward pass on the chip from then on, instead of those
        that digital training has left; does nothing without layers of batch norm.

    Raises
    ------
    ValidationError
        If a layer is never used with these inputs, or an argument breaks its rule.
    """
    chip, total = chip_of(module), CalibrationRecord()
    spec = CalibrationSpec(method=checked_methods(method), vectors=integer("vectors", vectors, 2))
    with chip.during("calibration"):
        calibrate_layers(module, inputs, spec, total, batch_norm)
    return total


def calibrate_layers(
    module: torch.nn.Module, inputs: Any, spec: CalibrationSpec, record: CalibrationRecord, batch_norm: bool = True
) -> None:
    """Do as :func:`calibrate` does, in the phase of the chip that it is in; ``record`` gets the cost."""
    chip, given, vectors = chip_of(module), fitting(module, inputs_of(inputs)), spec.vectors
    found: dict[str, list[list[NDArray[np.float64]]]] = {}
    rng = stream(chip.seed, Purpose.CALIBRATION)

    def see(name: str, _: CrossbarModule, values: list[NDArray[np.float64]]) -> None:
        chosen = some(len(values[0]), vectors, rng)
        found.setdefault(name, []).append([own[chosen] for own in values])

    observe(module, given, see)
    for name, layer in crossbar_layers(module).items():
        every = [np.concatenate(calls) for calls in zip(*found[name], strict=True)]
        chosen = some(len(every[0]), vectors, rng)
        _add(record, layer.calibrate_vectors([torch.from_numpy(own[chosen]) for own in every], spec))
    if batch_norm:
        _measure_norms(module, given, chip, record)


def some(count: int, most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return at most ``most`` of so many places, in their order."""
    return np.arange(count) if count <= most else np.sort(rng.permutation(count)[:most])


def _add(total: CalibrationRecord, record: CalibrationRecord) -> None:
    total.reads_per_product = max(total.reads_per_product, record.reads_per_product)
    for name in ("reads", "time_s", "energy_j", "pulses", "stored_words", "digital_products", "products"):
        setattr(total, name, getattr(total, name) + getattr(record, name))


def _measure_norms(
    module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], chip: Chip, total: CalibrationRecord
) -> None:
    norms = [part for part in module.modules() if _has_statistics(part)]
    if not norms:
        return
    before = chip.now, chip.ledger.energy, _reads(chip)
    with evaluating(module), _measuring(norms):
        module(*inputs)
    total.time_s += chip.now - before[0]
    total.energy_j += chip.ledger.energy - before[1]
    total.reads += _reads(chip) - before[2]


def _has_statistics(part: torch.nn.Module) -> bool:
    return isinstance(part, torch.nn.modules.batchnorm._BatchNorm) and part.running_mean is not None


@contextmanager
def _measuring(norms: Sequence[Any]) -> Iterator[None]:
    """Let norms take their statistics from the batches within this block, each batch with the same weight."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum, norm.training = None, True
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def _reads(chip: Chip) -> int:
    return sum(account.operations for kind, account in chip.ledger.accounts.items() if kind.endswith("_read"))
