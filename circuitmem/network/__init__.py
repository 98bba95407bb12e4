"""Layers of weights on tiles, and their digital twin."""

from typing import TYPE_CHECKING

from circuitmem.deprecation import renamed
from circuitmem.network.ask import Ask, Network, Steps, answer_digitally, halves_of, on_chip
from circuitmem.network.correction import Correction
from circuitmem.network.cuts import Cut
from circuitmem.network.digital import Perceptron, of_layers
from circuitmem.network.hardware import (
    BackwardMap,
    HardwareNetwork,
    kernels_of,
    mapping_on,
    output_ranges,
    partitions,
    tile_counts,
)
from circuitmem.network.layer import HardwareLayer
from circuitmem.network.partition import Partition
from circuitmem.network.patches import Patches, patches_of, positions
from circuitmem.network.placement import Placement
from circuitmem.network.stream import RequestStream
from circuitmem.network.summary import LayerSummary, NetworkSummary, cells_used, tiles_of, used_columns
from circuitmem.network.tiling import LayerTiling, split

__all__ = [
    "Ask",
    "BackwardMap",
    "Correction",
    "Cut",
    "HardwareLayer",
    "HardwareNetwork",
    "LayerSummary",
    "LayerTiling",
    "Network",
    "NetworkSummary",
    "Partition",
    "Patches",
    "Perceptron",
    "Placement",
    "RequestStream",
    "Steps",
    "answer_digitally",
    "cells_used",
    "halves_of",
    "kernels_of",
    "mapping_on",
    "of_layers",
    "on_chip",
    "output_ranges",
    "partitions",
    "patches_of",
    "positions",
    "split",
    "tile_counts",
    "tiles_of",
    "used_columns",
]

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__, {"digitally": "answer_digitally"}, "0.4.0")
