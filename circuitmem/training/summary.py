"""What the network of a run needs on its chip, computed before anything is trained or programmed by pulses."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from circuitmem.config import RunSpec
from circuitmem.control import ATTOJOULE, PICOSECOND, Chip, Process
from circuitmem.data import Dataset
from circuitmem.network import (
    HardwareNetwork,
    LayerSummary,
    NetworkSummary,
    cells_used,
    on_chip,
    tiles_of,
    used_columns,
)
from circuitmem.training.ex_situ import initial_perceptron
from circuitmem.training.methods import build_network
from circuitmem.training.own import own_network

__all__ = ["summarize"]

Floats = NDArray[np.float64]

MEASURED = 8
"""Number of inputs with which reads, time and energy are measured."""


def summarize(spec: RunSpec, data: Dataset) -> NetworkSummary:
    """Return the tiles and cells of each layer, and the reads, time and energy of an inference on them.

    The cost is that of a simulated chip with the run's devices and defects, whose cells are set to the starting
    weights, for samples of the training part. Time and reads do not depend on the weights; the energy depends on the
    conductances of the cells.

    Parameters
    ----------
    spec : RunSpec
        The run, of a network of layers, or of one that asks for products.
    data : Dataset
        From :func:`circuitmem.training.load_data`.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        starting = own_network(spec.network) or initial_perceptron(spec.network, spec.seed)
        network = build_network(spec, starting, data)
        model = network.model
        inputs = data.train_inputs[:MEASURED]
        layers, products = [], 0
        kernels = len(spec.network.convolutions)
        for layer, weights in zip(network.layers, model.weights, strict=True):
            layer.set_cells(weights)
        spent, seen, signs = _spent(network, inputs)
        for index, (layer, weights) in enumerate(zip(network.layers, model.weights, strict=True)):
            time, energy, reads = spent[index]
            layers.append(
                LayerSummary(
                    name=str(index + 1),
                    kind="Conv2d" if index < kernels else "Linear",
                    inputs=weights.shape[0],
                    outputs=weights.shape[1],
                    groups=1,
                    tiles=len(layer.units),
                    columns=used_columns([layer]),
                    cells_used=cells_used([layer]),
                    vectors=seen[index] / len(inputs),
                    signed=model.signed and signs[index],
                    reads=reads / len(inputs),
                    time_s=time * PICOSECOND / len(inputs),
                    energy_j=energy * ATTOJOULE / len(inputs),
                )
            )
            products += weights.size * seen[index] // len(inputs)
    shared = sum(layer.tiles for layer in layers) - tiles_of(network.layers)
    return NetworkSummary(tuple(layers), ("biases",), products, 1.0, shared)


def _spent(network: HardwareNetwork, inputs: Floats) -> tuple[NDArray[np.int64], list[int], list[bool]]:
    """Return the cost of each matrix in a forward pass, (matrices, 3), its vectors, and whether some are below 0.

    The cost is time [ps], energy [aJ] and reads, and includes the digital work that follows the products of a matrix.
    The vectors are those of the digital core.
    """
    model, chip = network.model, network.chip
    spent, seen = np.zeros((len(model.weights), 3), dtype=np.int64), [0] * len(model.weights)
    signs, begun = [False] * len(model.weights), []

    def product(matrix: int, vectors: Floats) -> Process:
        begun.append((matrix, _booked(chip)))
        seen[matrix] += len(vectors)
        signs[matrix] |= bool((vectors < 0.0).any())
        yield from network.multiply(matrix, vectors)
        return vectors @ model.weights[matrix]

    chip.run(on_chip(chip, model.steps(inputs), product))
    for (matrix, before), (_, after) in pairwise([*begun, (0, _booked(chip))]):
        spent[matrix] += after - before
    return spent, seen, signs


def _booked(chip: Chip) -> NDArray[np.int64]:
    account = chip.ledger.accounts.get("mac_read")
    return np.array([chip.clock, chip.ledger.total.energy, 0 if account is None else account.operations])
