r"""The mesh kernel in NumPy: the twin of ``cython_ext/mesh/mesh.pyx``, and its stand-in where nothing compiles.

**A line is a ladder.** Let the voltages u at the far sides of its cells be given, and number the nodes away from the
source. From node j, looking away from the source, the line is a Norton current and an admittance,

.. math::

   Y_j = g_j + t_{j+1} Y_{j+1}, \qquad J_j = g_j u_j + t_{j+1} J_{j+1}, \qquad t_j = \frac{1}{1 + r_j Y_j},

where :math:`r_j` is the segment between nodes j - 1 and j; then, starting from the source,

.. math:: v_j = t_j v_{j-1} + s_j J_j, \qquad s_j = r_j t_j.

Every term is positive: nothing cancels, whatever the values, and no pivot to which a current flows is ever 0. An ideal
segment has t = 1, s = 0; a cut one has t = 0, s = 1/Y (0 if Y = 0: the node floats, and is 0 V). If there is a second
source at the far end, the recursion begins there.

**Word lines are eliminated.** Let :math:`A_w` and :math:`A_b` be the matrices of the word lines and of the bit lines
alone (cells included, their far sides at 0 V), G the diagonal matrix of the cells. Currents :math:`c_w, c_b` into the
nodes give

.. math::

   (A_b - G A_w^{-1} G)\, x_b = c_b + G A_w^{-1} c_w, \qquad x_w = A_w^{-1} (c_w + G x_b),

which conjugate gradients solve, preconditioned by :math:`A_b^{-1}`. :math:`A_b x` is never computed, since its elements
may be infinite: with :math:`z = A_b^{-1} r`, the product :math:`A_b p` follows the recurrence of p itself.

**Until it is right.** The residual of Kirchhoff's current law in the state found, taken branch by branch, gives a
correction by the same two equations. This is repeated until the correction, or a bound on the error, is within the
tolerance. The bound is that of :mod:`circuitmem._kernels._reference_relaxation`: with l the smallest share of the
voltage of its own ends that any node of a line has, an error is at most

.. math:: \|x - x^*\|_\infty \le \frac{\|A_b^{-1} r\|_\infty}{\tau}, \qquad \tau = l_w + l_b - l_w l_b.

It decides where :math:`1/\tau` is at most 10,000; above that, rounding errors would hide behind it. Cells with
:math:`I = g \sinh(a V) / a`, or with a selector, need corrections anyway: each is a Newton step, with the slopes of the
cells as G, shortened where it overshoots. A step is solved only to the accuracy of the square of the previous step,
since new slopes cost more than iterations; once voltages across cells change by less than 1e-5/a, slopes are kept.

**Hard tiles.** Where strong cells tie together parts of lines that only weak cells tie to the rest, no iteration keeps
its digits, and no useful bound exists. Such a tile is solved by elimination, one row of bit-line nodes after another,
with every node's own conductance summed from its ties, so that again nothing is subtracted (Grassmann, Taksar and
Heyman, Operations Research 33:1107, 1985).

**Currents at the terminals.** By reciprocity, the share h of a current that enters a line at a node reaches the ends of
the line, where h is the voltage of the node while both ends are at 1 V and all cells see 0 V. So a terminal's current
is a sum over cells, never a difference of nearly equal voltages.

**Cost.** An iteration runs four recursions over m n cells, and reads or writes 19 numbers per cell. Elimination takes
:math:`m n^3` multiplications and :math:`m n^2` numbers of memory; it is not tried beyond 256 by 256, or 134 MB.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels._reference_ladder import reciprocal
from circuitmem._kernels._reference_mesh import (
    TRUSTED,
    BitLineElimination,
    PreparedLines,
    eliminate,
    largest_of,
    prepare,
    tile_lines,
)
from circuitmem._kernels.selector import selector_cell

__all__ = ["solve"]

Floats = NDArray[np.float64]
_State = tuple[Floats, Floats, Floats, Floats]  # word lines, bit lines, and the last correction of each

REDUCTION = 1e-5
"""A correction is complete once its residual has fallen to this fraction."""
ROUNDS = 100
"""Largest number of corrections of a solution."""
FIRST_STEPS, LAST_STEPS = 1e-4, 1e-6
"""Limits of the fraction to which a Newton step reduces its residual: the square of the change by the step before."""
NEAR = 1e-5
"""Change of all cells' voltages, in units of 1/a, up to which their slopes are not computed again."""
CURRENTS = 1e3
"""Factor by which the relative error of a terminal's current may exceed that of a voltage."""
EXTRA = 4
"""Largest number of further corrections for the currents, once the voltages are right."""
ROUNDING = 16.0 * float(np.finfo(np.float64).eps)
"""Error of a terminal's current by rounding of the cells' own currents, relative to the sum of all of these."""


