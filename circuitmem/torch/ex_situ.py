"""Training of a network of torch on a computer, before it is put on a chip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from circuitmem.config import ExSituSpec
from circuitmem.errors import ValidationError
from circuitmem.rng import Purpose, stream, stream_key
from circuitmem.torch.examples import Examples
from circuitmem.torch.observe import evaluating, fitting
from circuitmem.torch.twin import AT_ONCE
from circuitmem.training.ex_situ import ExSituRecord, goes_on, has_converged
from circuitmem.training.objective import accuracy_percent
from circuitmem.training.schedules import Patience, rate_factor

__all__ = ["check_trainable", "check_unfrozen", "train_digital"]

TRAINED = (torch.float32, torch.float64)
"""Types in which networks are trained: Adam divides by the roots of squared gradients, which half precision loses."""


def check_unfrozen(model: torch.nn.Module) -> None:
    """Raise :class:`ValidationError` if a network has no parameter that training may change."""
    if not any(each.requires_grad for each in model.parameters()):
        raise ValidationError("model", "must have a parameter to train, with requires_grad; all are frozen")


def check_trainable(model: torch.nn.Module) -> None:
    """Raise :class:`ValidationError` if a network has no parameter to train on a computer, or one of low precision."""
    check_unfrozen(model)
    kinds = (each.dtype for each in model.parameters() if each.requires_grad)
    low = next((kind for kind in kinds if kind not in TRAINED), None)
    if low is not None:
        raise ValidationError("model", "must have parameters of float32 or float64 to be trained", str(low))


def train_digital(
    model: torch.nn.Module, examples: Examples, spec: ExSituSpec, seed: int, progress: Callable[[int, int], None]
) -> ExSituRecord:
    """Train a network in place with Adam until the loss stops falling, as networks of layers are; returns a record.

    With ``spec.patience`` the validation samples decide instead, and the network of the best epoch is kept.

    Parameters
    ----------
    model : torch.nn.Module
        The network, with its starting weights.
    examples : Examples
        What to train it with.
    spec : ExSituSpec
        Epochs, batch, step size.
    seed : int
        Seed of the order of the examples and of dropout.
    progress : callable
        Called with (epochs done, epochs).

    Raises
    ------
    ValidationError
        If the network cannot be trained, or training diverges.
    """
    check_trainable(model)
    count = len(examples.train_targets)
    batches = -(-count // spec.batch)
    record, total = ExSituRecord(), spec.epochs
    optimiser = torch.optim.Adam(model.parameters(), lr=spec.learning_rate)
    guessing = examples.objective.guessing
    validation = examples.as_data().validation
    patience, best = Patience("ex_situ.patience", spec.patience, validation), model.state_dict()
    progress(0, total)
    with torch.random.fork_rng(devices=[]):
        model.train()
        while record.epochs < total:
            losses: list[float] = []
            steps = (total - record.epochs) * batches
            for epoch in range(record.epochs, total):
                order = torch.from_numpy(stream(seed, Purpose.BATCHES, 0, epoch).permutation(count))
                for step, chosen in enumerate(order.split(spec.batch)):
                    torch.manual_seed(stream_key(seed, Purpose.BATCHES, 0, epoch, step)[0] % 2**63)
                    for group in optimiser.param_groups:
                        group["lr"] = spec.learning_rate * rate_factor(spec.schedule, len(losses) / steps, 0.0)
                    losses.append(_step(model, examples, chosen, optimiser, epoch * batches + step))
                record.epochs = epoch + 1
                progress(record.epochs, total)
                if patience.samples is not None:
                    inputs, targets = patience.samples
                    if patience.note(_accuracy(model, inputs, targets)):
                        best = {name: own.detach().clone() for name, own in model.state_dict().items()}
                    if patience.is_over:
                        break
            record.loss = float(np.mean(losses[7 * len(losses) // 8 :]))
            record.converged = has_converged(losses, guessing) if patience.samples is None else patience.is_over
            if patience.is_over:
                break
            if patience.samples is not None or goes_on(record.converged, record.loss, guessing, total * batches):
                total = min(2 * total, spec.max_epochs)
        model.eval()
    if patience.samples is not None:
        model.load_state_dict(best)
    return record


def _accuracy(model: torch.nn.Module, inputs: NDArray[Any], targets: NDArray[Any]) -> float:
    """Return the accuracy of a network on some samples [%]."""
    given = fitting(model, (torch.from_numpy(np.ascontiguousarray(inputs)),))[0]
    with evaluating(model):
        outputs = torch.cat([model(part) for part in given.split(AT_ONCE)])
    return accuracy_percent(outputs.argmax(dim=1).numpy(), targets)


def _step(
    net: torch.nn.Module, examples: Examples, chosen: torch.Tensor, optimiser: torch.optim.Optimizer, step: int
) -> float:
    """Take a step on some training examples; returns the loss before it.

    Raises
    ------
    ValidationError
        If the loss is not finite.
    """
    optimiser.zero_grad()
    outputs = net(examples.train_inputs[chosen])
    if step == 0 and not bool(torch.isfinite(outputs).all()):
        wrong = float(outputs.detach()[~torch.isfinite(outputs)][0])
        raise ValidationError("model", "must give finite outputs with its starting weights", wrong)
    loss = examples.loss(outputs, chosen)
    if not bool(torch.isfinite(loss)):
        rule = f"must be smaller: training ex situ diverged, its loss is {float(loss.detach())} (step {step})"
        raise ValidationError("ex_situ.learning_rate", rule, optimiser.param_groups[0]["lr"])
    loss.backward()
    optimiser.step()
    return float(loss.detach())
