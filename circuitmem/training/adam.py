"""Adam on a digital computer (Kingma & Ba, ICLR 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.adam import adam_step
from circuitmem._kernels.momentum import ParameterLimits
from circuitmem._kernels.select import thread_count

__all__ = ["DigitalAdam"]

Floats = NDArray[np.float64]


class DigitalAdam:
    """Adam, which updates the parameters in place.

    Parameters
    ----------
    parameters : sequence of ndarray
        The parameters to optimise; only their shapes are used here.
    """

    def __init__(self, parameters: Sequence[Floats]) -> None:
        self.steps = 0
        self._threads = thread_count()  # called once: for a small parameter the call takes longer than the step
        self.first = [np.zeros_like(p) for p in parameters]
        self.second = [np.zeros_like(p) for p in parameters]

    def step(
        self,
        parameters: Sequence[Floats],
        gradients: Sequence[Floats],
        rate: float,
        limits: Sequence[ParameterLimits] = (),
    ) -> None:
        """Move the parameters against their gradients, with step size ``rate``.

        The first of them stay within ``limits``, the others have none.
        """
        self.steps += 1
        for each in zip_longest(parameters, self.first, self.second, gradients, limits):
            adam_step(*each, step=self.steps, rate=rate, threads=self._threads)
