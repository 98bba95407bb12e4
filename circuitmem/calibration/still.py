"""Present errors of a layer's products, for the figures of a run only: no method may use them.

The simulator looks at the chip while the clock stands still: the reads take no time, are not booked, and their noise
has an address of its own. So a run is the same to the last bit with and without them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Address
from circuitmem.calibration.record import MacError
from circuitmem.network import Correction, HardwareLayer
from circuitmem.rng import Purpose, stream_key

__all__ = ["still_error", "still_products"]

Floats = NDArray[np.float64]


def still_error(layer: HardwareLayer, activities: Floats, weights: Floats, *, raw: bool = False) -> MacError:
    """Return the errors of a layer's products with activities, relative to those of the target weights.

    Parameters
    ----------
    layer : HardwareLayer
        The layer, programmed.
    activities : (vectors, inputs) ndarray
        Inputs, clipped to the range from 0 to the layer's ``input_scale``.
    weights : (inputs, outputs) ndarray
        Target weights.
    raw : bool
        Whether to leave the correction out, and to use the amplifiers' gains that suit raw reads of these inputs.
    """
    return MacError.of(*still_products(layer, activities, weights, raw=raw))


def still_products(
    layer: HardwareLayer, activities: Floats, weights: Floats, *, raw: bool = False
) -> tuple[Floats, Floats]:
    """Return a layer's products with activities, and those of the target weights, each (vectors, outputs).

    Parameters are those of :func:`still_error`.
    """
    within = np.clip(activities, 0.0, layer.input_scale)
    found = _raw_products(layer, within) if raw else _products(layer, within)
    return found, within @ weights


def _raw_products(layer: HardwareLayer, activities: Floats) -> Floats:
    """Return the products that raw codes give; correction and gains are restored afterwards."""
    adcs = [unit.readout.adc for unit in layer.units]
    kept = layer.correction, [adc.pga_gain for adc in adcs]
    layer.correction = Correction.identity(len(layer.units), layer.chip.spec.tile.columns)
    try:
        for adc in adcs:
            adc.set_pga_gain(1.0)
        layer.choose_gains(_planes(layer, activities))
        return _products(layer, activities)
    finally:
        layer.correction = kept[0]
        for adc, gain in zip(adcs, kept[1], strict=True):
            adc.set_pga_gain(gain)


def _products(layer: HardwareLayer, activities: Floats) -> Floats:
    """Return the layer's products with activities, (vectors, outputs)."""
    currents = layer.whole_inputs(_planes(layer, activities))
    return layer.products(layer.correction.apply(currents).sum(axis=0), layer.layer_codes(activities))


def _planes(layer: HardwareLayer, activities: Floats) -> Floats:
    """Return the currents of single reads, (groups, tiles, vectors, planes, columns) A."""
    chip, groups = layer.chip, layer.correction.groups
    chip.electrics.refresh(layer.units)
    answers = []
    for unit, drives in zip(layer.units, layer.drives(layer.input_codes(activities), groups), strict=True):
        noise = Address(stream_key(chip.context.noise_seed, Purpose.PRODUCT_ERROR, unit.index), 0)
        answers.append(chip.electrics.codes(unit, drives, noise)[0])
    return layer.currents(answers, len(activities), groups)
