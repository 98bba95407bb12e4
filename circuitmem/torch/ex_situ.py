"""Training of a network of torch on a computer, before it is put on a chip."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from circuitmem.config import ExSituSpec
from circuitmem.rng import Purpose, stream, stream_key
from circuitmem.torch.examples import Examples
from circuitmem.torch.method import train_step
from circuitmem.training.ex_situ import ExSituRecord, goes_on, has_converged
from circuitmem.training.schedules import rate_factor

__all__ = ["train_digital"]


def train_digital(
    model: torch.nn.Module, examples: Examples, spec: ExSituSpec, seed: int, progress: Callable[[int, int], None]
) -> ExSituRecord:
    """Train a network in place with Adam, until the loss falls no more, as networks of layers are; say how it went.

    Parameters
    ----------
    model : torch.nn.Module
        The network, with its starting weights.
    examples : Examples
        What to train it with.
    spec : ExSituSpec
        Epochs, batch, step size.
    seed : int
        Of the order of the examples and of what dropout draws.
    progress : callable
        Called with (epochs done, epochs).
    """
    count = len(examples.train_targets)
    batches = -(-count // spec.batch)
    record, total = ExSituRecord(), spec.epochs
    optimiser = torch.optim.Adam(model.parameters(), lr=spec.learning_rate)
    guessing = examples.objective.guessing
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
                    losses.append(train_step(model, examples, chosen, optimiser, len(losses)))
                progress(epoch + 1, total)
            record.epochs, record.loss = total, float(np.mean(losses[7 * len(losses) // 8 :]))
            record.converged = has_converged(losses, guessing)
            if goes_on(record.converged, record.loss, guessing, total * batches):
                total = min(2 * total, spec.max_epochs)
        model.eval()
    return record
