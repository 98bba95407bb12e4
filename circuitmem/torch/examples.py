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
"""Nothing is chosen by a validation part here: what is not tested with is trained with."""


@dataclass(frozen=True)
class Examples:
    """Inputs, and classes or values.

    Attributes
    ----------
    train_inputs, test_inputs : Tensor
        (samples, ...).
    train_targets, test_targets : Tensor
        (samples,) int64: which output of the network is right; or (samples,) or (samples, outputs): the values.
    data : Dataset
        Where they come from.
    objective : Classes or Values
        What a network is trained for with them.
    answers : Dataset, optional
        The data with their classes numbered as the outputs of the network, where they are others.
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
        """Return the examples of a data set; values are ``in_units`` of the targets if the network gives such.

        Raises
        ------
        ValidationError
            If values do not differ.
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

        Classes are outputs in their order. Where there are more outputs than classes, and classes are numbers from 0
        on, they are the outputs of these numbers: a network that knows ten digits may be tested with five of them.

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
    """Return the examples of data; without a part to test with, a fifth of each class is drawn for that.

    Parameters
    ----------
    data : object
        What :func:`circuitmem.data.load_dataset` takes.
    seed : int
        Of that draw.

    Raises
    ------
    ValidationError
        If samples break a rule.
    DataFileError
        If a file cannot be had.
    """
    task = data.task if isinstance(data, Dataset) else "classes"
    return Examples.of(load_dataset(data, task=task, split=SPLIT, seed=seed))
