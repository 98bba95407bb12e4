"""Training on a digital computer between fabrication and use, for one chip or for chips of one kind.

The training itself takes no time on the chip; reading and programming the cells for it does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import ChipSpec, RetrainingSpec
from circuitmem.errors import ValidationError
from circuitmem.network import HardwareLayer, Network, Perceptron
from circuitmem.network.ask import Loss
from circuitmem.rng import Purpose, stream
from circuitmem.training.adam import DigitalAdam
from circuitmem.training.ex_situ import accuracy_percent
from circuitmem.training.input_ranges import InputRanges
from circuitmem.training.loss import cross_entropy
from circuitmem.training.schedules import LabelledSamples, Patience, rate_factor

__all__ = ["inject_defects", "retrain", "significance"]

Floats = NDArray[np.float64]
Perturb = Callable[[np.random.Generator, int, Floats], Floats]

LOOKS = 3
"""Number of draws of the injected errors with which the validation samples are tested, the same after each epoch."""


def retrain(
    model: Network,
    limits: Sequence[tuple[Floats, Floats]],
    spec: RetrainingSpec,
    images: Floats,
    labels: NDArray[np.int64],
    seed: int,
    perturb: Perturb | None = None,
    validation: LabelledSamples | None = None,
    ranges: InputRanges | None = None,
) -> None:
    """Go on training a model with Adam, in place; every weight stays within its limits.

    With ``spec.patience`` training ends when accuracy on the validation samples stops rising, and the weights of the
    best epoch are kept.

    Parameters
    ----------
    model : Network
        The model.
    limits : sequence of (lowest, highest)
        Limits of the weights of each layer, (inputs, outputs) each; where they are equal a weight is frozen.
    spec : RetrainingSpec
        Epochs, batch, step size.
    images : (samples, inputs) ndarray
        Training inputs.
    labels : (samples,) ndarray of int
        Their classes.
    seed : int
        Seed of the batches and of the injected errors.
    perturb : callable, optional
        Called with (generator, layer, weights); returns the weights that a batch sees instead. Gradients are computed
        at these weights, and applied to the original ones.
    validation : (inputs, classes), optional
        Validation samples.
    ranges : InputRanges, optional
        Ranges of the DACs, trained with the weights, in place; activities are then clipped and rounded accordingly.

    Raises
    ------
    ValidationError
        If patience has no validation samples, or ranges are to be trained and the network is not one of layers.
    """
    key = "retraining.patience" if perturb is None else "hardware_aware.patience"
    patience = Patience(key, spec.patience, validation)
    parameters = [*model.weights, *model.biases]
    if ranges is not None:
        if not isinstance(model, Perceptron):
            rule = 'must be "measured" for a network that is not one of layers'
            raise ValidationError("hardware_aware.input_ranges", rule, "learned")
        parameters.append(ranges.logarithms)
    best = parameters
    optimiser = DigitalAdam(parameters)
    batches = -(-len(images) // spec.batch)
    for weights, (lowest, highest) in zip(model.weights, limits, strict=True):
        np.clip(weights, lowest, highest, out=weights)
    for epoch in range(spec.epochs):
        rng = stream(seed, Purpose.BATCHES, 2, epoch)
        order = rng.permutation(len(images))
        for index in range(batches):
            chosen = order[index * spec.batch : (index + 1) * spec.batch]
            seen = _perturbed(model, perturb, rng)
            loss = partial(cross_entropy, labels=labels[chosen])
            gradients = _gradients(seen, images[chosen], loss, ranges)
            done = (epoch * batches + index) / (spec.epochs * batches)
            rate = spec.learning_rate * rate_factor(spec.schedule, done, 0.0)
            optimiser.step(parameters, gradients, rate, limits)  # those of the weights, which come first
        if patience.samples is not None:
            if patience.note(_validated(model, perturb, seed, patience.samples, ranges)):
                best = [own.copy() for own in parameters]
            if patience.is_over:
                break
    for own, kept in zip(parameters, best, strict=True):
        own[...] = kept


def _gradients(model: Network, inputs: Floats, loss: Loss, ranges: InputRanges | None) -> list[Floats]:
    """Return the gradients with respect to weights, biases, and the parameters of ranges if they are trained."""
    if ranges is None:
        _, weights, biases = model.loss_gradients(inputs, loss)
        return [*weights, *biases]
    assert isinstance(model, Perceptron)
    _, weights, biases, logarithms = ranges.loss_gradients(model, inputs, loss)
    return [*weights, *biases, logarithms]


def _perturbed(model: Network, perturb: Perturb | None, rng: np.random.Generator) -> Network:
    if perturb is None:
        return model
    return model.through([perturb(rng, layer, weights) for layer, weights in enumerate(model.weights)])


def _validated(
    model: Network, perturb: Perturb | None, seed: int, samples: LabelledSamples, ranges: InputRanges | None
) -> float:
    """Return the accuracy on the validation samples [%], averaged over draws of the injected errors."""
    rng, draws = stream(seed, Purpose.HELD_BACK, 0), 1 if perturb is None else LOOKS
    through = () if ranges is None else (ranges.enter,)
    found = (_perturbed(model, perturb, rng).logits(samples[0], *through) for _ in range(draws))
    return float(np.mean([accuracy_percent(outputs.argmax(axis=1), samples[1]) for outputs in found]))


def inject_defects(chip: ChipSpec, layers: Sequence[HardwareLayer]) -> Perturb:
    """Return a perturbation that draws stuck devices and programming noise with the declared statistics at each call.

    Parameters
    ----------
    chip : ChipSpec
        Yield, ranges and noise: the statistics of chips of this kind, not the defects of one chip.
    layers : sequence of HardwareLayer
        Layers whose mapping of weights is used; if it has a reference column, a layer has one here, not each tile.
    """
    defects, device = chip.defects, chip.device
    noise = device.programming_noise

    def perturb(rng: np.random.Generator, layer: int, weights: Floats) -> Floats:
        mapping, ranges = layers[layer].mapping, layers[layer].ranges
        pairs = mapping.conductances(layers[layer].relative(weights))
        pairs += noise * rng.standard_normal(pairs.shape, dtype=np.float32)
        if defects.layers is None or layer in defects.layers:
            works, kind, place = rng.random((3, *pairs.shape), dtype=np.float32)
            for is_kind, (low, high) in (
                (kind < defects.stuck_on_fraction, defects.stuck_on_range),
                (kind >= defects.stuck_on_fraction, defects.stuck_off_range),
            ):
                stuck = is_kind & (works >= defects.device_yield)
                pairs = np.where(stuck, low + (high - low) * place, pairs)
        found = np.asarray(mapping.difference(pairs) / mapping.scale)
        return found if ranges is None else found * ranges

    return perturb


def significance(model: Network, images: Floats, labels: NDArray[np.int64]) -> list[Floats]:
    """Return the sensitivity of the loss to a small error of each weight, (inputs, outputs) for each layer.

    It is the diagonal of the empirical Fisher information, the mean square of the gradients of single samples: to
    second order, the cost of a squared error of the weight.
    """
    return model.squared_gradients(images, partial(cross_entropy, labels=labels))
