"""``split-affine``: drive the word lines in K groups, one after another, each with its own affine correction.

Source: our reconstruction [I] of the inputs-split method (Sun et al., IEEE Access 7:141792, 2019); we have no access to
its text. Cost: K reads a product, 2K stored words a column, K reads a calibration vector. Limit: that of ``affine``
within each group, and the noise and rounding of K conversions instead of one; with K equal to the number of rows it
would correct every cell.
"""

from __future__ import annotations

from circuitmem.calibration.affine import Affine

__all__ = ["SplitAffine"]


class SplitAffine(Affine):
    """Corrects every column's partial sum of each group of word lines by a factor and a shift."""

    name = "split-affine"

    @property
    def by_output(self) -> bool:
        """Always False: outputs have no groups."""
        return False

    @property
    def groups(self) -> int:
        """The declared number of groups."""
        return self.spec.groups
