"""The patches of maps that a kernel multiplies, copied once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Windows"]

Pair = tuple[int, int]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Windows:
    """The places of a kernel on maps (batch, channels, height, width), row by row.

    A vector has the elements under the kernel, channel by channel and row by row; the vectors of an image follow each
    other. Elementwise operations are cheaper on maps: a kernel of 3x3 sees each of their elements nine times.

    Parameters
    ----------
    size, stride, dilation : (int, int)
        Size, stride and dilation of the kernel.
    zeros : (int, int, int, int)
        Zeros around the maps: left, right, above and below.
    """

    size: Pair
    stride: Pair
    dilation: Pair
    zeros: tuple[int, int, int, int]

    def padded(self, shape: tuple[int, ...]) -> Pair:
        """Return the height and width of maps of a shape, including their zeros."""
        left, right, above, below = self.zeros
        return shape[-2] + above + below, shape[-1] + left + right

    @property
    def reach(self) -> Pair:
        """Height and width of what the kernel covers."""
        return self.dilation[0] * (self.size[0] - 1) + 1, self.dilation[1] * (self.size[1] - 1) + 1

    def steps(self, shape: tuple[int, ...]) -> Pair:
        """Return how many places there are down and across, for maps of a shape at least as large as the kernel."""
        sizes = zip(self.padded(shape), self.reach, self.stride, strict=True)
        high, wide = ((size - far) // step + 1 for size, far, step in sizes)
        return high, wide

    def gather(self, maps: NDArray[Any]) -> NDArray[Any]:
        """Return the vectors of all places, (batch·places, channels·size), in the type of the maps."""
        (batch, channels), (high, wide) = maps.shape[:2], self.steps(maps.shape)
        found = np.empty((batch, high, wide, channels, *self.size), maps.dtype)
        for (row, column), seen in zip(np.ndindex(*self.size), self._seen(maps), strict=True):
            found[..., row, column] = seen.transpose(0, 2, 3, 1)
        return found.reshape(batch * high * wide, -1)

    def some(self, maps: NDArray[Any], rows: NDArray[np.intp]) -> NDArray[Any]:
        """Return only these rows of what :meth:`gather` returns."""
        (high, wide), around = self.steps(maps.shape), self._with_zeros(maps)
        image, place = np.divmod(rows, high * wide)
        starts = zip(np.divmod(place, wide), self.stride, self.dilation, self.size, strict=True)
        down, across = (start[:, None] * step + gap * np.arange(size) for start, step, gap, size in starts)
        channels = np.arange(maps.shape[1])[None, :, None, None]
        found = around[image[:, None, None, None], channels, down[:, None, :, None], across[:, None, None, :]]
        return found.reshape(len(rows), -1)

    def count(self, mask: NDArray[np.bool_]) -> int:
        """Return how many elements of all vectors are true, given a mask of the maps."""
        return sum(int(np.count_nonzero(seen)) for seen in self._seen(mask)) if mask.any() else 0

    def elements(self, shape: tuple[int, ...]) -> int:
        """Return how many elements all vectors of maps of a shape have."""
        high, wide = self.steps(shape)
        return shape[0] * shape[1] * high * wide * self.size[0] * self.size[1]

    def quantile(self, maps: Floats, part: float) -> float:
        """Return ``np.quantile(self.gather(maps), part)`` of maps that are not below 0, to the same bits."""
        total = self.elements(maps.shape)
        place = (total - 1) * part
        below = int(np.floor(place))
        # A seen element is in one vector or more: no more elements of maps than of vectors are above.
        often = self._times_seen(maps.shape)
        values = maps[:, :, often > 0]
        times = np.broadcast_to(often[often > 0], values.shape)
        values, times = values.ravel(), times.ravel()
        above = min(total - below, len(values))
        chosen = np.argpartition(values, len(values) - above)[len(values) - above :]
        chosen = chosen[np.argsort(-values[chosen], kind="stable")]
        ends = np.cumsum(times[chosen])  # elements of vectors down to each, the largest first
        ranked = [int(np.searchsorted(ends, total - rank)) for rank in (below, min(below + 1, total - 1))]
        low, high = (float(values[chosen[rank]]) if rank < len(chosen) else 0.0 for rank in ranked)
        share = place - below
        return high - (high - low) * (1.0 - share) if share >= 0.5 else low + (high - low) * share  # as NumPy does

    def _times_seen(self, shape: tuple[int, ...]) -> NDArray[np.int64]:
        """Return how often the kernel sees each element of a map, (height, width)."""
        times = np.zeros(self.padded(shape), dtype=np.int64)
        for seen in self._views(times[None, None], shape):
            seen += 1
        left, _, above, _ = self.zeros
        return times[above : above + shape[-2], left : left + shape[-1]]

    def _with_zeros(self, maps: NDArray[Any]) -> NDArray[Any]:
        if not any(self.zeros):
            return maps
        left, _, above, _ = self.zeros
        around = np.zeros((*maps.shape[:2], *self.padded(maps.shape)), maps.dtype)
        around[:, :, above : above + maps.shape[2], left : left + maps.shape[3]] = maps
        return around

    def _seen(self, maps: NDArray[Any]) -> Iterator[NDArray[Any]]:
        """Give what each element of the kernel sees, (batch, channels, down, across)."""
        return self._views(self._with_zeros(maps), maps.shape)

    def _views(self, around: NDArray[Any], shape: tuple[int, ...]) -> Iterator[NDArray[Any]]:
        (high, wide), (down, across) = self.steps(shape), self.stride
        for row, column in np.ndindex(*self.size):
            top, left = row * self.dilation[0], column * self.dilation[1]
            yield around[:, :, top : top + down * (high - 1) + 1 : down, left : left + across * (wide - 1) + 1 : across]
