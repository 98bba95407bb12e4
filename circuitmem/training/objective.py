"""The objective of training, classes or values: the loss, its gradient, and the score of a test."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.data import Dataset
from circuitmem.errors import ValidationError
from circuitmem.training.loss import cross_entropy, squared_error

__all__ = ["Classes", "Objective", "Values", "accuracy_percent", "objective_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Classes:
    """Classification: cross-entropy, and the percentage of right answers.

    Attributes
    ----------
    outputs : int
        Number of classes.
    """

    outputs: int

    @property
    def guessing(self) -> float:
        """The loss of guessing."""
        return log(self.outputs)

    def loss(self, outputs: Floats, targets: NDArray[Any]) -> tuple[float, Floats]:
        """Return the mean loss of a batch and its gradient with respect to the outputs, (batch, outputs)."""
        return cross_entropy(outputs, targets)

    def record(self) -> dict[str, list[float]]:
        """Return the entries about the targets in ``results.json``: none."""
        return {}

    def score(self, outputs: Floats, targets: NDArray[Any]) -> dict[str, float]:
        """Return the score of outputs (samples, outputs): ``accuracy_percent``."""
        return {"accuracy_percent": accuracy_percent(outputs.argmax(axis=1), targets)}

    def score_each(self, outputs: Floats, targets: NDArray[Any]) -> dict[str, list[float | None]]:  # noqa: ARG002
        """Return the score of each of several values: there are none."""
        return {}


@dataclass(frozen=True)
class Values:
    """Values to predict: mean squared error relative to the spread in training; RMSE in the units of the targets, R2.

    Attributes
    ----------
    mean, spread : (outputs,) ndarray
        Mean and standard deviation of each value in the training part.
    in_units : bool
        Whether the network gives values in the units of the targets; otherwise it gives deviations from the mean,
        relative to the spread.
    """

    mean: Floats
    spread: Floats
    in_units: bool = False

    @property
    def outputs(self) -> int:
        """Number of values."""
        return len(self.mean)

    @property
    def guessing(self) -> float:
        """The loss of always giving the mean."""
        return 1.0

    def record(self) -> dict[str, list[float]]:
        """Return the entries about the targets in ``results.json``: mean and spread of each value in training."""
        return {"target_mean": self.mean.tolist(), "target_spread": self.spread.tolist()}

    def in_spreads(self, values: Floats) -> Floats:
        """Return values, given in units of the targets, (samples,) or (samples, outputs), as the loss compares them."""
        return (values.reshape(len(values), -1) - self.mean) / self.spread

    def loss(self, outputs: Floats, targets: NDArray[Any]) -> tuple[float, Floats]:
        """Return the mean loss of a batch and its gradient with respect to the outputs, (batch, outputs)."""
        given = self.in_spreads(outputs) if self.in_units else outputs
        loss, error = squared_error(given, self.in_spreads(targets))
        return loss, error / self.spread if self.in_units else error

    def score(self, outputs: Floats, targets: NDArray[Any]) -> dict[str, float]:
        """Return the score of outputs (samples, outputs): ``rmse`` in the units of the targets, and ``r2``.

        With several values ``rmse`` is over all of them, and ``r2`` is computed from errors relative to their spreads
        in training.
        """
        errors, wanted = self._errors(outputs, targets)
        rmse = sqrt(float(np.mean((errors * self.spread) ** 2)))
        return {"rmse": rmse, "r2": 1.0 - float(np.sum(errors**2) / np.sum((wanted - wanted.mean(axis=0)) ** 2))}

    def score_each(self, outputs: Floats, targets: NDArray[Any]) -> dict[str, list[float | None]]:
        """Return the score of each of several values, ``rmse`` in its unit, and ``r2``; nothing if there is only one.

        Where all test samples have the same value, its ``r2`` is None.
        """
        if self.outputs == 1:
            return {}
        errors, wanted = self._errors(outputs, targets)
        rmse = self.spread * np.sqrt(np.mean(errors**2, axis=0))
        varies, spreads = np.ptp(wanted, axis=0) > 0.0, np.sum((wanted - wanted.mean(axis=0)) ** 2, axis=0)
        r2 = 1.0 - np.sum(errors**2, axis=0) / np.where(varies, spreads, 1.0)
        return {
            "rmse": rmse.tolist(),
            "r2": [own if some else None for own, some in zip(r2.tolist(), varies, strict=True)],
        }

    def _errors(self, outputs: Floats, targets: NDArray[Any]) -> tuple[Floats, Floats]:
        """Return errors, and the true values, relative to the spreads in training."""
        wanted = self.in_spreads(targets)
        return (self.in_spreads(outputs) if self.in_units else outputs) - wanted, wanted


Objective = Classes | Values


def objective_of(data: Dataset, in_units: bool = False) -> Objective:
    """Return the objective of training with data.

    Parameters
    ----------
    data : Dataset
        The data.
    in_units : bool
        Whether the network gives values in the units of the targets (:class:`Values`).

    Raises
    ------
    ValidationError
        If a value is constant over the training samples, or all values are constant over the test samples.
    """
    if data.task == "classes":
        return Classes(data.outputs)
    values, tests = (own.reshape(len(own), -1) for own in (data.train_targets, data.test_targets))
    spread = values.std(axis=0)
    if not spread.all():
        rule = f"must differ in training; all of value {int(np.argmin(spread))} are"
        raise ValidationError("data targets", rule, float(values[0, np.argmin(spread)]))
    if not np.ptp(tests, axis=0).any():
        raise ValidationError("data test targets", "must differ; all are", float(tests[0, 0]))
    return Values(values.mean(axis=0), spread, in_units)


def accuracy_percent(predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Return the percentage of right answers."""
    return float(100.0 * np.count_nonzero(predicted == labels) / len(labels))
