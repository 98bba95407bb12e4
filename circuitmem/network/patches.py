"""What lies between the layers of a convolutional network: pooling, and patches of maps as the vectors of a layer.

A layer that slides a kernel over maps multiplies one matrix, (pixels of a patch times channels, new channels), with
every patch. So it needs no special tiles: it is a dense layer that gets more vectors. A dense layer behind maps is one
whose only patch covers them entirely.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from circuitmem.config import NetworkSpec

__all__ = ["Patches", "patches_of", "positions"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Patches:
    """The linear map from a layer's sums to the vectors of the next: average pooling, then all patches of a square.

    Pooling comes before the ReLU, as in LeNet-5: then the ReLU acts on what the next layer multiplies, as between
    dense layers.

    Parameters
    ----------
    side : int
        Side of the input maps.
    channels : int
        Number of input maps.
    kernel : int
        Side of a patch.
    pool : int
        Side of the squares that are averaged first; 1 for no pooling. It divides ``side``.
    """

    side: int
    channels: int
    kernel: int
    pool: int

    @property
    def steps(self) -> int:
        """Patches along a side."""
        return self.side // self.pool - self.kernel + 1

    @property
    def positions(self) -> int:
        """Patches of an image."""
        return self.steps**2

    def gather(self, values: Floats) -> Floats:
        """Return patches (batch·positions, kernel²·channels) of values (batch·side², channels), or of whole images."""
        maps = values.reshape(-1, self.side, self.side, self.channels)
        if self.pool > 1:
            pooled = self.side // self.pool
            maps = maps.reshape(-1, pooled, self.pool, pooled, self.pool, self.channels).mean(axis=(2, 4))
        windows = sliding_window_view(maps, (self.kernel, self.kernel), axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3)
        return windows.reshape(-1, self.kernel**2 * self.channels)

    def scatter(self, errors: Floats) -> Floats:
        """Return the derivative by the values, (batch·side², channels), given that by the patches: the transpose."""
        size, steps = self.kernel, self.steps
        patches = errors.reshape(-1, steps, steps, size, size, self.channels)
        pooled = self.side // self.pool
        maps = np.zeros((len(patches), pooled, pooled, self.channels))
        for y, x in np.ndindex(size, size):
            maps[:, y : y + steps, x : x + steps] += patches[:, :, :, y, x]
        spread = maps.repeat(self.pool, axis=1).repeat(self.pool, axis=2) / self.pool**2
        return spread.reshape(-1, self.channels)


def patches_of(spec: NetworkSpec) -> tuple[Patches | None, ...]:
    """Return the patches before each layer of a network; None if a layer takes the previous output directly."""
    if not spec.convolutions:
        return (None,) * len(spec.shapes)
    kernels = [*(kernel for _, kernel in spec.convolutions), spec.maps[-1][0]]
    found = []
    for index, ((side, channels), kernel) in enumerate(zip(spec.maps, kernels, strict=True)):
        pool = 2 if index else 1
        found.append(Patches(side * pool, channels, kernel, pool))
    return (*found, *(None,) * (len(spec.shapes) - len(found)))


def positions(spec: NetworkSpec) -> list[int]:
    """Return how many vectors each layer of a network multiplies for one input."""
    return [1 if between is None else between.positions for between in patches_of(spec)]
