"""From a fabricated chip to one that multiplies: everything that a method does before it trains in situ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration import CalibrationRecord, calibrate_layer, calibration_of, find_stuck, still_error
from circuitmem.config import RunSpec
from circuitmem.control import Process
from circuitmem.network import HardwareLayer, HardwareNetwork
from circuitmem.rng import Purpose, stream
from circuitmem.training.digits import Digits
from circuitmem.training.offline import inject_defects, retrain, significance
from circuitmem.training.recipes import Recipe
from circuitmem.training.remapping import place_columns, place_rows_and_columns

__all__ = ["bring_up", "calibrate_network", "calibrations_of", "prepare_chip"]

Floats = NDArray[np.float64]

SIGNIFICANT = 2000
"""Training digits from which the significance of weights is learnt."""
LOOKED_AT = 200
"""Test digits with which the errors of products are worked out."""


def bring_up(
    network: HardwareNetwork, spec: RunSpec, digits: Digits, calibrate: bool, record: CalibrationRecord | None = None
) -> Process:
    """Program the starting weights, choose the amplifiers' gains, and calibrate if asked to."""
    yield from prepare_chip(network, spec, digits, Recipe("", calibrate=calibrate), record)


def prepare_chip(
    network: HardwareNetwork, spec: RunSpec, digits: Digits, recipe: Recipe, record: CalibrationRecord | None = None
) -> Process:
    """Take the steps of a recipe that come before training in situ; returns what :func:`calibrate_network` does.

    Parameters
    ----------
    network : HardwareNetwork
        From :func:`circuitmem.training.build_network`.
    spec : RunSpec
        The run.
    digits : Digits
        The data.
    recipe : Recipe
        What to do.
    record : CalibrationRecord, optional
        Where to add what calibrating costs.
    """
    model, train = network.model, (digits.train_images, digits.train_labels)
    if recipe.injects_defects:
        perturb = inject_defects(spec.chip, network.layers)
        retrain(model, [layer.limits() for layer in network.layers], spec.retraining, *train, spec.seed, perturb)
    if recipe.finds_defects:
        for layer in network.layers:
            layer.stuck = yield from find_stuck(layer)
        costs = significance(model, train[0][:SIGNIFICANT], train[1][:SIGNIFICANT])
        for layer, weights, cost in zip(network.layers, model.weights, costs, strict=True):
            _place(layer, recipe, weights, cost)
        limits = [_limits(layer, recipe) for layer in network.layers]
        for weights, (lowest, highest) in zip(model.weights, limits, strict=True):
            np.clip(weights, lowest, highest, out=weights)
        if recipe.retrains:
            retrain(model, limits, spec.retraining, *train, spec.seed)
    programming = spec.chip.programming
    yield from network.program(0.0)
    for layer in network.layers:
        yield from layer.verify(programming.verify_tries, programming.verify_tolerance)
    return (yield from calibrate_network(network, spec, digits, calibrations_of(recipe, spec), record))


def calibrations_of(recipe: Recipe, spec: RunSpec) -> tuple[str, ...]:
    """Return the names of the calibrations of a recipe, in their order."""
    if not recipe.calibrate:
        return ("none",)
    return (recipe.calibration,) if recipe.calibration else spec.calibration.method


def _place(layer: HardwareLayer, recipe: Recipe, weights: Floats, cost: Floats) -> None:
    """Choose where the inputs and outputs of a layer lie."""
    assert layer.stuck is not None
    assign = {"columns": place_columns, "rows and columns": place_rows_and_columns}.get(recipe.remaps)
    if assign is None:
        return
    for index, place in enumerate(layer.placements):
        own = layer.partition.input_slice(index), layer.partition.output_slice(index)
        layer.placements[index] = assign(layer.mapping, layer.stuck[index], place, weights[own], cost[own])


def _limits(layer: HardwareLayer, recipe: Recipe) -> tuple[Floats, Floats]:
    """Return what a layer's weights can be; pairs with a stuck cell are frozen whole if the recipe says so."""
    lowest, highest = layer.limits()
    if recipe.compensates:
        return lowest, highest
    assert layer.stuck is not None
    for index, place in enumerate(layer.placements):
        own = layer.partition.input_slice(index), layer.partition.output_slice(index)
        found = layer.stuck[index][place.cells]
        broken = np.isnan(found[:, 0::2]) != np.isnan(found[:, 1::2])
        known = np.where(np.isnan(found), layer.mapping.minimum, found)
        frozen = (known[:, 0::2] - known[:, 1::2]) / layer.mapping.scale
        lowest[own] = np.where(broken, frozen, lowest[own])
        highest[own] = np.where(broken, frozen, highest[own])
    return lowest, highest


def calibrate_network(
    network: HardwareNetwork,
    spec: RunSpec,
    digits: Digits,
    methods: Sequence[str],
    record: CalibrationRecord | None = None,
    again: bool = False,
) -> Process:
    """Choose the amplifiers' gains and calibrate all layers, one after another, with digits of the training set.

    Returns the errors of the layers' products with test digits, ``{"before": [...], "after": [...]}``, each of them
    ``{"rmse", "largest"}`` relative to the largest ideal product; ``"after"`` if anything was calibrated, and neither
    ``again``. Working them out takes no time on the chip (:func:`circuitmem.calibration.still_error`).

    Parameters
    ----------
    network : HardwareNetwork
        The network, programmed.
    spec : RunSpec
        The run.
    digits : Digits
        The data.
    methods : sequence of str
        Keys of ``CALIBRATIONS``, in the order in which they learn.
    record : CalibrationRecord, optional
        Where to add what it costs.
    again : bool
        Whether this was done before: then no cell is programmed for it.
    """
    rng = stream(spec.seed, Purpose.CALIBRATION)
    chosen = rng.permutation(len(digits.train_images))[: spec.calibration.vectors]
    vectors = network.model.vectors(digits.train_images[chosen], rng)
    calibration = calibration_of(methods, spec.calibration)
    record = CalibrationRecord() if record is None else record
    unseen = network.model.vectors(digits.test_images[:LOOKED_AT], stream(spec.seed, Purpose.PRODUCT_ERROR))
    errors: dict[str, list[dict[str, Any]]] = {}
    for layer, inputs, new in zip(network.layers, vectors, unseen, strict=True):
        if not again:
            errors.setdefault("before", []).append(asdict(still_error(layer, new, layer.weights, raw=True)))
        yield from calibrate_layer(calibration, layer, layer.within_range(inputs), record, again)
        if not again and tuple(methods) != ("none",):
            errors.setdefault("after", []).append(asdict(still_error(layer, new, layer.weights)))
    return errors
