"""Lines as ladders: the part of the mesh kernel's twin that works on one line at a time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ladder", "ladder", "reciprocal"]

Floats = NDArray[np.float64]


class Ladder(NamedTuple):
    """Lines prepared for solving; arrays are (nodes, ...), the node farthest from the source first."""

    t: Floats
    s: Floats
    h: Floats  # voltage of each node while all u are 0 V and both ends of its line are at 1 V

    def solve(self, current: Floats) -> Floats:
        """Return the node voltages for currents into the nodes, with all u and both ends at 0 V."""
        out = np.empty(np.broadcast_shapes(current.shape, self.t.shape))
        value = np.zeros(out.shape[1:])
        for k in range(len(out)):
            value = current[k] + value
            out[k] = self.s[k] * value
            value = self.t[k] * value
        value = np.zeros(out.shape[1:])
        for k in reversed(range(len(out))):
            value = self.t[k] * value + out[k]
            out[k] = value
        return out


def ladder(g: Floats, near: Floats, far: Floats) -> Ladder:
    """Prepare lines for :meth:`Ladder.solve`.

    Parameters
    ----------
    g : (nodes, ...) ndarray
        Conductance of the cells [S], the node farthest from the source first.
    near : (nodes, ...) ndarray
        Resistance of the segment from each node towards the source [Ω].
    far : (...) ndarray
        Resistance of the segment from the first node to the second source [Ω], ``inf`` if there is none.
    """
    near = np.broadcast_to(near, g.shape)
    t, s, h = np.empty(g.shape), np.empty(g.shape), np.empty(g.shape)
    held = np.broadcast_to(far == 0.0, g.shape[1:])  # ideal wires join the node to the far source
    arriving = np.broadcast_to(reciprocal(far), g.shape[1:])
    current = arriving
    for k in range(len(g)):
        cut = np.isinf(near[k])
        ohms = np.where(cut, 0.0, near[k])
        y = g[k] + arriving
        bottom = np.where(cut, y, 1.0 + ohms * y)
        inverse = reciprocal(bottom)
        t[k] = np.where(held | cut, 0.0, inverse)
        s[k] = np.where(held, 0.0, np.where(cut, inverse, ohms * inverse))
        h[k] = np.where(held, 1.0, s[k] * current)
        arriving = np.where(held, reciprocal(near[k]), y * t[k])
        current = np.where(held, arriving, current * t[k])
        held = held & (near[k] == 0.0)
    value = np.ones(g.shape[1:])
    for k in reversed(range(len(g))):
        value = t[k] * value + h[k]
        h[k] = value
    return Ladder(t, s, h)


def reciprocal(x: Floats) -> Floats:
    """Return 1/x, and 0 for 0."""
    return np.divide(1.0, x, out=np.zeros(np.shape(x)), where=np.asarray(x) > 0.0)
