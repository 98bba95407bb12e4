"""Chip in the loop: each later layer is trained off-line on the outputs that the layers before it give on the chip."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from circuitmem.calibration import calibrate_layer, calibration_of
from circuitmem.control import Process
from circuitmem.network import Cut
from circuitmem.rng import Purpose, stream
from circuitmem.training.offline import retrain
from circuitmem.training.schedules import LabelledSamples
from circuitmem.training.steps import Work

__all__ = ["fine_tune"]


def fine_tune(work: Work, word: str) -> Process:  # noqa: ARG001
    """For each layer in turn, measure its inputs on the chip, then train and program it and all later layers.

    The progressive fine-tuning of Wan et al. (Nature 608:504, 2022): the later layers, which are still free, compensate
    the error of a layer on the chip. Training is off-line, as ``retraining`` declares; the forward passes with all
    training samples, the pulses, and the cost of calibrating the layers again are booked. In networks of layers,
    convolutions stay as they are, because each input gives them many vectors.
    """
    network, data, spec = work.network, work.data, work.spec
    programming = spec.chip.programming
    for cut in network.cuts(data.train_inputs[:2]):
        measured = yield from cut.measure(data.train_inputs)
        validation: LabelledSamples | None = None
        if data.validation is not None and spec.retraining.patience:
            inputs, labels = data.validation
            validation = (yield from cut.measure(inputs)), labels
        every = work.limits or [layer.limits() for layer in network.layers]
        limits = [every[number] for number in cut.layers]
        # The cut's model shares its arrays with the network: they are trained in place.
        retrain(cut.model, limits, spec.retraining, measured, data.train_targets, spec.seed, validation=validation)
        yield from network.program(0.0)
        for number in cut.layers:
            yield from network.layers[number].verify(programming.verify_tries, programming.verify_tolerance)
        if work.recipe.calibrate:
            yield from _calibrate(work, cut, measured)


def _calibrate(work: Work, cut: Cut, measured: NDArray[Any]) -> Process:
    """Calibrate the layers behind a cut again, with the vectors that the model computes from some measured samples."""
    network, spec, record = work.network, work.spec, work.record
    chosen = stream(spec.seed, Purpose.CALIBRATION).permutation(len(measured))[: spec.calibration.vectors]
    calibration = calibration_of(work.recipe.calibrations(spec.calibration), spec.calibration)
    for number, vectors in zip(cut.layers, cut.vectors(measured[chosen]), strict=True):
        layer = network.layers[number]
        yield from calibrate_layer(calibration, layer, layer.within_range(vectors), record)
    # Stored words and work per product are those of the last calibration, not a sum over all.
    record.stored_words = sum(calibration.stored_words(layer) for layer in network.layers)
    record.digital_products = sum(layer.digital_products for layer in network.layers)
    record.products = sum(layer.weights.size for layer in network.layers)
