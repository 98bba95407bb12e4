"""Arrays of all tiles of a layer, as the kernels of whole layers take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from circuitmem.errors import ValidationError

__all__ = ["Stack", "expect", "expect_each"]

Floats = NDArray[np.float64]

Stack = Floats | Sequence[Floats]
"""One array of all tiles, or one array per tile; these may lie anywhere in memory: nothing is copied."""


def expect(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raise :class:`ValidationError` unless an array has this shape."""
    if array.shape != shape:
        raise ValidationError(name, f"must have shape {shape}", array.shape)


def expect_each(name: str, arrays: Stack, shape: tuple[int, ...], dtype: DTypeLike = np.float64) -> None:
    """Raise :class:`ValidationError` unless each tile has a C-contiguous array; ``shape`` is that of all.

    Numbers must be of one ``dtype``, double precision unless another is given.
    """
    each = arrays
    if isinstance(arrays, np.ndarray) and arrays.flags.c_contiguous:
        each = arrays[:1]  # the others are alike
    for array in each:
        if array.shape != shape[1:] or not array.flags.c_contiguous or array.dtype != dtype:
            found, bits = (array.shape, str(array.dtype)), 8 * np.dtype(dtype).itemsize
            raise ValidationError(name, f"must have shape {shape}, rows behind each other, {bits}-bit numbers", found)
    if len(arrays) != shape[0]:
        raise ValidationError(name, f"must have shape {shape}", (len(arrays), *shape[1:]))
