"""Ranges of DACs and amplifiers that follow a network while it is trained, for its activities and currents grow."""

from __future__ import annotations

import numpy as np

from circuitmem.control import Process
from circuitmem.network import HardwareNetwork

__all__ = ["RANGE", "follow_ranges"]

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

    Parameters
    ----------
    network : HardwareNetwork
        The network, after a forward pass.
    """
    for index, layer in enumerate(network.layers):
        seen = np.maximum(layer.seen, 0.0)
        if index:
            yield from network.chip.compute(seen.size)
            layer.input_scale = max(float(np.quantile(seen, RANGE)), LEAST)
        chosen = np.minimum(seen[:: -(-len(seen) // VECTORS)], layer.input_scale)
        yield from layer.set_range(layer.input_codes(chosen), layer.correction.groups)
