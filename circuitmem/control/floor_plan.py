"""Which columns of a chip's tiles are taken: matrices that share tiles lie on them side by side."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["FloorPlan"]


class FloorPlan:
    """Places for outputs that are taken on each tile of a chip whose tiles are shared.

    A matrix on several tiles gets consecutive tiles, the first ones that have room for it.

    Parameters
    ----------
    places : int
        Outputs that a tile has room for.

    Attributes
    ----------
    taken : list of int
        Places that are taken on each tile, from the first on.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self.taken: list[int] = []

    def add(self, count: int, *, shared: bool) -> None:
        """Note that there are ``count`` more tiles; those that are not ``shared`` count as full."""
        self.taken += [0 if shared else self.places] * count

    def room(self, shares: Sequence[int]) -> int:
        """Return the first of consecutive tiles with room for ``shares`` outputs each; some may not be made yet."""
        for first in range(len(self.taken)):
            own = zip(self.taken[first:], shares, strict=False)
            if all(taken + share <= self.places for taken, share in own):
                return first
        return len(self.taken)

    def take(self, first: int, shares: Sequence[int]) -> list[int]:
        """Take so many places of each tile from ``first`` on, and return the first place on each."""
        found = []
        for tile, share in enumerate(shares, first):
            found.append(self.taken[tile])
            self.taken[tile] += share
        return found
