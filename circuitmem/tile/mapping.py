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

    def conductances(self, weights: Floats, stuck: Floats | None = None) -> Floats:
        """Return (inputs, 2·outputs) S for weights (inputs, outputs): G+ in even columns, G- in odd ones.

        Parameters
        ----------
        weights : (inputs, outputs) ndarray
            The weights.
        stuck : (inputs, 2·outputs) ndarray, optional
            What devices conduct that do not follow pulses [S], nan for the others: the partner in the pair makes up
            for it, as far as its range goes.
        """
        pairs = np.empty((weights.shape[0], 2 * weights.shape[1]))
        pairs[:, 0::2] = self.scale * np.maximum(weights, 0.0)
        pairs[:, 1::2] = self.scale * np.maximum(-weights, 0.0)
        pairs = np.minimum(pairs + self.minimum, self.maximum)
        if stuck is not None:
            wanted = self.scale * weights
            plus, minus = stuck[:, 0::2], stuck[:, 1::2]
            for own, other, partner in ((0, minus, minus + wanted), (1, plus, plus - wanted)):
                limited = np.clip(partner, self.minimum, self.maximum)
                pairs[:, own::2] = np.where(np.isnan(other), pairs[:, own::2], limited)
        return pairs

    def limits(self, stuck: Floats) -> tuple[Floats, Floats]:
        """Return the lowest and the highest weight of each pair, (inputs, outputs), with ``stuck`` as above.

        The last of an odd number of columns has no partner: it is no pair.
        """
        stuck = stuck[:, : stuck.shape[1] // 2 * 2]
        least = np.where(np.isnan(stuck), self.minimum, stuck)
        most = np.where(np.isnan(stuck), self.maximum, stuck)
        lowest = (least[:, 0::2] - most[:, 1::2]) / self.scale
        return lowest, (most[:, 0::2] - least[:, 1::2]) / self.scale
