"""Samples for training and test of a torch network, from the data of users."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from circuitmem.data import Dataset, load_dataset
from circuitmem.errors import ValidationError
from circuitmem.training.objective import Classes, Objective, objective_of

__all__ = ["Examples", "examples_of"]

SPLIT = (0.8, 0.0, 0.2)
"""No validation part, as nothing is chosen by it here: all samples outside the test part are for training."""


@dataclass(frozen=True)
class Examples:
    """Inputs, and classes or values.

    Attributes
    ----------
    train_inputs, test_inputs : Tensor
        (samples, ...).
    train_targets, test_targets : Tensor
        (samples,) int64: the correct output of the network; or (samples,) or (samples, outputs): the values.
    data : Dataset
        The data set that they come from.
    objective : Classes or Values
        The objective of training with them.
    answers : Dataset, optional
        The data with their classes numbered as the outputs of the network, if the numbers differ.
    """

    train_inputs: torch.Tensor
    train_targets: torch.Tensor
    test_inputs: torch.Tensor
    test_targets: torch.Tensor
    data: Dataset
    objective: Objective
    answers: Dataset | None = None

    @classmethod
    def of(cls, found: Dataset, in_units: bool = True) -> Examples:
        """Return the examples of a data set; with ``in_units`` the network gives values in units of the targets.

        Raises
        ------
        ValidationError
            If the values of an output are all the same.
        """
        inputs, targets, tests, answers = [
            torch.as_tensor(np.ascontiguousarray(each))
            for each in (found.train_inputs, found.train_targets, found.test_inputs, found.test_targets)
        ]
        return cls(inputs, targets, tests, answers, found, objective_of(found, in_units))

    def fitting(self, model: torch.nn.Module) -> Examples:
        """Return the examples with inputs of the type that a network computes in."""
        kinds = (each.dtype for each in model.parameters() if each.is_floating_point())
        return self.to(next(kinds, torch.get_default_dtype()))

    def to(self, kind: torch.dtype) -> Examples:
        """Return the examples with inputs of a type."""
        return replace(self, train_inputs=self.train_inputs.to(kind), test_inputs=self.test_inputs.to(kind))

    def for_outputs(self, shape: tuple[int, ...]) -> Examples:
        """Return the examples for a network whose outputs have a shape (batch, outputs).

        Classes belong to the outputs in their order. If there are more outputs than classes, and the classes are
        numbers from 0 up, each belongs to the output of its number: a network that knows ten digits may be tested with
        five of them.

        Raises
        ------
        ValidationError
            If the outputs are of another shape, or do not fit the classes.
        """
        count, names = self.data.outputs, self.data.classes
        if self.data.task == "values":
            if shape[1:] != (count,):
                raise ValidationError("model", f"must give (batch, {count}), one output a value to predict", shape)
            return self
        rule = f"must give (batch, {count}), one output a class: {self.data.name} has {count} classes"
        if len(shape) != 2:
            raise ValidationError("model", rule, shape)
        if shape[1] == count or (not names and shape[1] > count):
            return self
        numbers = [int(name) for name in names if name.isascii() and name.isdigit()]
        if len(numbers) < len(names) or max(numbers) >= shape[1]:
            raise ValidationError("model", rule, shape)
        outputs = np.array(numbers)
        parts = ("train_targets", "validation_targets", "test_targets")
        known = {part: getattr(self.data, part) for part in parts}
        own = {part: outputs[each] for part, each in known.items() if each is not None}
        data = replace(self.data, classes=tuple(str(number) for number in range(shape[1])), **own)
        tensors = {part: torch.from_numpy(own[part]) for part in ("train_targets", "test_targets")}
        return replace(self, **tensors, answers=data, objective=Classes(shape[1]))

    def as_data(self) -> Dataset:
        """Return the data with their classes numbered as the outputs of the network."""
        return self.data if self.answers is None else self.answers

    def loss(self, outputs: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of outputs (batch, outputs) for some training examples."""
        targets, objective = self.train_targets[chosen], self.objective
        if isinstance(objective, Classes):
            return torch.nn.functional.cross_entropy(outputs, targets)
        wanted = torch.from_numpy(objective.in_spreads(targets.numpy())).to(outputs.dtype)
        mean, spread = (torch.from_numpy(each).to(outputs.dtype) for each in (objective.mean, objective.spread))
        given = (outputs - mean) / spread if objective.in_units else outputs
        return torch.nn.functional.mse_loss(given, wanted)


def examples_of(data: Any, seed: int) -> Examples:
    """Return the examples of data; without a test part, a fifth of each class is drawn for it.

    Parameters
    ----------
    data : object
        What :func:`circuitmem.data.load_dataset` takes.
    seed : int
        Seed of that draw.

    Raises
    ------
    ValidationError
        If samples break a rule.
    DataFileError
        If a file cannot be obtained.
    """
    task = data.task if isinstance(data, Dataset) else "classes"
    return Examples.of(load_dataset(data, task=task, split=SPLIT, seed=seed))
