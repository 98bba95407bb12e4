"""Bring-up of a fabricated chip: everything that a method does before it trains in situ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration import CalibrationRecord, calibrate_layer, calibration_of, still_products
from circuitmem.calibration.record import MacError
from circuitmem.config import RunSpec
from circuitmem.config.recipe import split_step
from circuitmem.control import Process
from circuitmem.control.clock import plugin_process
from circuitmem.data import Dataset
from circuitmem.network import HardwareLayer, HardwareNetwork
from circuitmem.registry import find, is_built_in
from circuitmem.rng import Purpose, stream
from circuitmem.training.recipes import Recipe
from circuitmem.training.steps import Work

__all__ = ["bring_up", "calibrate_layers", "calibrate_network", "prepare_chip"]

Floats = NDArray[np.float64]

LOOKED_AT = 200
"""Number of test samples from which the errors of products are computed."""


def bring_up(
    network: HardwareNetwork, spec: RunSpec, data: Dataset, calibrate: bool, record: CalibrationRecord | None = None
) -> Process:
    """Program the starting weights, choose the amplifiers' gains, and calibrate if asked to.

    Parameters
    ----------
    network : HardwareNetwork
        The network, laid out on its chip.
    spec : RunSpec
        What the run declares.
    data : Dataset
        Calibration inputs are training samples.
    calibrate : bool
        Whether the calibration is carried out.
    record : CalibrationRecord, optional
        Where to add the cost of the calibration.

    Returns
    -------
    Process
        For the chip's clock; it returns nothing.
    """
    yield from prepare_chip(
        network, spec, data, Recipe("", ("program", "calibrate") if calibrate else ("program",)), record
    )


def prepare_chip(
    network: HardwareNetwork, spec: RunSpec, data: Dataset, recipe: Recipe, record: CalibrationRecord | None = None
) -> Process:
    """Take the steps of a recipe that come before training in situ; returns what :func:`calibrate_network` does.

    Parameters
    ----------
    network : HardwareNetwork
        From :func:`circuitmem.training.build_network`.
    spec : RunSpec
        The run.
    data : Dataset
        The data.
    recipe : Recipe
        The steps to take.
    record : CalibrationRecord, optional
        Where to add the cost of calibrating.
    """
    work = Work(network, spec, data, recipe, CalibrationRecord() if record is None else record)
    for step in recipe.steps:
        name, word = split_step(step)
        if name != "train":
            process = find("steps", name, "methods")(work, word)
            yield from process if is_built_in("steps", name) else plugin_process("steps", name, "", process)
    if recipe.word("calibrate") is None:
        yield from calibrate_layers(work, "none")
    return work.errors


def calibrate_layers(work: Work, word: str) -> Process:
    """Choose the amplifiers' gains and learn the corrections that the step names, or else ``calibration`` declares."""
    methods = word.split("+") if word else work.spec.calibration.method
    work.errors = yield from calibrate_network(work.network, work.spec, work.data, methods, work.record)


def calibrate_network(
    network: HardwareNetwork,
    spec: RunSpec,
    data: Dataset,
    methods: Sequence[str],
    record: CalibrationRecord | None = None,
    again: bool = False,
) -> Process:
    """Choose the amplifiers' gains and calibrate all layers, one after another, with samples of the training set.

    Returns the errors of the layers' products with test samples, ``{"before": [...], "after": [...]}``, each of them
    ``{"rmse", "largest"}`` relative to the largest ideal product. ``"after"`` is missing if nothing was calibrated, and
    both are missing with ``again``. Computing them takes no time on the chip
    (:func:`circuitmem.calibration.still_error`).

    Parameters
    ----------
    network : HardwareNetwork
        The network, programmed.
    spec : RunSpec
        The run.
    data : Dataset
        The data.
    methods : sequence of str
        Names of calibrations, in the order in which they learn.
    record : CalibrationRecord, optional
        Where to add the cost.
    again : bool
        Whether the network was calibrated before: then no cell is programmed.
    """
    rng = stream(spec.seed, Purpose.CALIBRATION)
    chosen = rng.permutation(len(data.train_inputs))[: spec.calibration.vectors]
    vectors = network.model.vectors(data.train_inputs[chosen], rng)
    calibration = calibration_of(methods, spec.calibration)
    record = CalibrationRecord() if record is None else record
    unseen = network.model.vectors(data.test_inputs[:LOOKED_AT], stream(spec.seed, Purpose.PRODUCT_ERROR))
    errors: dict[str, list[dict[str, Any]]] = {}
    known, learns = iter(zip(vectors, unseen, strict=True)), tuple(methods) != ("none",)
    for _, layers in network.parts:
        given = list(zip(layers, known, strict=False))
        if not again:
            errors.setdefault("before", []).append(_error([(layer, new) for layer, (_, new) in given], raw=True))
        for layer, (inputs, _) in given:
            yield from calibrate_layer(calibration, layer, layer.within_range(inputs), record, again)
        if not again and learns:
            errors.setdefault("after", []).append(_error([(layer, new) for layer, (_, new) in given]))
    if learns and not again:
        yield from network.settle(data.train_inputs, record)
    return errors


def _error(pairs: Sequence[tuple[HardwareLayer, Floats]], raw: bool = False) -> dict[str, float]:
    """Return the errors of the products of some layers with vectors, taken together."""
    both = [still_products(layer, own, layer.weights, raw=raw) for layer, own in pairs]
    found, wanted = (np.concatenate([own.ravel() for own in each]) for each in zip(*both, strict=True))
    return asdict(MacError.of(found, wanted))
