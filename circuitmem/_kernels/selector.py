r"""A memristor of conductance G in series with a selector: the law of a 1S1R cell, in NumPy.

The selector conducts ``leak·sinh(V_s/scale)``, the memristor ``G·(V - V_s)``, and the node between them belongs to the
cell alone. In units of ``scale``, with r = G·scale, the selector's voltage x is the root of

.. math:: r x + \text{leak} \sinh x = r u

for the cell's voltage u >= 0. The left side rises and is convex, and both u and
:math:`\sinh^{-1}(r u / \text{leak})` lie above the root: Newton's method starts from the smaller of them and comes down
monotonically, in a few steps.

**How far off.** Near the root the error left by a step is at most half the square of the step, so after a step below
1e-8 it is below a rounding error. Below the threshold the current is :math:`\text{leak} \sinh x`, above it
:math:`r (u - x)`: never the small difference of two large numbers.

**Cost.** A hyperbolic sine and cosine per step; from its start the method takes one to seven steps, and 40 at most.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["STEP", "STEPS", "selector_cell"]

Floats = NDArray[np.float64]

STEPS = 40
"""More steps than Newton's method needs: its start is at most a logarithm of u above the root; a step is at most 1."""
STEP = 1e-8
"""A step below this is the last: the error left is of the order of its square."""


def selector_cell(conductance: Floats, voltage: Floats, leak: float, scale: float) -> tuple[Floats, Floats]:
    """Return the voltage across the memristor [V], and the share of a small change of V that falls across it.

    With G the conductance, the current is G times the first, dI/dV is G times the second, and dI/dG their product.

    Parameters
    ----------
    conductance, voltage : ndarray
        Conductance of the memristor [S], >= 0, and voltage across the whole cell [V]; broadcast together.
    leak : float
        Current scale of the selector [A], > 0.
    scale : float
        Voltage scale of the selector [V], > 0.
    """
    u, r = np.abs(voltage) / scale, np.asarray(conductance * scale)
    x = np.minimum(u, np.arcsinh(r * u / leak))
    for _ in range(STEPS):
        step = (r * (x - u) + leak * np.sinh(x)) / (r + leak * np.cosh(x))
        x = x - step
        if np.abs(step).max(initial=0.0) < STEP:
            break
    tied = leak * np.cosh(x)
    # Below the threshold u - x would be a small difference of large numbers.
    small = leak * np.sinh(x) / np.where(r > 0.0, r, 1.0)
    rest = np.where((x > 0.5 * u) & (r > 0.0), small, u - x)
    return np.asarray(np.copysign(scale * rest, voltage)), np.asarray(tied / (r + tied))
