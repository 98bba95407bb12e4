"""What a calibration cost, and what it brought: errors of the product on vectors that it has not seen."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration.method import Calibration
from circuitmem.control import Process
from circuitmem.network import HardwareLayer

__all__ = ["CalibrationRecord", "MacError", "calibrate_layer", "mac_error"]

Floats = NDArray[np.float64]


@dataclass
class CalibrationRecord:
    """What calibrating cost, layers added up.

    Attributes
    ----------
    reads : int
        Reads of tiles.
    time_s, energy_j : float
        Simulated time and energy, pulses and the digital core's work included.
    pulses : int
        Programming pulses.
    stored_words : int
        Numbers that the digital core keeps.
    reads_per_product : int
        Reads of each tile that every product needs from now on.
    """

    reads: int = 0
    time_s: float = 0.0
    energy_j: float = 0.0
    pulses: int = 0
    stored_words: int = 0
    reads_per_product: int = 1

    def as_dict(self) -> dict[str, float]:
        """Return plain values, for a file."""
        return asdict(self)


@dataclass(frozen=True)
class MacError:
    """Errors of a layer's product relative to the largest magnitude of the ideal one.

    Attributes
    ----------
    rmse, largest : float
        Root of the mean square, and largest magnitude.
    """

    rmse: float
    largest: float


def calibrate_layer(
    method: Calibration, layer: HardwareLayer, activities: Floats, record: CalibrationRecord, again: bool = False
) -> Process:
    """Choose the amplifiers' gains and let a method learn; its cost is added to ``record``.

    The gains are chosen from measured reads, which every method needs: they are not counted as its cost.

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
        Whether this was done before: then no cell is programmed for it.
    """
    if not again:
        yield from _booked(layer, record, method.prepare(layer))
    yield from layer.set_range(layer.input_codes(activities), method.groups)
    yield from _booked(layer, record, method.learn(layer, activities))
    record.stored_words += method.stored_words(layer)
    record.reads_per_product = max(record.reads_per_product, method.groups)


def _booked(layer: HardwareLayer, record: CalibrationRecord, process: Process) -> Process:
    chip = layer.chip
    time, energy, pulses, reads = chip.now, chip.ledger.energy, chip.ledger.pulses, _reads(layer)
    yield from process
    record.time_s += chip.now - time
    record.energy_j += chip.ledger.energy - energy
    record.pulses += chip.ledger.pulses - pulses
    record.reads += _reads(layer) - reads


def _reads(layer: HardwareLayer) -> int:
    accounts = layer.chip.ledger.accounts
    return sum(account.operations for kind, account in accounts.items() if kind.endswith("_read"))


def mac_error(layer: HardwareLayer, activities: Floats, wanted: Floats) -> Process:
    """Multiply activities (vectors, inputs) on the chip; returns the :class:`MacError` against ``wanted``."""
    found = yield from layer.forward(activities)
    error = found - wanted
    full_scale = max(float(np.abs(wanted).max()), 1e-300)
    return MacError(float(np.sqrt(np.mean(error**2))) / full_scale, float(np.abs(error).max()) / full_scale)
