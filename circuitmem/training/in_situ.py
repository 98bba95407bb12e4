"""Training on the chip: hardware forward pass, digital backward pass, pulses for the updates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import InSituSpec
from circuitmem.control import Process
from circuitmem.control.clock import plugin_process
from circuitmem.errors import ValidationError
from circuitmem.network import BackwardMap, HardwareLayer, HardwareNetwork, Network, Perceptron
from circuitmem.plugin import array_of, is_ours
from circuitmem.registry import find
from circuitmem.rng import Purpose, stream
from circuitmem.training.gradients import AskedMap, LinearTileMap, ReadMap, TileMap, read_back_cells
from circuitmem.training.objective import Classes, Objective
from circuitmem.training.optimisers import Moved, Optimiser
from circuitmem.training.ranges import follow_ranges
from circuitmem.training.rules import UpdateRule
from circuitmem.training.schedules import rate_factor
from circuitmem.training.wires import WireModel
from circuitmem.validation import integer

__all__ = ["InSituTrainer", "train_epoch"]

Floats = NDArray[np.float64]

LAST_RATE = 0.1
"""Fraction of the initial step size that is left at the end of training."""


class InSituTrainer:
    """The work of the digital core between a forward pass and the pulses, with its state from batch to batch.

    Parameters
    ----------
    spec : InSituSpec
        Optimiser, rule, and their settings.
    network : HardwareNetwork
        The network to train.
    optimiser : Optimiser, optional
        An optimiser of the caller's own, instead of the declared one.

    Attributes
    ----------
    setting : str
        The user's name for the setting that determines the step size.
    """

    def __init__(self, spec: InSituSpec, network: HardwareNetwork, optimiser: Optimiser | None = None) -> None:
        self.spec = spec
        self.network = network
        model = network.model
        self.setting = "in_situ.learning_rate" if optimiser is None else "optimiser"
        if optimiser is None:
            parameters = [*model.weights, *model.biases]
            optimiser = find("optimisers", spec.optimiser, "in_situ.optimiser")(spec, parameters)
        self.optimiser: Optimiser = optimiser
        self.rule: UpdateRule = find("rules", spec.rule, "in_situ.rule")(spec, network)
        self.batches = 0
        self._limits: list[tuple[Floats, Floats]] = []
        self._read: list[Floats] = []
        self._maps: list[BackwardMap] = []

    def state(self) -> dict[str, Any]:
        """Return everything that is kept from batch to batch, for a checkpoint."""
        kept = {"optimiser": self.optimiser.state(), "rule": self.rule.state()}
        return {**kept, "batches": self.batches, "read": self._read}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned."""
        self.optimiser.restore(state["optimiser"])
        self.rule.restore(state.get("rule", {}))  # a checkpoint of an older version has none
        self.batches, self._read, self._maps = state["batches"], state["read"], []

    def look(self) -> Process:
        """Read the cells back, if the gradient needs it and it is due."""
        if self.spec.gradient == "read" and self.batches % self.spec.read_batches == 0:
            self._read = yield from read_back_cells(self.network)
            self._maps = []
            if self._wired:
                yield from self.network.chip.compute(WireModel.BUILDING * self._wired)

    @property
    def _wired(self) -> int:
        """Number of cells for which the gradient includes the effect of wires."""
        spec = self.network.chip.spec.tile_spec
        needed = self.spec.gradient == "read" and WireModel.is_needed(spec)
        return len(self.network.chip.units) * spec.rows * spec.columns if needed else 0

    def operations(self, activities: list[Floats]) -> int:
        """Return the operations of the digital core in a step: the gradients, and with ``read`` their map."""
        model = self.network.model
        outer = 6 * sum(w.size * len(vectors) for w, vectors in zip(model.weights, activities, strict=False))
        # Of each weight: a factor and a subtraction for each of its two cells, their difference, its gradient's gain.
        mapped = 6 * sum(weights.size for weights in model.weights) if self.spec.gradient == "read" else 0
        return outer + mapped + WireModel.GRADIENT * self._wired

    def follow(self) -> Process:
        """Choose the ranges again, if they follow the network and it is due."""
        if self.spec.ranges == "follow" and self.batches % self.spec.ranges_batches == 0:
            yield from follow_ranges(self.network)

    def recalibration_is_due(self) -> bool:
        """Say whether the chip is to be calibrated again after the last batch."""
        spec = self.spec
        if spec.recalibrate == "once":
            return self.batches == spec.recalibrate_batches
        return spec.recalibrate == "every" and self.batches % spec.recalibrate_batches == 0

    def _gradients(self, activities: list[Floats], error: Floats) -> tuple[list[Floats], list[Floats]]:
        layers = self.network.layers
        if not self._maps:
            if self.spec.gradient == "read":
                self._maps = [ReadMap(*each) for each in zip(layers, self._read, strict=True)]
            else:
                self._maps = [self._map(layer) for layer in layers]
        return self.network.back(activities, error, self._maps)

    def _map(self, layer: HardwareLayer) -> BackwardMap:
        if self.spec.gradient != "adjoint":
            return AskedMap(layer)
        asks = isinstance(self.network.model, Network) and not isinstance(self.network.model, Perceptron)
        return LinearTileMap(layer) if asks else TileMap(layer)

    def step(self, activities: list[Floats], error: Floats, rate: float) -> None:
        """Move weights and biases against the gradient; weights stay within the limits of their cells.

        Parameters
        ----------
        activities : list of (batch, inputs) ndarray
            Inputs of each layer, as its tiles got them.
        error : (batch, outputs) ndarray
            Derivative of the loss with respect to the outputs.
        rate : float
            Step size.
        """
        model, layers = self.network.model, self.network.layers
        self.batches += 1
        weight_gradients, bias_gradients = self._gradients(activities, error)
        gradients = [*weight_gradients, *bias_gradients]
        if not self._limits:  # only after the bring-up, which finds the stuck cells
            self._limits = [layer.limits() for layer in layers]
        asks = type(self.rule).asked is not UpdateRule.asked  # for a part of the changes
        weights = [
            Moved(values, limits, partial(_asked, self.rule, layer) if asks else None)
            for layer, values, limits in zip(layers, model.weights, self._limits, strict=True)
        ]
        # Methods that run side by side have a share of the threads each.
        threads = self.network.chip.electrics.behavioral.threads
        self.optimiser.move([*weights, *map(Moved, model.biases)], gradients, rate, threads)


