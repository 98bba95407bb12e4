r"""Pulses for devices that count them, in place on a whole tile: the face of the kernel, and its twin.

On the way up :math:`y = (G - G_{\min})/(G_{\max} - G_{\min})` approaches a ceiling: it is :math:`B (1 - e^{-P/A})`
after P pulses from 0. From any y, n pulses leave

.. math:: y + (B - y)(1 - e^{-n/A}) + \sigma \sqrt{n}\, z

clipped to [0, 1]; the way down is the same for 1 - y. z is the standard normal number of the cell's place. The kernel
takes :math:`1 - e^{-n/A}` from ``expm1``, so that a pulse of a device with many states keeps its digits.

**How far off.** A few roundings of the range: :math:`(B - y)(1 - e^{-n/A})` has no difference that is smaller than its
terms.

**Cost.** One exponential and one normal number per cell that gets pulses, whatever their number.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Address, normal_table
from circuitmem._kernels.noise import _reference as _normals
from circuitmem._kernels.select import load_kernel

__all__ = ["DirectionCurve", "count_pulses"]

Floats = NDArray[np.float64]
_compiled = load_kernel("pulses").module


class DirectionCurve(NamedTuple):
    """The curves of a tile's devices in one direction."""

    fade: Floats
    """1/A of each device, (rows, columns)."""
    ceiling: Floats
    """B of each device, relative to the range, (rows, columns)."""


def count_pulses(
    conductance: Floats,
    effective: Floats,
    stuck: NDArray[np.bool_],
    pulses: NDArray[np.int64],
    up: bool,
    curve: DirectionCurve,
    limits: tuple[float, float],
    sigma: float,
    noise: Address,
) -> None:
    """Give pulses of one direction to cells of a tile, in place.

    Parameters
    ----------
    conductance, effective : (rows, columns) ndarray
        Conductance as programmed, and as seen by the circuit [S]; both may be the same array.
    stuck : (rows, columns) ndarray of bool
        Cells that change in ``conductance`` only.
    pulses : (rows, columns) ndarray of int
        Number of pulses that each cell gets, >= 0.
    up : bool
        Whether they raise the conductance.
    curve : DirectionCurve
        The curves in this direction.
    limits : (float, float)
        Minimum and maximum conductance [S].
    sigma : float
        Standard deviation of the noise of one pulse, relative to the range; 0 draws no numbers.
    noise : Address
        Where the normal numbers are found: number ``row·columns + column``.
    """
    state = conductance, effective, stuck.view(np.uint8), pulses
    _count_pulses(*state, up, *curve, *limits, sigma, normal_table(), *noise.key, noise.operation)


def _reference_count(
    conductance: Floats,
    effective: Floats,
    stuck: NDArray[np.uint8],
    pulses: NDArray[np.int64],
    up: bool,
    fade: Floats,
    ceiling: Floats,
    minimum: float,
    maximum: float,
    sigma: float,
    normal: Floats,
    key0: int,
    key1: int,
    operation: int,
) -> None:
    hit = pulses > 0
    y = (conductance - minimum) / (maximum - minimum)
    y = y if up else 1.0 - y
    y = y - (ceiling - y) * np.expm1(-fade * pulses)
    if sigma > 0.0:
        z = _normals(key0, key1, operation, conductance.size, normal).reshape(conductance.shape)
        y = y + sigma * np.sqrt(pulses) * z
    y = np.clip(y, 0.0, 1.0)
    after = minimum + (maximum - minimum) * (y if up else 1.0 - y)
    conductance[hit] = after[hit]
    free = hit & (stuck == 0)
    effective[free] = after[free]


_count_pulses: Any = _reference_count if _compiled is None else _compiled.count_pulses
