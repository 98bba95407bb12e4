"""Optimisers: from gradients to wanted changes of weights and biases, on the digital core."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.momentum import ParameterLimits, momentum_step
from circuitmem.config import InSituSpec, Spec
from circuitmem.config.names import options_of
from circuitmem.config.training import CALIBRATED_RATES, LEARNING_RATES
from circuitmem.plugin import array_of, is_ours, refusal

__all__ = ["Adam", "Momentum", "Moved", "Optimiser", "RmsProp", "Sgd"]

Floats = NDArray[np.float64]


class Moved(NamedTuple):
    """A parameter that an optimiser moves."""

    values: Floats
    """The parameter, which is changed in place."""
    limits: ParameterLimits | None = None
    """Lowest and highest values, ndarrays of its shape; None if it has no limits."""
    part: Callable[[Floats], Floats] | None = None
    """Returns which part of a change is made, an ndarray of its shape; None if all of it is."""

    @property
    def is_plain(self) -> bool:
        """Whether kernels can move it: all of each change is made, and its numbers are double and in one piece."""
        return self.part is None and self.values.flags.c_contiguous and self.values.dtype == np.float64


class Optimiser(ABC):
    """Converts the gradients of a step into changes, and keeps its state from step to step.

    Parameters
    ----------
    spec : InSituSpec
        Its settings.
    parameters : sequence of ndarray
        The parameters to optimise; only their shapes are used.
    """

    memories = 0
    """Numbers that the digital core stores for every parameter."""
    learning_rate: ClassVar[float | None] = None
    """Default step size; None if one must be declared."""
    Options: ClassVar[type[Spec] | None] = None
    """The optimiser's own settings, declared under its name in ``in_situ.options``; :attr:`options` holds them."""
    calibrated_learning_rate: ClassVar[float | None] = None
    """Default step size for methods that calibrate first; None if it is the same."""

    def __init__(self, spec: InSituSpec, parameters: Sequence[Floats]) -> None:
        self.spec = spec
        self.options: Any = options_of("optimisers", spec.options, type(self))
        self.steps = 0
        self.memory = [[np.zeros_like(each) for each in parameters] for _ in range(self.memories)]

    def state(self) -> dict[str, Any]:
        """Return the state that is kept from step to step, for a checkpoint."""
        return {"steps": self.steps, "memory": self.memory}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned."""
        self.steps, self.memory = state["steps"], state["memory"]

    def changes(self, gradients: Sequence[Floats], rate: float) -> list[Floats]:
        """Return the wanted change of each parameter, each in the shape of its gradient.

        Parameters
        ----------
        gradients : sequence of ndarray
            Derivatives of the loss.
        rate : float
            Step size.
        """
        self.steps += 1
        kept = [[memory[index] for memory in self.memory] for index in range(len(gradients))]
        return [self.change(gradient, rate, *own) for gradient, own in zip(gradients, kept, strict=True)]

    def move(
        self, moved: Sequence[Moved], gradients: Sequence[Floats], rate: float, threads: int | None = None
    ) -> None:
        """Change parameters in place by what :meth:`changes` returns, or a part of it, each within its limits.

        Parameters
        ----------
        moved : sequence of Moved
            The parameters.
        gradients : sequence of ndarray
            Derivatives of the loss.
        rate : float
            Step size.
        threads : int, optional
            Threads that a kernel may use; the bits do not depend on it.

        Raises
        ------
        ValidationError
            If an optimiser that is not built in returns changes of another shape, or ones that are not finite.
        """
        del threads
        changes = self.changes(gradients, rate)
        if not is_ours(type(self)):
            changes = self._checked(changes, gradients)
        for (values, limits, part), change in zip(moved, changes, strict=True):
            values += change if part is None else part(change)
            if limits is not None:
                np.clip(values, *limits, out=values)

    def _checked(self, changes: Any, gradients: Sequence[Floats]) -> list[Floats]:
        """Return the changes of a user's class; a gradient that is not finite itself may leave one that is not."""
        if not isinstance(changes, list | tuple) or len(changes) != len(gradients):
            raise refusal("optimisers", self, f"must return a list of {len(gradients)} arrays from changes", changes)
        method = "from change" if type(self).changes is Optimiser.changes else "from changes"
        return [
            array_of("optimisers", self, method, change, own.shape, finite=bool(np.isfinite(own).all()))
            for change, own in zip(changes, gradients, strict=True)
        ]

    @abstractmethod
    def change(self, gradient: Floats, rate: float, *memory: Floats) -> Floats:
        """Return the change of one parameter, and bring its memory up to date.

        Parameters
        ----------
        gradient : ndarray
            Derivative of the loss with respect to the parameter, of its shape.
        rate : float
            Step size.
        memory : ndarray
            State of the optimiser for the parameter, in units of its own: arrays of the parameter's shape.
        """


class Sgd(Optimiser):
    """Stochastic gradient descent."""

    learning_rate = LEARNING_RATES["sgd"]

    def change(self, gradient: Floats, rate: float, *_: Floats) -> Floats:
        """Return the change of one parameter."""
        return -rate * gradient


class Momentum(Optimiser):
    """Stochastic gradient descent with momentum (Polyak, USSR Comput. Math. 4:1, 1964)."""

    learning_rate = LEARNING_RATES["momentum"]
    calibrated_learning_rate = CALIBRATED_RATES["momentum"]

    memories = 1

    def change(self, gradient: Floats, rate: float, *memory: Floats) -> Floats:
        """Return the change of one parameter."""
        (velocity,) = memory
        velocity *= self.spec.momentum
        velocity -= rate * gradient
        return velocity

    def move(
        self, moved: Sequence[Moved], gradients: Sequence[Floats], rate: float, threads: int | None = None
    ) -> None:
        """Change parameters in place, where possible in one pass through memory; the bits are the same."""
        cls = type(self)
        own_way = cls.change is not Momentum.change or cls.changes is not Optimiser.changes  # a subclass of the user's
        if own_way or not all(each.is_plain for each in moved):
            super().move(moved, gradients, rate)
            return
        self.steps += 1
        for (values, limits, _), velocity, gradient in zip(moved, self.memory[0], gradients, strict=True):
            momentum_step(values, velocity, gradient, limits, rate=rate, momentum=self.spec.momentum, threads=threads)


class RmsProp(Optimiser):
    """Steps relative to the root mean square of recent gradients (Tieleman & Hinton 2012), as in Li et al. 2018."""

    learning_rate = LEARNING_RATES["rmsprop"]

    memories = 1

    def change(self, gradient: Floats, rate: float, *memory: Floats) -> Floats:
        """Return the change of one parameter."""
        (square,) = memory
        square += 0.1 * (gradient**2 - square)
        return np.asarray(-rate * gradient / (np.sqrt(square) + 1e-8))


class Adam(Optimiser):
    """Adam (Kingma & Ba, ICLR 2015)."""

    learning_rate = LEARNING_RATES["adam"]

    memories = 2

    def change(self, gradient: Floats, rate: float, *memory: Floats) -> Floats:
        """Return the change of one parameter."""
        first, second = memory
        first += 0.1 * (gradient - first)
        second += 0.001 * (gradient**2 - second)
        mean, square = first / (1.0 - 0.9**self.steps), second / (1.0 - 0.999**self.steps)
        return np.asarray(-rate * mean / (np.sqrt(square) + 1e-8))
