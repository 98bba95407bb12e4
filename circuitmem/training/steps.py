"""The steps that make up a method: each acts on a chip, or on the weights that will be programmed into it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration import CalibrationRecord, find_stuck
from circuitmem.config import RunSpec
from circuitmem.control import Process
from circuitmem.data import Dataset
from circuitmem.network import HardwareLayer, HardwareNetwork
from circuitmem.training.input_ranges import InputRanges
from circuitmem.training.offline import inject_defects, retrain, significance
from circuitmem.training.recipes import Recipe
from circuitmem.training.remapping import Assign, place_columns, place_rows_and_columns

__all__ = [
    "Work",
    "find_defects",
    "freeze_pairs",
    "inject",
    "program_weights",
    "remap_columns",
    "remap_rows_and_columns",
    "retrain_weights",
    "use_partners",
]

Floats = NDArray[np.float64]
ConductanceLimits = list[tuple[Floats, Floats]]

SIGNIFICANT = 2000
"""Number of training samples from which the significance of weights is computed."""


@dataclass
class Work:
    """The objects that the steps of a method work on.

    Attributes
    ----------
    network : HardwareNetwork
        The network on its chip: ``network.model`` has the weights that the digital core asks for, in place.
    spec : RunSpec
        The run.
    data : Dataset
        The data.
    recipe : Recipe
        The method.
    record : CalibrationRecord
        Where the cost of calibrating is added.
    limits : list of (lowest, highest)
        Limits of each layer's weights, (inputs, outputs) each, once a step has set them.
    errors : dict
        Errors of products, once a step has calibrated: ``{"before": [...], "after": [...]}``.
    """

    network: HardwareNetwork
    spec: RunSpec
    data: Dataset
    recipe: Recipe
    record: CalibrationRecord
    limits: ConductanceLimits = field(default_factory=list)
    errors: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @cached_property
    def costs(self) -> list[Floats]:
        """Sensitivity of the loss to errors of each weight, (inputs, outputs) a layer; computed at first access."""
        data = self.data
        return significance(self.network.model, data.train_inputs[:SIGNIFICANT], data.train_targets[:SIGNIFICANT])

    def keep_within(self, limits: ConductanceLimits) -> None:
        """Keep the weights within limits, from now on."""
        self.limits = limits
        for weights, (lowest, highest) in zip(self.network.model.weights, limits, strict=True):
            np.clip(weights, lowest, highest, out=weights)


def inject(work: Work, word: str) -> Process:  # noqa: ARG001
    """Continue training ex situ with random defects and noise of the declared statistics: hardware-aware training."""
    layers, data = work.network.layers, work.data
    perturb = inject_defects(work.spec.chip, layers)
    train = data.train_inputs, data.train_targets
    limits = [layer.limits() for layer in layers]
    spec, ranges = work.spec, None
    if spec.hardware_aware.input_ranges == "learned":
        ranges = InputRanges(layers, spec.chip.converters.dac.levels)
    retrain(work.network.model, limits, spec.hardware_aware, *train, spec.seed, perturb, data.validation, ranges)
    if ranges is not None:
        for layer, learnt in zip(layers, ranges.now, strict=True):
            layer.input_scale = learnt
    yield from ()


def find_defects(work: Work, word: str) -> Process:  # noqa: ARG001
    """Find stuck cells by one-hot reads at two levels."""
    for layer in work.network.layers:
        layer.stuck = yield from find_stuck(layer)


def remap_columns(work: Work, word: str) -> Process:  # noqa: ARG001
    """Place outputs so that the significant weights suffer least from the stuck cells that were found."""
    _place(work, place_columns)
    yield from ()


def remap_rows_and_columns(work: Work, word: str) -> Process:  # noqa: ARG001
    """Place inputs and outputs so that the significant weights suffer least from the stuck cells that were found."""
    _place(work, place_rows_and_columns)
    yield from ()


def freeze_pairs(work: Work, word: str) -> Process:  # noqa: ARG001
    """Freeze every weight with a stuck cell, its working cells included, at the value that it has without pulses."""
    work.keep_within([_frozen(layer) for layer in work.network.layers])
    yield from ()


def use_partners(work: Work, word: str) -> Process:  # noqa: ARG001
    """Let the working partner of a stuck device compensate for it, as far as it can."""
    work.keep_within([layer.limits() for layer in work.network.layers])
    yield from ()


def retrain_weights(work: Work, word: str) -> Process:  # noqa: ARG001
    """Train the weights off-line, each within the limits that the stuck cells leave."""
    data, seed = work.data, work.spec.seed
    train = data.train_inputs, data.train_targets
    retrain(work.network.model, work.limits, work.spec.retraining, *train, seed, validation=data.validation)
    yield from ()


def program_weights(work: Work, word: str) -> Process:  # noqa: ARG001
    """Program the weights and verify them, as ``chip.programming`` declares."""
    programming = work.spec.chip.programming
    yield from work.network.program(0.0)
    for layer in work.network.layers:
        yield from layer.verify(programming.verify_tries, programming.verify_tolerance)


def _place(work: Work, assign: Assign) -> None:
    """Choose the places of the layers' inputs and outputs."""
    for layer, weights, cost in zip(work.network.layers, work.network.model.weights, work.costs, strict=True):
        assert layer.stuck is not None
        for index in range(len(layer.placements)):
            own = layer.partition.input_slice(index), layer.partition.output_slice(index)
            place, places = layer.own_places(index)
            stuck = layer.stuck[index][:, layer.partition.layout.columns(places)]
            ranges = 1.0 if layer.ranges is None else layer.ranges[own[1]]
            parts = weights[own] / ranges, cost[own] * ranges**2  # as the cells have them
            found = assign(layer.mapping, stuck, place, *parts)
            layer.placements[index] = replace(found, pairs=places[found.pairs])


def _frozen(layer: HardwareLayer) -> tuple[Floats, Floats]:
    """Return the limits of a layer's weights if both cells of a pair with a stuck cell are frozen."""
    lowest, highest = layer.limits()
    assert layer.stuck is not None
    for index, place in enumerate(layer.placements):
        own = layer.partition.input_slice(index), layer.partition.output_slice(index)
        frozen, broken = layer.mapping.frozen(layer.stuck[index][place.cells])
        frozen = frozen * (1.0 if layer.ranges is None else layer.ranges[own[1]])
        lowest[own] = np.where(broken, frozen, lowest[own])
        highest[own] = np.where(broken, frozen, highest[own])
    return lowest, highest
