"""Training of the starting weights on a digital computer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import ExSituSpec, NetworkSpec
from circuitmem.errors import ValidationError
from circuitmem.network import Perceptron, patches_of
from circuitmem.rng import Purpose, stream
from circuitmem.training.adam import DigitalAdam
from circuitmem.training.objective import Classes, Objective, accuracy_percent
from circuitmem.training.schedules import LabelledSamples, Patience, rate_factor

__all__ = ["ExSituRecord", "accuracy_percent", "goes_on", "has_converged", "initial_perceptron", "train_ex_situ"]

Floats = NDArray[np.float64]

CONVERGED = 0.05
"""Training has converged if the second half of its steps contributed less than this fraction of the total fall of the
loss. If learning went on evenly the fraction would be a half; the falling step size alone contributes 2 % (784-100-10,
10,000 digits)."""

FEWEST = 2000
"""Before this many steps training goes on, even if it seems to have converged, while its loss is more than ``LITTLE``
times that of guessing: with few samples the noise of the losses hides how slowly they fall (the default run has taken
4,000 steps after its declared epochs)."""

LITTLE = 0.1

FEWEST_STEPS = 8
"""With fewer steps than this there are not two halves to compare."""


@dataclass
class ExSituRecord:
    """How training ex situ went.

    Attributes
    ----------
    epochs : int
        Passes over the training samples.
    loss : float
        Mean loss at the end, over the last eighth of the steps of the last round.
    converged : bool
        Whether the second half of the last round of steps contributed less than ``CONVERGED`` of the total fall of the
        loss; with ``patience``, whether accuracy on the validation samples had stopped rising.
    """

    epochs: int = 0
    loss: float = 0.0
    converged: bool = False


def initial_perceptron(network: NetworkSpec, seed: int) -> Perceptron:
    """Draw starting weights (He et al., ICCV 2015: variance 2/inputs) and zero biases."""
    rng = stream(seed, Purpose.WEIGHTS)
    weights = [rng.standard_normal((m, n)) * np.sqrt(2.0 / m) for m, n in network.shapes]
    return Perceptron(weights, [np.zeros(n) for _, n in network.shapes], patches_of(network))


def train_ex_situ(
    spec: ExSituSpec,
    network: NetworkSpec,
    images: Floats,
    labels: NDArray[np.int64],
    seed: int,
    progress: Callable[[int, int], None],
    record: ExSituRecord | None = None,
    validation: LabelledSamples | None = None,
    objective: Objective | None = None,
) -> Perceptron:
    """Train with Adam (Kingma & Ba, ICLR 2015) and keep every weight within the layer's limit.

    If training has not converged after the declared epochs, or has taken few steps, it goes on for as many epochs
    again, starting from the initial step size (warm restarts: Loshchilov & Hutter, ICLR 2017), up to
    ``spec.max_epochs`` in all. With ``spec.patience`` the validation samples decide instead, and the weights of the
    best epoch are kept.

    Parameters
    ----------
    spec : ExSituSpec
        Epochs, batch, step size, weight limit.
    network : NetworkSpec
        The layers.
    images : (samples, inputs) ndarray
        Training inputs.
    labels : (samples,) ndarray of int
        Their classes; or values, (samples,) or (samples, outputs).
    seed : int
        Seed of weights and batches.
    progress : callable
        Called with (epochs done, epochs).
    record : ExSituRecord, optional
        Where to note how training went.
    validation : (inputs, classes), optional
        Validation samples.
    objective : Objective, optional
        The objective of training; classes when left out.

    Returns
    -------
    Perceptron
        The trained network.

    Raises
    ------
    ValidationError
        If the step size is so large that the loss is not finite, or patience has no validation samples.
    """
    record = ExSituRecord() if record is None else record
    total = spec.epochs
    progress(0, total)
    model = initial_perceptron(network, seed)
    parameters = [*model.weights, *model.biases]
    optimiser = DigitalAdam(parameters)
    batches = -(-len(images) // spec.batch)
    objective = Classes(network.layers[-1]) if objective is None else objective
    guessing = objective.guessing
    patience, best = Patience("ex_situ.patience", spec.patience, validation), model
    while record.epochs < total:
        begun, steps, losses = optimiser.steps, (total - record.epochs) * batches, []
        for epoch in range(record.epochs, total):
            order = stream(seed, Purpose.BATCHES, 0, epoch).permutation(len(images))
            for start in range(0, len(images), spec.batch):
                chosen = order[start : start + spec.batch]
                with np.errstate(over="ignore", invalid="ignore"):  # a loss that is not finite is refused below
                    activities = model.activities(images[chosen])
                    loss, error = objective.loss(activities[-1], labels[chosen])
                    weight_gradients, bias_gradients = model.gradients(activities, error)
                    rate = spec.learning_rate * rate_factor(spec.schedule, (optimiser.steps - begun) / steps, 0.0)
                    optimiser.step(parameters, [*weight_gradients, *bias_gradients], rate)
                    for weights in model.weights:
                        limit = spec.weight_limit * weights.std()
                        np.clip(weights, -limit, limit, out=weights)
                if not isfinite(loss):
                    rule = "must be smaller: training ex situ diverged, its loss is no number"
                    raise ValidationError("ex_situ.learning_rate", rule, spec.learning_rate)
                losses.append(loss)
            record.epochs = epoch + 1
            progress(record.epochs, total)
            if patience.samples is not None:
                inputs, targets = patience.samples
                if patience.note(accuracy_percent(model.logits(inputs).argmax(axis=1), targets)):
                    best = model.copy()
                if patience.is_over:
                    break
        record.loss = float(np.mean(losses[7 * len(losses) // 8 :]))
        record.converged = has_converged(losses, guessing) if patience.samples is None else patience.is_over
        if patience.is_over:
            break
        if patience.samples is not None or goes_on(record.converged, record.loss, guessing, optimiser.steps):
            total = min(2 * total, spec.max_epochs)
    return best


def has_converged(losses: list[float], guessing: float) -> bool:
    """Say whether the losses of a round of steps have stopped falling, measured by their fall from ``guessing``."""
    count = len(losses)
    if count < FEWEST_STEPS:
        return False
    halfway = float(np.mean(losses[3 * count // 8 : 5 * count // 8]))
    at_the_end = float(np.mean(losses[7 * count // 8 :]))
    return halfway - at_the_end < CONVERGED * (guessing - at_the_end)


def goes_on(converged: bool, loss: float, guessing: float, steps: int) -> bool:
    """Say whether training should go on after ``steps`` in all, if epochs are left."""
    return not converged or (steps < FEWEST and loss > LITTLE * guessing)
