"""Ranges of DACs and amplifiers that follow a network while it is trained, for its activities and currents grow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration import Products, measure_products
from circuitmem.control import Process
from circuitmem.network import HardwareLayer, HardwareNetwork

__all__ = ["RANGE", "follow_ranges"]

Floats = NDArray[np.float64]

RANGE = 0.999
"""Share of a layer's activities that the highest DAC code is to cover."""

VECTORS = 200
"""Vectors of the last batch, at most, with which amplifiers' gains are chosen."""

LEAST = 1e-6
"""Activity that the highest DAC code stands for at least."""


def follow_ranges(network: HardwareNetwork) -> Process:
    """Choose the ranges of all layers anew, from what the last batch asked of them.

    The digital core has the activities before they are cut to the range of the DACs: of a hidden layer the highest code
    stands for their 99.9th percentile from now on. Then the gain of each tile is chosen from reads of some of these
    vectors. Both are booked. The inputs of the network keep their range, which is that of the data.

    What a calibration adds to the currents of a column is part the converters' offsets, which stay, and part the mean
    of what stuck cells carry, which goes with the range: so it is estimated anew where the range has changed, from
    reads of the same vectors before and after, that products stay what they were.

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
    """Shift the columns so that vectors give these currents again, (groups, tiles, vectors, columns) A, in the mean."""
    found: Products = yield from measure_products(layer, vectors)
    lacking = (currents - found.currents).mean(axis=2)
    layer.correction = layer.correction.then_columns(np.ones_like(layer.correction.scale), lacking)
    yield from layer.chip.compute(currents.size)
