"""What the digital core does to the currents of a layer's columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Correction"]

Floats = NDArray[np.float64]


@dataclass
class Correction:
    """``corrected = scale·measured + shift``, in amperes, column by column and group of word lines by group.

    Attributes
    ----------
    scale, shift : (groups, tiles, columns) ndarray
        Factor, and shift [A].
    excess : (tiles, rows, columns) ndarray, optional
        What cells conduct too much [S], 0 for most: the core subtracts each one's current, from the input codes.
    output_scale, output_shift : (outputs,) ndarray, optional
        ``sum = output_scale·sum + output_shift`` of each output of the layer, in units of weight times activity.
    """

    scale: Floats
    shift: Floats
    excess: Floats | None = None
    output_scale: Floats | None = None
    output_shift: Floats | None = None

    @classmethod
    def identity(cls, tiles: int, columns: int) -> Correction:
        """Correct nothing, with one group."""
        return cls(np.ones((1, tiles, columns)), np.zeros((1, tiles, columns)))

    @property
    def groups(self) -> int:
        """Groups of word lines that are read one after another."""
        return int(self.scale.shape[0])

    def apply(self, currents: Floats) -> Floats:
        """Return corrected currents, (groups, tiles, batch, columns) A, for measured ones; ``excess`` is left in."""
        return self.scale[:, :, None, :] * currents + self.shift[:, :, None, :]

    def state(self) -> dict[str, Any]:
        """Return everything, for a checkpoint."""
        return dict(vars(self))

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Correction:
        """Return what :meth:`state` returned."""
        return cls(**state)
