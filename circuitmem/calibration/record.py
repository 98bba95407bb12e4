"""Cost of a calibration, and its effect: errors of products on vectors that were not used to calibrate."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration.answers import learn, prepare_with, stored_words
from circuitmem.calibration.method import Calibration, measure_products
from circuitmem.control import Process
from circuitmem.network import Correction, HardwareLayer

__all__ = ["CalibrationRecord", "MacError", "calibrate_layer", "mac_error"]

Floats = NDArray[np.float64]


@dataclass
class CalibrationRecord:
    """Cost of a calibration, summed over the layers.

    Attributes
    ----------
    reads : int
        Reads of tiles.
    time_s, energy_j : float
        Simulated time and energy, including pulses and the work of the digital core.
    pulses : int
        Programming pulses.
    stored_words : int
        Numbers that the digital core stores.
    reads_per_product : int
        Reads of each tile that every product needs from now on.
    digital_products, products : int
        Multiplications of an input by a weight that the digital core does from now on for each product of the network
        with an input (with one patch of it, in a convolution), and the number of multiplications of such a product in
        all.
    """

    reads: int = 0
    time_s: float = 0.0
    energy_j: float = 0.0
    pulses: int = 0
    stored_words: int = 0
    reads_per_product: int = 1
    digital_products: int = 0
    products: int = 0

    def as_dict(self) -> dict[str, float]:
        """Return plain values, for a file."""
        return asdict(self)


@dataclass(frozen=True)
class MacError:
    """Errors of a layer's product relative to the largest magnitude of the ideal product.

    Where that is 0, for example because all weights are 0, they are relative to the largest magnitude that was found.

    Attributes
    ----------
    rmse, largest : float
        Root mean square, and largest magnitude.
    """

    rmse: float
    largest: float

    @classmethod
    def of(cls, found: Floats, wanted: Floats) -> MacError:
        """Compare products with the ideal ones; both have the same shape, which may be any."""
        error = found - wanted
        full_scale = float(np.abs(wanted).max()) or float(np.abs(found).max()) or 1.0
        return cls(float(np.sqrt(np.mean(error**2))) / full_scale, float(np.abs(error).max()) / full_scale)


def calibrate_layer(
    method: Calibration, layer: HardwareLayer, activities: Floats, record: CalibrationRecord, again: bool = False
) -> Process:
    """Choose the amplifiers' gains and let a method learn; its cost is added to ``record``.

    The gains are chosen from measured reads. Every method needs these reads, so they do not count as its cost.

    The first calibration aims at the products of the weights that were asked for. A later one, on a chip that has been
    trained, measures the products and aims to keep them: a trained chip has adapted to its stuck cells, and the weights
    that were asked of it no longer describe what it computes.

    Parameters
    ----------
    method : Calibration
        The method.
    layer : HardwareLayer
        The layer, programmed.
    activities : (vectors, inputs) ndarray
        Calibration inputs, not above the layer's ``input_scale``.
    record : CalibrationRecord
        Where to add the cost.
    again : bool
        Whether the layer was calibrated before with the same method: then no cell is programmed.

    Returns
    -------
    Process
        For the chip's clock; it returns nothing.
    """
    kept = None
    if again:
        kept = yield from _booked(layer, record, measure_products(layer, activities))
    else:
        layer.correction = Correction.identity(len(layer.units), layer.chip.spec.tile.columns)
        yield from _booked(layer, record, prepare_with(method, layer))
    yield from layer.set_range(layer.input_codes(activities), method.groups)
    yield from _booked(layer, record, learn(method, layer, activities, kept))
    record.stored_words += stored_words(method, layer)
    record.reads_per_product = max(record.reads_per_product, method.groups)
    record.digital_products += layer.digital_products
    record.products += layer.weights.size


def _booked(layer: HardwareLayer, record: CalibrationRecord, process: Process) -> Process:
    chip = layer.chip
    time, energy, pulses, reads = chip.now, chip.ledger.energy, chip.ledger.pulses, _reads(layer)
    found = yield from process
    record.time_s += chip.now - time
    record.energy_j += chip.ledger.energy - energy
    record.pulses += chip.ledger.pulses - pulses
    record.reads += _reads(layer) - reads
    return found


def _reads(layer: HardwareLayer) -> int:
    accounts = layer.chip.ledger.accounts
    return sum(account.operations for kind, account in accounts.items() if kind.endswith("_read"))


def mac_error(layer: HardwareLayer, activities: Floats, wanted: Floats) -> Process:
    """Multiply activities (vectors, inputs) on the chip; returns the :class:`MacError` against ``wanted``."""
    return MacError.of((yield from layer.forward(activities)), wanted)
