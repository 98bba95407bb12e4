"""Samples with targets, in parts: what a network is trained and tested with, wherever they come from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from circuitmem.data.scaling import Scaling
from circuitmem.data.split import held_back
from circuitmem.errors import ValidationError
from circuitmem.validation import integer

__all__ = ["Dataset"]

Floats = NDArray[np.float64]
Targets = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples, each of one shape, with a class or a value; :func:`circuitmem.data.load_dataset` makes one.

    Attributes
    ----------
    train_inputs, test_inputs : (samples, ...) ndarray
        Numbers of each sample: (samples, features), or (samples, channels, ...) of maps and sequences.
    train_targets, test_targets : (samples,) ndarray of int, or (samples,) or (samples, values) ndarray of float
        Indices into ``classes``, or the values to predict.
    name, sha256 : str
        Name of what was loaded, and the SHA-256 of its arrays before they were divided, scaled or made smaller.
    validation_inputs, validation_targets : ndarray, optional
        A part for choosing settings, so that the test part stays unseen.
    task : {"classes", "values"}
        What the targets are.
    classes : tuple of str
        Names of the classes, in the order of their numbers; empty if only the numbers are known.
    features : tuple of str
        Names of the columns of a table.
    licence, credit : str
        Licence as stated by whoever supplied the data; who made them and where they are from.
    scaling : Scaling
        Scaling of the inputs, learnt from the training part.
    bounded : bool
        Whether inputs lie in [0, 1] by their nature, as grey values do.
    """

    train_inputs: Floats
    train_targets: Targets
    test_inputs: Floats
    test_targets: Targets
    name: str = ""
    sha256: str = ""
    validation_inputs: Floats | None = None
    validation_targets: Targets | None = None
    task: Literal["classes", "values"] = "classes"
    classes: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    licence: str = ""
    credit: str = ""
    scaling: Scaling = field(default_factory=Scaling)
    bounded: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the inputs of a sample."""
        return self.train_inputs.shape[1:]

    @property
    def outputs(self) -> int:
        """Outputs that a network needs: one per class, or one per value."""
        if self.task == "values":
            return 1 if self.train_targets.ndim == 1 else self.train_targets.shape[1]
        return len(self.classes) or int(max(self.train_targets.max(), self.test_targets.max())) + 1

    @property
    def constant(self) -> tuple[str, ...]:
        """Features, or channels, with one value in all training samples: they carry no information."""
        axes = (0, *range(2, self.train_inputs.ndim))
        same = np.flatnonzero(np.ptp(self.train_inputs, axis=axes) == 0.0)
        return tuple(self.features[k] if self.features else str(k) for k in same)

    def parts(self) -> dict[str, tuple[Floats, Targets]]:
        """Return inputs and targets of each part that exists."""
        found = {"train": (self.train_inputs, self.train_targets)}
        if self.validation is not None:
            found["validation"] = self.validation
        return found | {"test": (self.test_inputs, self.test_targets)}

    @property
    def validation(self) -> tuple[Floats, Targets] | None:
        """Inputs and targets of the validation part, if there is one."""
        if self.validation_inputs is None or self.validation_targets is None:
            return None
        return self.validation_inputs, self.validation_targets

    def resized(self, side: int) -> Dataset:
        """Return square images averaged over areas to ``side`` x ``side`` pixels, 1 <= side <= the present side.

        Raises
        ------
        ValidationError
            If the inputs are not square images, (samples, pixels) or (samples, channels, side, side), or ``side``
            breaks its rule.
        """
        shape = self.shape
        present = shape[-1] if len(shape) == 3 else round(shape[0] ** 0.5)
        if shape not in ((present**2,), (*shape[:1], present, present)):
            raise ValidationError("data.side", f"must be left out: samples of shape {shape} are no square images", side)
        if integer("data.side", side, minimum=1) > present:
            raise ValidationError("data.side", f"must be <= {present}", side)
        edges = np.arange(side + 1) * (present / side)
        pixels = np.arange(present)
        # Element (i, p): the part of new pixel i that old pixel p covers.
        overlap = np.minimum(edges[1:, None], pixels + 1.0) - np.maximum(edges[:-1, None], pixels)
        shares = np.maximum(overlap, 0.0) * (side / present)

        def shrink(images: Floats) -> Floats:
            if side == present:
                return images
            means = shares @ images.reshape(-1, present, present) @ shares.T
            means = np.clip(means, 0.0, 1.0) if self.bounded else means  # rounding may go beyond
            return np.asarray(means.reshape(len(images), *((side**2,) if images.ndim == 2 else (shape[0], side, side))))

        return self.mapped(shrink)

    def first(self, train: int | None = None, test: int | None = None) -> Dataset:
        """Return only the first samples for training and for the test; None keeps all.

        Raises
        ------
        ValidationError
            If more is asked for than there is.
        """
        for name, count, targets in (("train", train, self.train_targets), ("test", test, self.test_targets)):
            if count is not None and integer(f"data.{name}", count, minimum=1) > len(targets):
                raise ValidationError(f"data.{name}", f"must be <= {len(targets)}, all there are", count)
            self._check_mixed(f"data.{name}", targets[:count], targets)
        return replace(
            self,
            train_inputs=self.train_inputs[:train],
            train_targets=self.train_targets[:train],
            test_inputs=self.test_inputs[:test],
            test_targets=self.test_targets[:test],
        )

    def holding_back(self, count: int, seed: int) -> Dataset:
        """Return the data with ``count`` training samples, of each class alike, as validation part; 0 changes nothing.

        Where there is a validation part it is cut to its first ``count`` instead.

        Parameters
        ----------
        count : int
            How many, >= 0.
        seed : int
            Seed of the choice.

        Raises
        ------
        ValidationError
            If there are fewer, or a class would have no training sample left.
        """
        if integer("data.held_back", count, minimum=0) == 0:
            return self
        if self.validation is not None:
            chosen = self._first_of_validation("data.held_back", count)
            return replace(self, validation_inputs=chosen[0], validation_targets=chosen[1])
        held = held_back(self.train_targets, self.task, count, seed)
        return replace(
            self,
            train_inputs=self.train_inputs[~held],
            train_targets=self.train_targets[~held],
            validation_inputs=self.train_inputs[held],
            validation_targets=self.train_targets[held],
        )

    def validating(self, count: int) -> Dataset:
        """Return the data with ``count`` validation samples as its test part; 0 changes nothing.

        They are the first of the validation part, or the last training samples where there is no such part.

        Raises
        ------
        ValidationError
            If there are fewer, or no training sample would be left.
        """
        if integer("data.validation", count, minimum=0) == 0:
            return self
        if self.validation is not None:
            chosen = self._first_of_validation("data.validation", count)
            return replace(self, test_inputs=chosen[0], test_targets=chosen[1])
        if count >= len(self.train_targets):
            rule = f"must be < {len(self.train_targets)}, the training samples"
            raise ValidationError("data.validation", rule, count)
        self._check_mixed("data.validation", self.train_targets[-count:], self.train_targets)
        return replace(
            self,
            train_inputs=self.train_inputs[:-count],
            train_targets=self.train_targets[:-count],
            test_inputs=self.train_inputs[-count:],
            test_targets=self.train_targets[-count:],
        )

    def _check_mixed(self, key: str, chosen: Targets, part: Targets) -> None:
        """Raise :class:`ValidationError` if a part that is sorted by class was cut to one of its classes."""
        is_long = self.task == "classes" and len(chosen) > self.outputs
        if is_long and (chosen == chosen[0]).all() and not (part == chosen[0]).all():
            only = self.classes[int(chosen[0])] if self.classes else int(chosen[0])
            rule = f"must leave more than class {only}: the samples are sorted by class"
            raise ValidationError(key, rule, len(chosen))

    def _first_of_validation(self, key: str, count: int) -> tuple[Floats, Targets]:
        """Return the first ``count`` samples of the validation part, for the setting ``key``."""
        assert self.validation is not None
        inputs, targets = self.validation
        if count > len(targets):
            raise ValidationError(key, f"must be <= {len(targets)}, the validation part", count)
        self._check_mixed(key, targets[:count], targets)
        return inputs[:count], targets[:count]

    def scaled(self, kind: Literal["none", "range", "standard"]) -> Dataset:
        """Return the data with scaled inputs, by the training part (:class:`Scaling`); ``none`` changes nothing."""
        if kind == "none":
            return self
        scaling = Scaling.learnt(kind, self.train_inputs)
        return replace(self.mapped(scaling), scaling=scaling, bounded=kind == "range")

    def flat(self) -> Dataset:
        """Return the data with the inputs of a sample in one row, as dense layers take them."""
        return self.mapped(lambda inputs: inputs.reshape(len(inputs), -1)) if len(self.shape) > 1 else self

    def mapped(self, change: Any) -> Dataset:
        """Return the data with a function applied to the inputs of every part."""
        validation = None if self.validation_inputs is None else change(self.validation_inputs)
        return replace(
            self,
            train_inputs=change(self.train_inputs),
            test_inputs=change(self.test_inputs),
            validation_inputs=validation,
        )

    def record(self) -> dict[str, Any]:
        """Return plain values that say what these data are, for files and for ``circuitmem data``."""
        found: dict[str, Any] = {"name": self.name, "sha256": self.sha256, "licence": self.licence}
        found["credit"], found["task"] = self.credit, self.task
        found["shape"], found["features"] = list(self.shape), list(self.features)
        found["samples"] = {name: len(targets) for name, (_, targets) in self.parts().items()}
        if self.task == "classes":
            names = self.classes or tuple(map(str, range(self.outputs)))
            counts = {name: np.bincount(t, minlength=len(names)).tolist() for name, (_, t) in self.parts().items()}
            found["classes"] = {label: {part: counts[part][k] for part in counts} for k, label in enumerate(names)}
        inputs = self.train_inputs
        found["lowest"], found["highest"], found["mean"] = (
            float(inputs.min()),
            float(inputs.max()),
            float(inputs.mean()),
        )
        return found | {"constant": list(self.constant), "scaling": self.scaling.record()}
