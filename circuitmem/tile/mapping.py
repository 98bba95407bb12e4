"""Signed weights as differential pairs of conductances on neighbouring columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["PairMapping"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PairMapping:
    """``weight = (G+ - G-)/scale``; one device of a pair stays at the minimum.

    Parameters
    ----------
    minimum, maximum : float
        Working range of a device [S].
    largest_weight : float
        Magnitude of weight that uses the whole range, > 0; larger weights saturate.
    """

    minimum: float
    maximum: float
    largest_weight: float

    @property
    def scale(self) -> float:
        """Conductance per unit of weight [S]."""
        return (self.maximum - self.minimum) / self.largest_weight

    def conductances(self, weights: Floats) -> Floats:
        """Return (inputs, 2·outputs) S for weights (inputs, outputs): G+ in even columns, G- in odd ones."""
        pairs = np.empty((weights.shape[0], 2 * weights.shape[1]))
        pairs[:, 0::2] = self.scale * np.maximum(weights, 0.0)
        pairs[:, 1::2] = self.scale * np.maximum(-weights, 0.0)
        return np.minimum(pairs + self.minimum, self.maximum)