def conjugate_gradients(
    mesh: PreparedLines, r: Floats, reduction: Floats, goal: Floats, budget: Floats
) -> tuple[Floats, Floats, Floats]:
    """Solve ``(A_b - G A_w^-1 G) x = r`` until max|z| <= goal or reduction * max|z| of the start, vector by vector.

    Return x, max|z| of the start, and the iterations of each vector, at most ``budget``.
    """
    x, p, ph = np.zeros_like(r), np.zeros_like(r), np.zeros_like(r)
    z = mesh.bit_lines(r)
    largest = start = largest_of(z)
    goal = np.maximum(goal, reduction * start)
    rho, beta = _dot(r, z), np.zeros(len(r))
    used = np.zeros(len(r))
    going = np.ones(len(r), dtype=bool)
    while True:
        p = z + _each(beta) * p
        ph = r + _each(beta) * ph
        q = ph - mesh.g * mesh.word_lines(mesh.g * p)
        pq = _dot(p, q)
        # A direction without positive energy consists of rounding errors only: no step along it can help.
        going &= (largest > goal) & (used < budget) & (pq > 0.0) & np.isfinite(rho)
        if not going.any():
            return x, start, used
        alpha = np.where(going, rho * reciprocal(pq), 0.0)
        used += going
        x = x + _each(alpha) * p
        r = r - _each(alpha) * q
        z = mesh.bit_lines(r)
        largest = largest_of(z)
        before, rho = rho, _dot(r, z)
        beta = np.where(going, rho * reciprocal(before), 0.0)


