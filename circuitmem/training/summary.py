"""What the network of a run needs of its chip, before anything is trained or programmed by pulses."""

from __future__ import annotations

from typing import Any

from threadpoolctl import threadpool_limits

from circuitmem.config import RunSpec
from circuitmem.control import ATTOJOULE, PICOSECOND, Chip
from circuitmem.data import Dataset
from circuitmem.network import LayerSummary, NetworkSummary, cells_used, used_columns
from circuitmem.training.ex_situ import initial_perceptron
from circuitmem.training.methods import build_network

__all__ = ["summarize"]

MEASURED = 8
"""Inputs with which reads, time and energy are measured."""


def summarize(spec: RunSpec, data: Dataset) -> NetworkSummary:
    """Return tiles and cells of each layer, and what an inference reads, takes and spends there.

    They are booked by a chip with the run's devices and defects whose cells stand for the starting weights, with
    samples of the training part: time and reads are those of any weights, energy changes with what cells conduct.

    Parameters
    ----------
    spec : RunSpec
        The run, of a network of layers.
    data : Dataset
        From :func:`circuitmem.training.load_data`.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        network = build_network(spec, initial_perceptron(spec.network, spec.seed), data)
        model, chip = network.model, network.chip
        inputs = data.train_inputs[:MEASURED]
        layers, products = [], 0
        kernels = len(spec.network.convolutions)
        for index, (layer, weights, seen) in enumerate(
            zip(network.layers, model.weights, model.activities(inputs), strict=False)
        ):
            layer.set_cells(weights)
            before = _booked(chip)
            sums: Any = chip.run(layer.forward(layer.within_range(seen)))
            if index + 1 < len(network.layers) and model.patches[index + 1] is not None:
                chip.run(chip.compute(sums.size))  # the additions of pooling
            time, energy, reads = (now - then for now, then in zip(_booked(chip), before, strict=True))
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
                    vectors=len(seen) / len(inputs),
                    signed=False,
                    reads=reads / len(inputs),
                    time_s=time * PICOSECOND / len(inputs),
                    energy_j=energy * ATTOJOULE / len(inputs),
                )
            )
            products += weights.size * len(seen) // len(inputs)
    return NetworkSummary(tuple(layers), ("biases",), products, 1.0)


def _booked(chip: Chip) -> tuple[int, int, int]:
    account = chip.ledger.accounts.get("mac_read")
    return chip.clock, chip.ledger.total.energy, 0 if account is None else account.operations
