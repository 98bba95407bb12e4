r"""A step of gradient descent with momentum (Polyak, USSR Comput. Math. 4:1, 1964) in one pass: kernel and twin.

With the gradient d and the limits a and b of each parameter,

.. math::

   v \leftarrow \mu v - \eta d, \quad p \leftarrow \min(\max(p + v, a), b).

The velocity is not limited. The kernel is compiled without fused multiplications, and has the bits of the code here.

**How far off.** A few roundings of each term: every parameter is updated on its own.

**Cost.** One pass over five arrays; the speed is limited by the memory. In NumPy it takes six passes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.select import load_kernel, thread_count
from circuitmem._kernels.stacks import expect_each

__all__ = ["ParameterLimits", "momentum_step"]

Floats = NDArray[np.float64]
ParameterLimits = tuple[Floats, Floats]
_compiled = load_kernel("backward").module


def momentum_step(
    parameters: Floats,
    velocity: Floats,
    gradient: Floats,
    limits: ParameterLimits | None = None,
    *,
    rate: float,
    momentum: float,
    threads: int | None = None,
) -> None:
    """Move parameters against their gradient, within limits, and update their velocities, in place.

    Parameters
    ----------
    parameters, velocity : ndarray
        The parameters, and their last changes; of one shape, C-contiguous.
    gradient : ndarray
        Derivatives of the loss, of the same shape.
    limits : (lowest, highest), optional
        Limits of each parameter, of the same shape; none when left out.
    rate : float
        Step size.
    momentum : float
        Fraction of the velocity that is kept.
    threads : int, optional
        Threads to use; the bits do not depend on it.

    Raises
    ------
    ValidationError
        If shapes disagree, or ``parameters`` or ``velocity`` is not C-contiguous.
    """
    given = [np.ascontiguousarray(each, dtype=np.float64) for each in (gradient, *(limits or ()))]
    expect_each("parameters", [parameters, velocity, *given], (2 + len(given), *parameters.shape))
    flat = [each.reshape(-1) for each in (parameters, velocity, *given)]
    lowest, highest = (None, None) if limits is None else flat[3:]
    _momentum_step(*flat[:3], lowest, highest, rate, momentum, thread_count(threads))


def _reference_step(
    p: Floats,
    v: Floats,
    gradient: Floats,
    lowest: Floats | None,
    highest: Floats | None,
    rate: float,
    momentum: float,
    _threads: int,
) -> None:
    v *= momentum
    v -= rate * gradient
    p += v
    if lowest is not None and highest is not None:
        np.clip(p, lowest, highest, out=p)


_momentum_step: Any = _reference_step if _compiled is None else _compiled.momentum_step
