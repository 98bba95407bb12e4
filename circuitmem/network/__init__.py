"""Layers of weights on tiles, and their digital twin."""

from circuitmem.network.correction import Correction
from circuitmem.network.digital import Perceptron
from circuitmem.network.hardware import HardwareNetwork, mapping_on, partitions
from circuitmem.network.layer import HardwareLayer
from circuitmem.network.partition import Partition
from circuitmem.network.patches import Patches, patches_of, positions
from circuitmem.network.placement import Placement
from circuitmem.network.stream import RequestStream
from circuitmem.network.summary import LayerSummary, NetworkSummary, cells_used, used_columns
from circuitmem.network.tiling import LayerTiling, split

__all__ = [
    "Correction",
    "HardwareLayer",
    "HardwareNetwork",
    "LayerSummary",
    "LayerTiling",
    "NetworkSummary",
    "Partition",
    "Patches",
    "Perceptron",
    "Placement",
    "RequestStream",
    "cells_used",
    "mapping_on",
    "partitions",
    "patches_of",
    "positions",
    "split",
    "used_columns",
]
