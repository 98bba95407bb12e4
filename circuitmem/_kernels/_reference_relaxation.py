r"""Weakly tied lines solved in turns, the fast path of a read: the twin of ``cython_ext/mesh/line_relaxation.pxd``.

**One turn.** Let x be the voltages of the bit-line nodes. Solve every word line, driven by its source, for these
voltages; then solve every bit line for the cell currents that result. This gives new voltages,

.. math:: x \mapsto N x + c, \qquad N = A_b^{-1} G A_w^{-1} G, \qquad c = A_b^{-1} G h_w v,

with :math:`A_w` and :math:`A_b` the matrices of the word lines and of the bit lines alone (cells included, their far
sides at 0 V), G the diagonal matrix of the cells, and :math:`h_w v` the word lines' own voltages from their drivers.
Each line is a ladder, whose recursions add positive terms only (:mod:`circuitmem._kernels.reference`). So all elements
of N are positive, nothing is pivoted, and nothing is subtracted: every number keeps its relative accuracy.

**What bounds the error.** A turn leaves at most the share :math:`1 - \tau` of the largest error of x, where

.. math:: \tau = l_w + l_b - l_w l_b

and l is the smallest share of the voltage of its own terminal that any node of a line has. With z the change that a
turn would make,

.. math:: z = N x + c - x, \qquad \|x - x^*\|_\infty \le \|z\|_\infty / \tau

for the solution :math:`x^*`. So one last turn from the answer proves how far off it is, and also gives the currents at
the terminals. Where :math:`1/\tau` is larger than 64, powers of N applied to ones may give a better bound
(:math:`\sum_k \|N^k 1\|_\infty`, the rest a geometric series); if they do not, the tile is left to the general method.

**Conjugate gradients.** In the inner product :math:`(a, b) = a^T A_b b`, :math:`1 - N` is symmetric and positive, so
conjugate gradients find the x that a turn does not change:

.. math::

   p \leftarrow z + \beta p, \quad \alpha = \frac{(z, z)}{(p, p) - (p, N p)}, \quad
   x \leftarrow x + \alpha p, \quad z \leftarrow z - \alpha (p - N p).

With f the cell currents for the bit-line voltages p, :math:`(p, N p) = p^T f` and
:math:`(N p, N p) = f^T A_b^{-1} f`; and since z is orthogonal to the previous p, :math:`(p, p) = (z, z) + \beta^2
(p', p')`. So :math:`A_b`, whose elements may be infinite, is never needed.

**Cost.** An iteration runs four recursions over m n cells, and reads or writes 13 numbers per cell. 3 to 8 iterations
are usual on wires of 1 to 2.5 ohm up to 256 x 256; their number grows as the square root of :math:`1/\tau`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels._reference_ladder import reciprocal
from circuitmem._kernels._reference_mesh import PreparedLines, tile_lines

__all__ = ["Relaxed", "relax"]

Floats = NDArray[np.float64]

PROVED = 0.25
"""Conjugate gradients go on until z is no larger than this fraction of the error that a last turn has to prove."""
TIED = 64.0
"""Amplification (1 / tau) up to which rounding errors let a turn prove 1e-13."""
LAST = 8
"""Turns that may follow conjugate gradients, each reducing the error, before another method is tried."""


class Relaxed(NamedTuple):
    """A solved vector; ``error`` bounds the error of a node voltage, relative to the largest voltage of a driver."""

    word: Floats  # (rows, columns) V
    bit: Floats  # (rows, columns) V
    column_current: Floats  # (columns,) A
    driver_current: Floats  # (rows,) A
    iterations: int
    error: float


def relax(
    conductance: Floats,
    word_resistance: Floats,
    bit_resistance: Floats,
    voltage: Floats,
    estimate: Floats | None = None,
    *,
    tolerance: float,
    max_iterations: int,
) -> Relaxed | None:
    """Solve one vector on a tile of linear cells, if this method suits the tile.

    Parameters
    ----------
    conductance : (rows, columns) ndarray
        Conductance of the cells [S].
    word_resistance : (rows, columns + 1) ndarray
        Word-line segments [Ω], as in :func:`circuitmem._kernels.mesh.solve_mesh`.
    bit_resistance : (rows + 1, columns) ndarray
        Bit-line segments [Ω], likewise.
    voltage : (rows,) ndarray
        Voltages of the drivers [V].
    estimate : (rows, columns) ndarray, optional
        Voltages of the bit-line nodes to start from [V].
    tolerance : float
        Largest error of a node voltage, relative to the largest voltage of a driver.
    max_iterations : int
        Iterations after which the vector is given up.

    Returns
    -------
    Relaxed or None
        None if the tile is driven on the right or sensed at the top as well, has a cut segment, or has lines that
        cells tie to each other too strongly.
    """
    cut = np.isinf(word_resistance[:, :-1]).any() or np.isinf(bit_resistance[1:]).any()
    if cut or np.isfinite(word_resistance[:, -1]).any() or np.isfinite(bit_resistance[0]).any():
        return None
    mesh = tile_lines(conductance[None], word_resistance, bit_resistance)
    tied = _tied(mesh)
    if tied * TIED < 1.0:
        return None
    own = mesh.word_h[0] * voltage[:, None]
    scale = float(np.abs(voltage).max())
    goal = tolerance * scale * tied
    warm = estimate is not None and scale > 0.0
    x = estimate.copy() if estimate is not None and warm else np.zeros(conductance.shape)
    iterations = turns = 0
    while True:
        word = own + mesh.word_lines(mesh.g * x)[0]
        flow = conductance * word
        z = mesh.bit_lines(flow[None])[0] - x
        high = float(np.abs(z).max())
        if ((turns > 0 or warm) and high <= goal) or turns > LAST or iterations >= max_iterations:
            break
        if turns == 0:
            # From x = 0 the energy of z is the work of the currents; otherwise it is summed over all wires and cells.
            rho = norm = _energy(conductance, bit_resistance, z) if warm else float((flow * z).sum())
            p, beta = np.zeros_like(x), 0.0
            while high > PROVED * goal and iterations < max_iterations and rho > 0.0:
                p = z + beta * p
                into = conductance * mesh.word_lines(mesh.g * p)[0]
                answer = mesh.bit_lines(into[None])[0]
                along, across = float((p * into).sum()), float((into * answer).sum())
                alpha = rho / (norm - along)
                x, z = x + alpha * p, z - alpha * (p - answer)
                high = float(np.abs(z).max())
                iterations += 1
                before, rho = rho, alpha * alpha * (norm - 2.0 * along + across) - rho
                beta = rho / before
                norm = rho + beta * beta * norm
        else:
            x = x + z
            iterations += 1
        turns += 1
    bit = x + z
    word = own + mesh.word_lines(mesh.g * bit)[0]
    admittance = (mesh.word_h[0] * conductance).sum(axis=1)
    drivers = admittance * voltage - (mesh.word_h[0] * conductance * x).sum(axis=1)
    columns = (mesh.bit_h[0] * flow).sum(axis=0)
    return Relaxed(word, bit, columns, drivers, iterations, high / (tied * scale) if scale > 0.0 else 0.0)


def _tied(mesh: PreparedLines) -> float:
    """Return tau, or a better bound where that of the weakest ties is too loose."""
    tied = float(1.0 / mesh.amplification[0])
    if tied * TIED >= 1.0:
        return tied
    error, total = np.ones_like(mesh.g), 1.0
    while total < TIED:
        error = mesh.bit_lines(mesh.g * mesh.word_lines(mesh.g * error))
        now = float(error.max())
        if total < TIED * (1.0 - now):
            return (1.0 - now) / total
        total += now
    return tied


def _energy(conductance: Floats, bit_resistance: Floats, z: Floats) -> float:
    """Return the power that bit lines at voltages z dissipate in their wires and, word lines at 0 V, in the cells."""
    steps = -np.diff(z, axis=0, append=0.0)
    return float((conductance * z * z).sum() + (steps * steps * reciprocal(bit_resistance[1:])).sum())
