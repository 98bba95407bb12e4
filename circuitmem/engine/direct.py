"""Sparse direct solver for tiles with bridges that the mesh kernel cannot handle.

The kernel solves lines that are coupled only by cells. Bridges are added to its solutions by superposition
(``behavioral``). That is impossible if the cells are not linear, and also if a bridge touches a part of a line that no
wire connects to a driver or a sense amplifier: its share of the solution could be huge, or undefined. In these cases
the nodal equations of the whole tile, bridges included, are factored here.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import scipy
from numpy.typing import NDArray

from circuitmem.engine.base import Solution
from circuitmem.engine.elimination import Elimination, EliminationOrder
from circuitmem.errors import ConvergenceError
from circuitmem.tile import Tile
from circuitmem.tile.defects import Node

__all__ = ["Factors", "NodalGraph", "floating_cells", "solve_directly"]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

MAX_CORRECTIONS = 200
"""Largest number of corrections (Newton steps, if cells are not linear) before a vector is given up."""

SETTLED = 1e-11
"""Largest change of a terminal current by the last correction, relative to the largest driver or column current."""
EXTRA = 4
"""Additional corrections to let the currents settle after the voltages have converged; if they do not, the same number
again by the slow elimination."""
ROUNDING = 16.0 * float(np.finfo(np.float64).eps)
"""Rounding error of a terminal current relative to the sum of all branch currents, which no correction can remove."""


class Factors:
    """A network factored for the conductances of its branches [S].

    If the correction of a solution is large, the factorisation has lost its digits. It is then replaced by an
    elimination that loses none.
    """

    def __init__(self, network: NodalGraph, conductance: Floats) -> None:
        self._network, self._conductance = network, conductance
        self._careful: Elimination | None = None
        try:
            matrix, options = network.matrix(conductance), {"SymmetricMode": True}
            self._lu = scipy.sparse.linalg.splu(matrix, permc_spec="MMD_AT_PLUS_A", options=options)
        except RuntimeError:  # singular to double precision
            self.take_care()

    def take_care(self) -> None:
        """Switch to the elimination that loses no digits, which takes much longer."""
        if self._careful is None:
            self._careful = self._network.order.eliminate(self._conductance)

    def solve(self, current: Floats) -> Floats:
        """Return the voltages of the free nodes for currents into them, all sources at 0 V."""
        if self._careful is None:
            network = self._network
            answer, voltage = self._lu.solve(current), np.zeros(network.number)
            voltage[network.free] = answer
            # Computed branch by branch, so that the sum over an almost floating part keeps its digits.
            rest = current + network.into_nodes(self._conductance * network.across(voltage))[network.free]
            more = self._lu.solve(rest)
            if np.abs(more).max() <= 0.1 * np.abs(answer).max():
                return np.asarray(answer + more)
            self.take_care()
        assert self._careful is not None
        return self._careful.solve(current)


class NodalGraph:
    """Nodes and branches of one tile. Ideal wires merge the nodes that they join; floating nodes stay at 0 V.

    Before merging, nodes are numbered in the order drivers, sense amplifiers, word-line nodes, bit-line nodes.
    """

    def __init__(self, tile: Tile) -> None:
        mesh = tile.mesh
        rows, columns = tile.spec.shape
        self._tile = tile
        drivers, senses = np.arange(rows), rows + np.arange(columns)
        self.word = (rows + columns + np.arange(rows * columns)).reshape(rows, columns)
        self.bit = self.word + rows * columns
        chain = np.column_stack([drivers, self.word, drivers])
        fall = np.vstack([senses, self.bit, senses])
        bridges = tile.defects.bridges
        ends = np.array([[self._node(b.first), self._node(b.second)] for b in bridges], np.int64).reshape(-1, 2)
        cells = mesh.conductance.ravel()
        first = np.concatenate([chain[:, :-1].ravel(), fall[:-1].ravel(), ends[:, 0], self.word.ravel()])
        second = np.concatenate([chain[:, 1:].ravel(), fall[1:].ravel(), ends[:, 1], self.bit.ravel()])
        resistance = np.array([b.resistance for b in bridges])
        ohms = np.concatenate([mesh.word_resistance.ravel(), mesh.bit_resistance.ravel(), resistance])
        with np.errstate(divide="ignore"):
            self.conductance = np.concatenate([1.0 / ohms, cells])
        self.cells = slice(len(ohms), None)

        count = rows + columns + 2 * rows * columns
        ideal = np.isinf(self.conductance)
        self._merged = _parts(first[ideal], second[ideal], count)
        self._first, self._second = self._merged[first], self._merged[second]
        live = (self.conductance > 0.0) & (self._first != self._second)
        self.number = int(self._merged.max()) + 1
        part = _parts(self._first[live], self._second[live], self.number)
        self.sources = self._merged[: rows + columns]
        self.conductance = np.where(live, self.conductance, 0.0)
        free = np.isin(part, part[self.sources])
        self.floats = ~free[self._merged]
        free[self.sources] = False
        self.free = np.flatnonzero(free)
        self._place = np.full(self.number, -1)
        self._place[self.free] = np.arange(len(self.free))

    def _node(self, node: Node) -> int:
        return int((self.word if node.line == "word" else self.bit)[node.row, node.column])

    @cached_property
    def order(self) -> EliminationOrder:
        """The order in which the free nodes are eliminated."""
        return EliminationOrder(len(self.free), self._place[self._first], self._place[self._second])

    def factor(self, conductance: Floats) -> Factors | None:
        """Factor the nodal equations for given branch conductances; return None if there is no free node."""
        return Factors(self, conductance) if len(self.free) else None

    def matrix(self, conductance: Floats) -> scipy.sparse.csc_array:
        """Return the nodal matrix of the free nodes for given branch conductances."""
        first, second = self._place[self._first], self._place[self._second]
        both = (first >= 0) & (second >= 0) & (conductance > 0.0)
        size = len(self.free)
        diagonal = np.zeros(size)
        for place in (first, second):
            keep = place >= 0
            diagonal += np.bincount(place[keep], conductance[keep], minlength=size)
        row = np.concatenate([np.arange(size), first[both], second[both]])
        column = np.concatenate([np.arange(size), second[both], first[both]])
        value = np.concatenate([diagonal, -conductance[both], -conductance[both]])
        return scipy.sparse.csc_array(scipy.sparse.coo_array((value, (row, column)), shape=(size, size)))

    def across(self, voltage: Floats) -> Floats:
        """Return the voltage across each branch."""
        return np.asarray(voltage[self._first] - voltage[self._second])

    def into_nodes(self, current: Floats) -> Floats:
        """Return the current into each node, from the currents of the branches."""
        into = np.bincount(self._second, current, minlength=self.number)
        return np.asarray(into - np.bincount(self._first, current, minlength=self.number))

    def currents(self, voltage: Floats) -> tuple[Floats, Floats]:
        """Return current and slope of each branch."""
        across = self.across(voltage)
        current, slope = self.conductance * across, self.conductance.copy()
        cell = self._tile.spec.cell
        if not cell.linear:
            current[self.cells] = cell.current(self.conductance[self.cells], across[self.cells])
            slope[self.cells] = cell.slope(self.conductance[self.cells], across[self.cells])
        return current, slope

    def solve(self, source: Floats, tolerance: float, factors: Factors | None) -> tuple[Floats, Floats]:
        """Solve the network for given driver voltages; ``factors`` are needed if the cells are linear.

        Returns the voltages of all nodes and the currents into all sources, drivers before senses. The last correction
        is added to the currents directly, not by way of the voltages, because a small difference of two voltages would
        lack its digits.
        """
        linear = self._tile.spec.cell.linear
        voltage = np.zeros(self.number)
        voltage[self.sources[: len(source)]] = source
        scale = float(np.abs(source).max())
        if scale == 0.0 or not len(self.free):
            return voltage, self.into_nodes(self.currents(voltage)[0])[self.sources]
        into, count, extra, careful = np.zeros(len(self.sources)), 0, 0, False
        while count < MAX_CORRECTIONS:
            count += 1
            # Computed branch by branch, so that the sum over an almost floating part keeps its digits, and corrections
            # restore the digits that factoring loses.
            current, slope = self.currents(voltage)
            residual = self.into_nodes(current)
            lu = factors if linear else self.factor(slope)
            assert lu is not None
            if careful:
                lu.take_care()
            step = np.zeros(self.number)
            step[self.free] = lu.solve(residual[self.free])
            length = 1.0 if linear else self._length(voltage, step, residual)
            size = float(np.abs(step).max()) / scale
            if not np.isfinite(size):
                break
            before, into = into, self.into_nodes(current + slope * self.across(step))[self.sources]
            if size <= tolerance and length == 1.0:
                extra += 1
                careful = extra > EXTRA
                rounding = ROUNDING * float(np.abs(current).sum()) if extra > 2 * EXTRA else 0.0
                unsettled = _unsettled(into, before, len(source), rounding)
                if unsettled == 0.0:
                    return voltage + step, into
                if extra > 2 * EXTRA:
                    raise ConvergenceError("the currents of a tile with bridges", unsettled, SETTLED, count)
            voltage = voltage + length * step
        raise ConvergenceError("a tile with bridges", size, tolerance, count)

    def _length(self, voltage: Floats, step: Floats, residual: Floats) -> float:
        """Return the length of a Newton step, below 1 if the whole step overshoots.

        The content of the network is convex along the step, and decreases until its slope changes sign.
        """
        start = residual[self.free] @ step[self.free]
        length = 1.0
        # The law of a cell stays near its tangent for changes of up to half this voltage.
        near = 0.5 * getattr(self._tile.spec.cell, "bend", np.inf)
        while np.abs(length * self.across(step)[self.cells]).max() > near:
            after = self.into_nodes(self.currents(voltage + length * step)[0])
            slope = after[self.free] @ step[self.free]
            if slope >= -0.5 * start:
                break
            length *= 0.5
        return length

    def gather(self, which: Indices, values: Floats) -> Floats:
        """Sum values of unmerged nodes over each merged node."""
        return np.bincount(self._merged[which].ravel(), values.ravel(), minlength=self.number).astype(np.float64)

    def solve_linear(self, factors: Factors | None, sources: Floats, into: Floats | None = None) -> Floats:
        """Return the node voltages of linear branches for the voltages of all sources, drivers before senses.

        ``into`` : (nodes,) A, an external current into each node.
        """
        voltage = np.zeros(self.number)
        voltage[self.sources] = sources
        if factors is not None:
            residual = self.into_nodes(self.conductance * self.across(voltage))
            residual = residual if into is None else residual + into
            voltage[self.free] += factors.solve(residual[self.free])
        return voltage

    def into_sources(self, voltage: Floats) -> Floats:
        """Return the current into each source, drivers before senses, for linear branches."""
        return self.into_nodes(self.conductance * self.across(voltage))[self.sources]

    def nodes(self, voltage: Floats, which: Indices) -> Floats:
        """Return the voltages of unmerged nodes."""
        return np.asarray(voltage[self._merged[which]])


# Overflow is expected for steps that overshoot and for extreme tiles; the results are checked for it.
@np.errstate(over="ignore", invalid="ignore")
def solve_directly(tile: Tile, voltages: Floats, tolerance: float) -> Solution:
    """Solve a tile by factoring, bridges included.

    Parameters
    ----------
    tile : Tile
        The tile.
    voltages : (batch, rows) ndarray
        Driver voltages [V], checked.
    tolerance : float
        Largest change of a node voltage by the last correction, relative to the largest driver voltage.

    Raises
    ------
    ConvergenceError
        If a vector does not reach the tolerance.
    """
    network = NodalGraph(tile)
    rows, columns = tile.spec.shape
    factors = network.factor(network.conductance) if tile.spec.cell.linear else None
    column, driver = np.empty((len(voltages), columns)), np.empty((len(voltages), rows))
    word, bit = np.empty((2, len(voltages), rows, columns))
    for index, source in enumerate(voltages):
        solved, into = network.solve(source, tolerance, factors)
        if not np.isfinite(into).all():  # without free nodes there was no solve that could have failed
            raise ConvergenceError("a tile with bridges", np.inf, tolerance, 0)
        driver[index], column[index] = -into[:rows], into[rows:]
        word[index], bit[index] = network.nodes(solved, network.word), network.nodes(solved, network.bit)
    return Solution(column, driver, word, bit, (voltages * driver).sum(axis=1))


def floating_cells(tile: Tile) -> NDArray[np.bool_]:
    """Say which cells have a node with no connection to a driver or a sense amplifier, (rows, columns)."""
    network = NodalGraph(tile)
    return np.asarray(network.floats[network.word] | network.floats[network.bit])


def _unsettled(now: Floats, before: Floats, rows: int, rounding: float) -> float:
    """Return the change of driver or sense currents by a correction, relative to the largest of them.

    It counts as 0 if it is within ``SETTLED``, or within ``rounding`` [A].
    """
    found = 0.0
    for part in (slice(None, rows), slice(rows, None)):
        change, high = float(np.abs(now - before)[part].max()), float(np.abs(now[part]).max())
        if not (change <= SETTLED * high or change <= rounding):
            found = max(found, change / high if high > 0.0 else np.inf)
    return found


def _parts(first: Indices, second: Indices, count: int) -> Indices:
    """Return the number of the connected part that each node belongs to."""
    graph = scipy.sparse.coo_array((np.ones(len(first), dtype=np.int8), (first, second)), shape=(count, count))
    return np.asarray(scipy.sparse.csgraph.connected_components(graph, directed=False)[1], dtype=np.int64)