def _asked(rule: UpdateRule, layer: HardwareLayer, change: Floats) -> Floats:
    """Return the part of a change that a rule asks of a layer, held to its shape if the rule is not built in."""
    asked = rule.asked(layer, change)
    if is_ours(type(rule).asked):
        return asked
    return array_of("rules", rule, "from asked", asked, change.shape, finite=bool(np.isfinite(change).all()))


def _programmed(rule: UpdateRule) -> Process:
    """Return the process with which a rule gives its pulses."""
    process = rule.program()
    return process if is_ours(type(rule).program) else plugin_process("rules", rule, "program", process)


def train_epoch(
    network: HardwareNetwork,
    trainer: InSituTrainer,
    images: Floats,
    labels: NDArray[np.int64],
    seed: int,
    epoch: int,
    losses: list[float] | None = None,
    after_batch: Callable[[], None] = lambda: None,
    recalibrate: Callable[[], Process] | None = None,
    until: int | None = None,
    objective: Objective | None = None,
) -> Process:
    """Train for one pass over the samples, or for the rest of it; returns the mean loss of its batches so far.

    Parameters
    ----------
    network : HardwareNetwork
        The network on its chip.
    trainer : InSituTrainer
        The trainer, which keeps its state from epoch to epoch.
    images : (samples, inputs) ndarray
        Training inputs.
    labels : (samples,) ndarray of int
        Their classes; or values, (samples,) or (samples, outputs).
    seed : int
        Seed of the order of the samples.
    epoch : int
        Number of the epoch, from 0, < ``in_situ.epochs``; the step size falls until the last one is over.
    losses : list of float, optional
        Losses of the batches that are over; those of the next batches are appended.
    after_batch : callable
        Called after every batch, when its pulses have been given and nothing is under way.
    recalibrate : callable, optional
        Returns the process that calibrates the network again; called when the trainer says that it is due.
    until : int, optional
        Stop when this many batches of the epoch are over.
    objective : Objective, optional
        The objective of training; classes when left out.

    Raises
    ------
    ValidationError
        If the loss of a batch is not finite, or ``epoch`` is not below the declared epochs.
    """
    integer("epoch", epoch, maximum=trainer.spec.epochs - 1)
    objective = Classes(network.model.weights[-1].shape[1]) if objective is None else objective
    spec = trainer.spec
    order = stream(seed, Purpose.BATCHES, 1, epoch).permutation(len(images))
    batches = -(-len(images) // spec.batch)
    losses = [] if losses is None else losses
    for index in range(len(losses), batches if until is None else min(until, batches)):
        chosen = order[index * spec.batch : (index + 1) * spec.batch]
        yield from trainer.look()
        activities = yield from network.learning_pass(images[chosen])
        with np.errstate(over="ignore", invalid="ignore"):  # a loss that is not finite is refused below
            loss, error = objective.loss(activities[-1], labels[chosen])
        if not isfinite(loss):
            where = f"its loss is {loss} (epoch {epoch + 1}, batch {index + 1})"
            rule = f"must have a lower learning rate: training in situ diverged, {where}"
            raise ValidationError(trainer.setting, rule)
        done = (epoch * batches + index) / (spec.epochs * batches)
        trainer.step(activities, error, spec.learning_rate * rate_factor(spec.schedule, done, LAST_RATE))
        yield from network.chip.compute(trainer.operations(activities))
        yield from _programmed(trainer.rule)
        yield from trainer.follow()
        if recalibrate is not None and trainer.recalibration_is_due():
            yield from recalibrate()
        losses.append(loss)
        after_batch()
    return float(np.mean(losses))