class _Circuit(NamedTuple):
    """The parts of the circuit that stay the same while its state changes."""

    word: Floats  # (rows, columns + 1)
    bit: Floats  # (rows + 1, columns)
    a: float
    leak: float

    def cells(self, g: Floats, voltage: Floats) -> tuple[Floats, Floats]:
        """Return current and slope of the cells."""
        if self.a == 0.0:
            return g * voltage, g
        if self.leak > 0.0:
            across, share = selector_cell(g, voltage, self.leak, 1.0 / self.a)
            return g * across, g * share
        return g * np.sinh(self.a * voltage) / self.a, g * np.cosh(self.a * voltage)

    def residual(
        self, g: Floats, w: Floats, b: Floats, source: Floats, injection: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """Return the residual currents of word-line and bit-line nodes, and the slopes of the cells.

        A cell's current enters both residuals with the same bits, and wire currents are differences, so the sum over an
        almost floating part keeps its digits. No current is counted inside an ideal wire.
        """
        current, slope = self.cells(g, w - b)
        ends = np.broadcast_to(source[:, :, None], (*w.shape[:2], 1))
        word = -np.diff(np.concatenate([ends, w, ends], axis=2), axis=2) * reciprocal(self.word)
        ground = np.zeros((len(b), 1, b.shape[2]))
        bit = -np.diff(np.concatenate([ground, b, ground], axis=1), axis=1) * reciprocal(self.bit)
        rw = word[:, :, :-1] - word[:, :, 1:] - current + injection[:, 0]
        rb = bit[:, :-1] - bit[:, 1:] + current + injection[:, 1]
        return rw, rb, slope


def _step_length(
    circuit: _Circuit, g: Floats, state: tuple[Floats, Floats, Floats, Floats], dw: Floats, db: Floats
) -> Floats:
    """Shorten Newton steps that overshoot: the content is convex along them, and falls until its slope turns."""
    w, b, source, injection = state

    def slope(length: Floats) -> Floats:
        rw, rb, _ = circuit.residual(g, w + _each(length) * dw, b + _each(length) * db, source, injection)
        return _dot(rw, dw) + _dot(rb, db)

    start = slope(np.zeros(len(w)))
    length = np.ones(len(w))
    for _ in range(60):
        over = ~(slope(length) >= -0.5 * start)
        if not over.any():
            break
        length[over] *= 0.5
    return length


# Steps that overshoot, and tiles whose numbers overflow, are recognised by their results.
@np.errstate(over="ignore", invalid="ignore")
def solve(
    conductance: Floats,
    word_resistance: Floats,
    bit_resistance: Floats,
    word_voltage: Floats,
    injection: Floats,
    estimate: Floats,
    a: float,
    leak: float,
    tolerance: float,
    max_iterations: int,
    threads: int,  # noqa: ARG001
    voltages: bool,
) -> tuple[Floats | None, Floats | None, Floats, Floats, NDArray[np.intc], Floats, Floats]:
    """Solve a batch; arguments and result are those of the compiled ``solve``."""
    batch, (rows, columns) = len(word_voltage), conductance.shape[1:]
    circuit = _Circuit(word_resistance, bit_resistance, a, leak)
    linear = a == 0.0
    base = prepare(conductance, word_resistance, bit_resistance)
    if len(injection) == 0:
        injection = np.zeros((batch, 2, rows, columns))
    # Non-linear cells start without a voltage, unless ideal wires join them to a driver, so that no step has to come
    # down from a peak. (With short circuits for cells, only nodes joined in this way are not at 0 V.)
    shorts = tile_lines(np.full((1, rows, columns), 1e200), word_resistance, bit_resistance)
    w = (base.word_h if linear else shorts.word_h) * word_voltage[:, :, None]
    b = np.zeros_like(w)
    last_w, last_b = np.zeros_like(w), np.zeros_like(w)
    used, error = np.zeros(batch), np.ones(batch)
    # The scale of errors of injected currents is the voltage that they would cause if none cancelled another.
    strayed = base.word_lines(np.abs(injection[:, 0]))
    scales = np.maximum(largest_of(strayed), largest_of(base.bit_lines(np.abs(injection[:, 1]) + base.g * strayed)))
    scales = np.maximum(scales, largest_of(word_voltage))
    error[scales == 0.0] = 0.0
    warm = len(estimate) > 0
    if warm:  # a node that ideal wires join to a driver has its voltage, whatever the estimate says
        driven = (scales > 0.0)[:, None, None]
        b = np.where(driven, estimate[:, 1], 0.0)
        if linear:
            w = w + base.word_lines(base.g * b + injection[:, 0])
            w = np.where(driven, w, 0.0)
        else:
            w = w + np.where(driven, (1.0 - shorts.word_h) * estimate[:, 0], 0.0)
    open_ = np.flatnonzero(scales > 0.0)
    factors: dict[int, BitLineElimination] = {}
    slopes, near = np.empty((0 if linear else batch, rows, columns)), np.zeros(batch, dtype=bool)
    for turn in range(ROUNDS):
        if not len(open_):
            break
        g = base.of(open_).g
        state = w[open_], b[open_], word_voltage[open_], injection[open_]
        mesh = base.of(open_)
        if turn == 0 and linear and not warm:  # the word lines are right for these bit lines
            rw, rb = state[3][:, 0], g * state[0] + state[3][:, 1]
            scale = scales[open_]
        else:
            rw, rb, slope = circuit.residual(g, *state)
            scale = np.maximum(scales[open_], np.maximum(largest_of(state[0]), largest_of(state[1])))
            if not linear:
                slopes[open_[~near[open_]]] = slope[~near[open_]]
                mesh = prepare(slopes[open_], word_resistance, bit_resistance)
        answer = mesh.word_lines(rw)
        first = largest_of(answer)
        rb = rb + mesh.g * answer
        bounded = mesh.amplification <= TRUSTED
        goal = 0.1 * tolerance * scale / np.minimum(mesh.amplification, TRUSTED)
        reduction = np.full(len(open_), 0.0 if turn == 0 else REDUCTION)
        if not linear:  # no more accurate than the linearisation
            reduction = np.clip(error[open_] ** 2, LAST_STEPS, FIRST_STEPS)
        # A hard tile takes about as many iterations as it has lines. Far beyond that, rounding errors dominate, and a
        # fresh residual helps more.
        budget = np.minimum(max_iterations - used[open_], 10 * (rows + columns) + 100)
        db, z, spent = conjugate_gradients(mesh, rb, reduction, goal, np.where(bounded, budget, 0))
        for k in np.flatnonzero(~np.broadcast_to(bounded, len(open_))):
            index = 0 if len(conductance) == 1 and linear else int(open_[k])
            if index not in factors or not linear:
                factors[index] = eliminate(mesh.of(np.array([k])), bit_resistance)
            db[k] = factors[index].solve(rb[k])
            spent[k] += 1
        bound = first + z * mesh.amplification
        settled = (turn > 0 or warm) & bounded & (bound <= tolerance * scale)
        dw = mesh.word_lines(rw + mesh.g * db)
        change = np.maximum(largest_of(dw), largest_of(db))
        length = np.ones(len(open_))
        # Within half of 1/a the law of a cell is near its tangent, and Newton's method converges by itself.
        across = largest_of(dw - db) * a
        near[open_] = bounded & (across <= NEAR)
        far = np.flatnonzero(across > 0.5)
        if len(far):
            part = (state[0][far], state[1][far], state[2][far], state[3][far])
            length[far] = _step_length(circuit, g if len(g) == 1 else g[far], part, dw[far], db[far])
        relative = np.where(np.isfinite(change), change / scale, np.inf)
        error[open_] = np.where(settled, bound / scale, relative)
        used[open_] += np.where(settled, 0, spent)
        if turn > 0 or warm or not linear:
            settled |= (relative <= tolerance) & (length == 1.0)
        last_w[open_], last_b[open_] = dw, db
        move = _each(np.where(settled, 0.0, length))
        w[open_] += move * dw
        b[open_] += move * db
        lost = ~settled & ((used[open_] >= max_iterations) | ~np.isfinite(relative))
        error[open_[lost]] = np.maximum(error[open_[lost]], 2.0 * tolerance)
        open_ = open_[~settled & ~lost]
    error[open_] = np.maximum(error[open_], 2.0 * tolerance)

    volts = np.where(error <= tolerance, error * scales, 0.0)
    state = w, b, last_w, last_b
    arguments = word_voltage, injection, state, volts, tolerance, max_iterations - used
    column, driver, unsettled, spent = _settle_currents(circuit, base, *arguments)
    used = used + np.where(unsettled > 0.0, spent, 0)
    w, b = w + last_w, b + last_b
    lines = (w, b) if voltages else (None, None)
    return *lines, column, driver, used.astype(np.intc), error, unsettled


def _terminal_currents(
    circuit: _Circuit, mesh: PreparedLines, source: Floats, injection: Floats, cells: Floats, state: _State
) -> tuple[Floats, Floats]:
    """Return the currents into the sense amplifiers and out of the drivers, (batch, columns) and (batch, rows) A.

    By reciprocity, the share h of a current that enters a line at a node reaches the ends of the line, so that no
    difference of nearly equal numbers is taken. Non-linear cells are replaced by their tangents, whose slopes are in
    ``mesh``. The last correction is kept apart from the state: it has the digits that a small difference of voltages
    lacks.
    """
    w, b, last_w, last_b = state
    ends = source[:, :, None]
    if circuit.a == 0.0:
        into, out_of = mesh.g * (w + last_w), mesh.g * (ends - b - last_b)
    else:
        current = circuit.cells(cells, w - b)[0]
        into, out_of = current + mesh.g * (b + last_w), current + mesh.g * (ends - w - last_b)
    column, driver = mesh.bit_h * (into + injection[:, 1]), mesh.word_h * (out_of - injection[:, 0])
    return column.sum(axis=1), driver.sum(axis=2)


def _settle_currents(
    circuit: _Circuit,
    base: PreparedLines,
    source: Floats,
    injection: Floats,
    state: _State,
    volts: Floats,
    tolerance: float,
    iterations: Floats,
) -> tuple[Floats, Floats, Floats, Floats]:
    """Correct the states, in place, until the terminal currents are known as well as voltages are; return the currents.

    Small currents need more than the tolerance for voltages, whose errors are ``volts``. Where corrections no longer
    help, rounding errors of the cells' own currents remain. The other results are the error beyond both, (batch,),
    relative to the largest current, or 0; and how many of the available ``iterations`` were spent.
    """
    linear = circuit.a == 0.0
    w, b, last_w, last_b = state
    mesh = base if linear else tile_lines(circuit.cells(base.g, w - b)[1], circuit.word, circuit.bit)
    currents = _terminal_currents(circuit, mesh, source, injection, base.g, state)
    sights = (mesh.bit_h * mesh.g).sum(axis=1).max(axis=1), (mesh.word_h * mesh.g).sum(axis=2).max(axis=1)
    limit = CURRENTS * tolerance
    first = np.stack([volts * sight for sight in sights])
    open_ = np.flatnonzero(
        ~np.all([e <= limit * largest_of(now) for e, now in zip(first, currents, strict=True)], axis=0)
    )
    left, spent, given_up = np.zeros((2, len(w))), np.zeros(len(w)), np.zeros(len(w), dtype=bool)
    for _ in range(EXTRA):
        if not len(open_):
            break
        w[open_] += last_w[open_]
        b[open_] += last_b[open_]
        mesh = base.of(open_)
        rw, rb, slope = circuit.residual(mesh.g, w[open_], b[open_], source[open_], injection[open_])
        if not linear:
            mesh = prepare(slope, circuit.word, circuit.bit)
        rb = rb + mesh.g * mesh.word_lines(rw)
        hard = np.flatnonzero(np.broadcast_to(mesh.amplification > TRUSTED, len(open_)))
        budget = np.minimum(iterations[open_] - spent[open_], 10 * sum(w.shape[1:]) + 100)
        budget[hard] = 0
        none = np.zeros(len(open_))
        db, _, more = conjugate_gradients(mesh, rb, none + REDUCTION, none, budget)
        spent[open_] += more
        lost = spent[open_] >= iterations[open_]
        lost[hard] = False
        for k in hard:
            db[k] = eliminate(mesh.of(np.array([k])), circuit.bit).solve(rb[k])
        last_w[open_], last_b[open_] = mesh.word_lines(rw + mesh.g * db), db
        now_w, now_b, now_last_w, now_last_b = (array[open_] for array in state)
        part = now_w, now_b, now_last_w, now_last_b
        settled = np.ones(len(open_), dtype=bool)
        fresh = _terminal_currents(circuit, mesh, source[open_], injection[open_], base.of(open_).g, part)
        for now, new, change in zip(currents, fresh, left, strict=True):
            change[open_] = largest_of(new - now[open_])
            settled &= change[open_] <= limit * largest_of(new)
            now[open_] = new
        left[:, open_[settled]] = 0.0
        left[:, open_[lost]] = first[:, open_[lost]]
        given_up[open_[lost]] = True
        open_ = open_[~(settled | lost)]
    circulating = np.abs(circuit.cells(base.g, w - b)[0]).sum(axis=(1, 2)) + np.abs(injection).sum(axis=(1, 2, 3))
    unsettled = np.zeros(len(w))
    for now, change in zip(currents, left, strict=True):
        high = largest_of(now)
        relative = np.divide(change, high, out=np.full(len(w), np.inf), where=high > 0.0)
        unknown = (change > limit * high) & (given_up | (change > ROUNDING * circulating))
        unsettled = np.maximum(unsettled, np.where(unknown, relative, 0.0))
    return *currents, unsettled, spent


def _dot(first: Floats, second: Floats) -> Floats:
    return np.asarray((first * second).sum(axis=(1, 2)))


def _each(numbers: Floats) -> Floats:
    return numbers[:, None, None]
