"""What the digital core does to the currents of a layer's columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    left : (tiles, rows, columns) ndarray, optional
        What is left then of the cells that are subtracted from, corrected too [S].
    output_scale, output_shift : (outputs,) ndarray, optional
        ``sum = output_scale·sum + output_shift`` of each output of the layer, in units of weight times activity.
    """

    scale: Floats
    shift: Floats
    excess: Floats | None = None
    left: Floats | None = None
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

    @property
    def changes_nothing(self) -> bool:
        """Whether currents are taken as they were measured."""
        return self.excess is None and bool((self.scale == 1.0).all()) and not self.shift.any()

    def apply(self, currents: Floats) -> Floats:
        """Return corrected currents, (groups, tiles, batch, columns) A, for measured ones; ``excess`` is left in."""
        return self.scale[:, :, None, :] * currents + self.shift[:, :, None, :]

    def row_groups(self, rows: int) -> NDArray[np.intp]:
        """Return which group each of so many word lines belongs to."""
        return np.arange(rows) * self.groups // rows

    def split(self, groups: int) -> Correction:
        """Return one that does the same to reads in so many groups of word lines.

        Only a correction of one group can be split. Each group gets an equal part of its shift.
        """
        if groups == self.groups:
            return self
        if self.groups != 1:
            raise ValueError(f"a correction of {self.groups} groups cannot have {groups}")
        scale, shift = (np.repeat(each, groups, axis=0) for each in (self.scale, self.shift))
        return replace(self, scale=scale, shift=shift / groups)

    def then_columns(self, scale: Floats, shift: Floats) -> Correction:
        """Return one that also makes ``scale·corrected + shift``, (groups, tiles, columns), of what this one leaves."""
        excess, left = self.excess, self.left
        if excess is not None and left is not None:
            factors = np.moveaxis(scale[self.row_groups(excess.shape[1])], 0, 1)
            excess, left = factors * excess, factors * left
        return replace(self, scale=scale * self.scale, shift=scale * self.shift + shift, excess=excess, left=left)

    def then_outputs(self, scale: Floats, shift: Floats) -> Correction:
        """Return one that also makes ``scale·sum + shift``, (outputs,), of what this one leaves."""
        if self.output_scale is None or self.output_shift is None:
            return replace(self, output_scale=scale, output_shift=shift)
        return replace(self, output_scale=scale * self.output_scale, output_shift=scale * self.output_shift + shift)

    def then_subtracted(self, excess: Floats, left: Floats) -> Correction:
        """Return one that also subtracts what cells conduct too much, and leaves so much, (tiles, rows, columns) S."""
        return replace(self, excess=excess, left=left)

    def state(self) -> dict[str, Any]:
        """Return everything, for a checkpoint."""
        return dict(vars(self))

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Correction:
        """Return what :meth:`state` returned."""
        return cls(**state)
