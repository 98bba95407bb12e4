"""Chip in the loop: each later layer is trained off-line on what the layers before it give on the chip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.calibration import calibrate_layer, calibration_of
from circuitmem.control import Process
from circuitmem.network import Perceptron, of_layers
from circuitmem.rng import Purpose, stream
from circuitmem.training.offline import retrain
from circuitmem.training.schedules import Samples
from circuitmem.training.steps import Work

__all__ = ["fine_tune"]

Floats = NDArray[np.float64]

AT_ONCE = 500
"""Inputs of a forward pass: a bound on memory."""


def fine_tune(work: Work, word: str) -> Process:  # noqa: ARG001
    """Layer after layer, measure its inputs on the chip, train it and those behind it on them, and program them.

    The progressive fine-tuning of Wan et al. (Nature 608:504, 2022): the error of a layer on the chip is met by those
    behind it, which are still free. Training is off-line, as ``retraining`` declares; forward passes with all training
    samples, pulses, and what calibrating the layers anew takes are booked. Convolutions, of which every input has many
    vectors, stay as they are.
    """
    network, data, spec = work.network, work.data, work.spec
    model, programming = of_layers(network.model, "fine-tune"), spec.chip.programming
    for index in range(1, len(network.layers)):
        if model.positions[index] > 1:
            continue
        measured = yield from _measured(work, index, data.train_inputs)
        validation: Samples | None = None
        if data.validation is not None and spec.retraining.patience:
            inputs, labels = data.validation
            validation = (yield from _measured(work, index, inputs)), labels
        # Its arrays are the network's own: they are trained in place.
        behind = Perceptron(model.weights[index:], model.biases[index:], (None, *model.patches[index + 1 :]))
        limits = (work.limits or [layer.limits() for layer in network.layers])[index:]
        retrain(behind, limits, spec.retraining, measured, data.train_targets, spec.seed, validation=validation)
        yield from network.program(0.0)
        for layer in network.layers[index:]:
            yield from layer.verify(programming.verify_tries, programming.verify_tolerance)
        if work.recipe.calibrate:
            yield from _calibrate(work, model, index, measured)


def _measured(work: Work, index: int, inputs: Floats) -> Process:
    """Return what a layer gets from those before it on the chip, (samples, inputs of the layer)."""
    found = []
    for start in range(0, len(inputs), AT_ONCE):
        activities = yield from work.network.forward(inputs[start : start + AT_ONCE])
        found.append(activities[index])
    return np.concatenate(found)


def _calibrate(work: Work, model: Perceptron, index: int, measured: Floats) -> Process:
    """Calibrate a layer anew with some of its measured inputs, those behind it with what the model makes of them."""
    network, spec, record = work.network, work.spec, work.record
    chosen = stream(spec.seed, Purpose.CALIBRATION).permutation(len(measured))[: spec.calibration.vectors]
    calibration = calibration_of(work.recipe.calibrations(spec.calibration), spec.calibration)
    behind = Perceptron(model.weights[index:], model.biases[index:], (None, *model.patches[index + 1 :]))
    for layer, vectors in zip(network.layers[index:], behind.activities(measured[chosen]), strict=False):
        yield from calibrate_layer(calibration, layer, layer.within_range(vectors), record)
    # What is kept and done for a product is that of the last time.
    record.stored_words = sum(calibration.stored_words(layer) for layer in network.layers)
    record.digital_products = sum(layer.digital_products for layer in network.layers)
    record.products = sum(layer.weights.size for layer in network.layers)
