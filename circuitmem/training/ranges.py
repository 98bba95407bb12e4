"""Ranges of DACs and amplifiers that follow a network during training, because its activities and currents grow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration import Products, measure_products
from circuitmem.control import Process
from circuitmem.network import HardwareLayer, HardwareNetwork

__all__ = ["RANGE", "follow_ranges"]

Floats = NDArray[np.float64]

RANGE = 0.999
"""Fraction of a layer's activities that the highest DAC code should cover."""

VECTORS = 200
"""Largest number of vectors of the last batch from which the amplifiers' gains are chosen."""

LEAST = 1e-6
"""Smallest activity that the highest DAC code may stand for."""


def follow_ranges(network: HardwareNetwork) -> Process:
    """Choose the ranges of all layers again, from the activities of the last batch.

    The digital core has the activities before they are clipped to the range of the DACs: from now on the highest code
    of a hidden layer stands for their 99.9th percentile. Then the gain of each tile is chosen from reads of some of
    these vectors. Both are booked. The inputs of the network keep their range, which is that of the data.

    The shift that a calibration adds to the currents of a column corrects both the converters' offsets, which stay the
    same, and the mean current of stuck cells, which scales with the range. So where the range has changed, the shift is
    estimated again from reads of the same vectors before and after the change, to keep the products as they were.

    Parameters
    ----------
    network : HardwareNetwork
        The network, after a forward pass.
    """
    for index, layer in enumerate(network.layers):
        seen, before = np.maximum(layer.seen, 0.0), layer.input_scale
        after = before
        if index not in network.fixed_ranges:
            yield from network.chip.compute(seen.size)
            after = max(float(np.quantile(seen, RANGE)), LEAST)
        vectors = seen[:: -(-len(seen) // VECTORS)]
        shared = np.minimum(vectors, min(before, after))
        kept: Products | None = None
        if after != before and layer.correction.shift.any():
            kept = yield from measure_products(layer, shared)
        layer.input_scale = after
        yield from layer.set_range(layer.input_codes(np.minimum(vectors, after)), layer.correction.groups)
        if kept is not None:
            yield from _keep(layer, shared, kept.currents * (before / after))


def _keep(layer: HardwareLayer, vectors: Floats, currents: Floats) -> Process:
    """Shift the columns so that vectors give the same mean currents again; (groups, tiles, vectors, columns) A."""
    found: Products = yield from measure_products(layer, vectors)
    lacking = (currents - found.currents).mean(axis=2)
    layer.correction = layer.correction.then_columns(np.ones_like(layer.correction.scale), lacking)
    yield from layer.chip.compute(currents.size)
