"""Bring-up of a network on tiles: programming, calibration, and statistics of norms measured on the chip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from circuitmem.calibration import CalibrationRecord
from circuitmem.config import CalibrationSpec
from circuitmem.control import Chip
from circuitmem.errors import ValidationError
from circuitmem.rng import Purpose, stream
from circuitmem.torch.convert import inputs_of
from circuitmem.torch.module import CrossbarModule
from circuitmem.torch.observe import crossbar_layers, evaluating, fitting, vectors_of
from circuitmem.torch.product import checked_methods
from circuitmem.validation import in_range, integer

__all__ = ["JOINED", "calibrate", "chip_of", "measure_norms", "program"]

JOINED = ("defect-subtract", "affine")
"""Calibrations for inputs of both signs and any distribution: known stuck cells are subtracted, the rest is fitted."""


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

    Program a network before it is used: otherwise cells are put in place at the next use, without pulses, their time,
    energy and noise. Called after a step of an optimiser, it applies the update by pulses: training in situ.

    Parameters
    ----------
    module : torch.nn.Module
        From :func:`convert`.
    deadband : float
        Changes of conductance up to this get no pulse [S], >= 0.
    verify : bool
        Whether cells are read back and programmed again as ``[chip.programming]`` says.

    Raises
    ------
    ValidationError
        If the layers are not on one chip, or a weight is not finite.
    """
    chip, deadband = chip_of(module), in_range("deadband", deadband, 0.0, np.inf)
    products = [pair for layer in _quiet(module) for pair in zip(layer.products, layer.matrices(), strict=True)]
    before, verifying = chip.ledger.pulses, chip.spec.programming
    with chip.during("programming"):
        units = [unit for product, _ in products for unit in product.layer.units]
        chip.run(chip.program_all(units, [product.targets(weights) for product, weights in products], deadband))
        for product, _ in products if verify else ():
            chip.run(product.layer.verify(verifying.verify_tries, verifying.verify_tolerance))
    return chip.ledger.pulses - before


def _quiet(module: torch.nn.Module) -> Iterator[CrossbarModule]:
    """Give the layers on tiles, each after its setting of read noise was applied."""
    for layer in crossbar_layers(module).values():
        for product in layer.products:
            product.set_read_noise(layer.read_noise)
        yield layer


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
        Inputs of the network; the inputs of each layer are calculated from them digitally.
    method : str or sequence of str
        Names of calibrations; each learns with those before it applied.
    vectors : int
        Most vectors that a layer is calibrated with, >= 2; if it gets more, so many are chosen at random.
    batch_norm : bool
        Whether running means and variances are replaced by those of a forward pass on the chip, or stay as digital
        training has left them; has no effect without layers of batch norm.

    Raises
    ------
    ValidationError
        If a layer is never used with these inputs, or an argument breaks its rule.
    """
    chip, total = chip_of(module), CalibrationRecord()
    spec = CalibrationSpec(method=checked_methods(method), vectors=integer("vectors", vectors, 2))
    with chip.during("calibration"):
        given = fitting(module, inputs_of(inputs))
        found = vectors_of(module, given, spec.vectors, stream(chip.seed, Purpose.CALIBRATION))
        for layer, own in found.items():
            _add(total, layer.calibrate_vectors([torch.from_numpy(each) for each in own], spec))
        if batch_norm:
            measure_norms(module, given, total)
    return total


def _add(total: CalibrationRecord, record: CalibrationRecord) -> None:
    total.reads_per_product = max(total.reads_per_product, record.reads_per_product)
    for name in ("reads", "time_s", "energy_j", "pulses", "stored_words", "digital_products", "products"):
        setattr(total, name, getattr(total, name) + getattr(record, name))


def measure_norms(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], total: CalibrationRecord) -> None:
    """Set the statistics of batch norms from a forward pass on the chip; its cost is added to ``total``."""
    norms, chip = [part for part in module.modules() if _has_statistics(part)], chip_of(module)
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
