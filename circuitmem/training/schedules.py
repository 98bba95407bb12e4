"""How the step size falls during training, and when training with validation samples ends (early stopping)."""

from __future__ import annotations

from math import cos, inf, pi

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import ScheduleName
from circuitmem.errors import ValidationError

__all__ = ["LabelledSamples", "Patience", "rate_factor"]

LabelledSamples = tuple[NDArray[np.float64], NDArray[np.int64]]

STEP_AT, STEP_TO = 2 / 3, 0.1
"""When the schedule ``step`` falls, as a fraction of all steps, and to which fraction of the initial step size."""


def rate_factor(schedule: ScheduleName, done: float, last: float) -> float:
    """Return the factor by which the declared step size is multiplied.

    Parameters
    ----------
    schedule : {"linear", "cosine", "step", "constant"}
        ``linear`` and ``cosine`` (half a period; Loshchilov & Hutter, ICLR 2017) fall to ``last``, ``step`` to a tenth
        after two thirds.
    done : float
        Fraction of all steps that is over, in [0, 1).
    last : float
        Factor at the end.
    """
    if schedule == "linear":
        return 1.0 - (1.0 - last) * done
    if schedule == "cosine":
        return last + (1.0 - last) * 0.5 * (1.0 + cos(pi * done))
    return STEP_TO if schedule == "step" and done >= STEP_AT else 1.0


class Patience:
    """Says when accuracy on validation samples has stopped rising (early stopping).

    Parameters
    ----------
    key : str
        Name of the setting that ``epochs`` comes from.
    epochs : int
        Training is over after this many epochs in a row without a new best; 0 never ends it.
    samples : (inputs, targets), optional
        The validation samples.

    Raises
    ------
    ValidationError
        If there are no validation samples and ``epochs`` is not 0.
    """

    def __init__(self, key: str, epochs: int, samples: LabelledSamples | None) -> None:
        if epochs and samples is None:
            raise ValidationError(key, "must be 0 unless there are validation samples (data.held_back)", epochs)
        self.epochs = epochs
        self.samples = samples if epochs else None
        self.best = -inf
        self.waited = 0

    def note(self, percent: float) -> bool:
        """Note the accuracy after an epoch [%], and return whether it is the best so far."""
        if percent > self.best:
            self.best, self.waited = percent, 0
            return True
        self.waited += 1
        return False

    @property
    def is_over(self) -> bool:
        """Whether training has gone on long enough without a new best."""
        return 0 < self.epochs <= self.waited
