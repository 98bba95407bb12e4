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
        Excess conductance of cells [S], 0 for most; the core computes its current from input codes and subtracts it.
    left : (tiles, rows, columns) ndarray, optional
        Conductance that remains of those cells after the subtraction, corrected too [S].
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
        """Return a correction of one group that changes nothing."""
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
        """Return corrected currents, (groups, tiles, batch, columns) A; ``excess`` is not subtracted here."""
        return self.scale[:, :, None, :] * currents + self.shift[:, :, None, :]

    def row_groups(self, rows: int) -> NDArray[np.intp]:
        """Return the group that each of ``rows`` word lines belongs to."""
        return np.arange(rows) * self.groups // rows

    def split(self, groups: int) -> Correction:
        """Return a correction that has the same effect on reads in ``groups`` groups of word lines.

        Only a correction of one group can be split. Each group gets an equal part of its shift.
        """
        if groups == self.groups:
            return self
        if self.groups != 1:
            raise ValueError(f"a correction of {self.groups} groups cannot have {groups}")
        scale, shift = (np.repeat(each, groups, axis=0) for each in (self.scale, self.shift))
        return replace(self, scale=scale, shift=shift / groups)

    def then_columns(self, scale: Floats, shift: Floats) -> Correction:
        """Return this correction followed by ``scale·corrected + shift``, both (groups, tiles, columns)."""
        excess, left = self.excess, self.left
        if excess is not None and left is not None:
            factors = np.moveaxis(scale[self.row_groups(excess.shape[1])], 0, 1)
            excess, left = factors * excess, factors * left
        return replace(self, scale=scale * self.scale, shift=scale * self.shift + shift, excess=excess, left=left)

    def then_outputs(self, scale: Floats, shift: Floats) -> Correction:
        """Return this correction followed by ``scale·sum + shift``, both (outputs,)."""
        if self.output_scale is None or self.output_shift is None:
            return replace(self, output_scale=scale, output_shift=shift)
        return replace(self, output_scale=scale * self.output_scale, output_shift=scale * self.output_shift + shift)

    def then_subtracted(self, excess: Floats, left: Floats) -> Correction:
        """Return this correction with ``excess`` subtracted and ``left`` remaining, both (tiles, rows, columns) S."""
        return replace(self, excess=excess, left=left)

    def state(self) -> dict[str, Any]:
        """Return everything, for a checkpoint."""
        return dict(vars(self))

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Correction:
        """Return the correction with the values that :meth:`state` returned."""
        return cls(**state)
