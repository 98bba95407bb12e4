r"""A step of Adam (Kingma & Ba, ICLR 2015) in one pass through memory: the face of the kernel, and its twin.

With the gradient d and the number n of the step,

.. math::

   m \leftarrow m + 0.1\,(d - m), \quad v \leftarrow v + 0.001\,(d^2 - v), \quad
   p \leftarrow p - \eta\, \frac{m / (1 - 0.9^n)}{\sqrt{v / (1 - 0.999^n)} + 10^{-8}}.

The kernel is compiled without fused multiplications, and gives the same bits as the code here.

**How far off.** A few roundings of each term: every parameter is updated on its own.

**Cost.** One pass over four arrays (six with limits), one root and three divisions per parameter, which limit the
speed; from step 356 on two, because 1 - 0.9^n is 1 in double precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.momentum import ParameterLimits
from circuitmem._kernels.select import load_kernel, thread_count
from circuitmem._kernels.stacks import expect_each

__all__ = ["adam_step"]

Floats = NDArray[np.float64]
_compiled = load_kernel("backward").module


def adam_step(
    parameters: Floats,
    first: Floats,
    second: Floats,
    gradient: Floats,
    limits: ParameterLimits | None = None,
    *,
    step: int,
    rate: float,
    threads: int | None = None,
) -> None:
    """Move parameters against their gradient, within limits, and update its moments, in place.

    Parameters
    ----------
    parameters, first, second : ndarray
        The parameters, and the first and second moments of their gradient; all of one shape, C-contiguous.
    gradient : ndarray
        Derivatives of the loss, of the same shape.
    limits : (lowest, highest), optional
        Limits of each parameter, of the same shape; none when left out.
    step : int
        Number of the step, >= 1.
    rate : float
        Step size.
    threads : int, optional
        Threads to use; the bits do not depend on it.

    Raises
    ------
    ValidationError
        If shapes disagree, or the parameters or their moments are not C-contiguous.
    """
    given = [np.ascontiguousarray(each, dtype=np.float64) for each in (gradient, *(limits or ()))]
    expect_each("parameters", (parameters, first, second, *given), (3 + len(given), *parameters.shape))
    flat = [each.reshape(-1) for each in (parameters, first, second, *given)]
    lowest, highest = (None, None) if limits is None else flat[4:]
    _adam_step(*flat[:4], lowest, highest, 1.0 - 0.9**step, 1.0 - 0.999**step, rate, thread_count(threads))


def _reference_step(
    p: Floats,
    m: Floats,
    v: Floats,
    gradient: Floats,
    lowest: Floats | None,
    highest: Floats | None,
    mean: float,
    square: float,
    rate: float,
    _threads: int,
) -> None:
    m += 0.1 * (gradient - m)
    v += 0.001 * (gradient * gradient - v)
    p -= rate * (m / mean) / (np.sqrt(v / square) + 1e-8)
    if lowest is not None and highest is not None:
        np.clip(p, lowest, highest, out=p)


_adam_step: Any = _reference_step if _compiled is None else _compiled.adam_step
