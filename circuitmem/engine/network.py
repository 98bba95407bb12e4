"""The network of a tile at one moment of a pulse: voltages on all lines, cells of any law, any defect.

Newton's method on the cells: each is replaced by its tangent, a conductance and a current source, the linear network is
solved, and so on. The mesh kernel solves it; with bridges on floating parts of lines, a sparse factorisation does.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.devices import TABULATED, DeviceLaw, Response, respond
from circuitmem._kernels.mesh import solve_mesh
from circuitmem._kernels.tables import voltage_of
from circuitmem.engine.direct import NodalGraph
from circuitmem.engine.plan import plan_nodes
from circuitmem.errors import ConvergenceError
from circuitmem.tile import Tile

__all__ = ["CellNetwork", "Moment"]

Floats = NDArray[np.float64]

TOLERANCE = 1e-9
"""Largest last correction of a cell's voltage, relative to the largest of a line: Newton's next is its square."""

MAX_TURNS = 200
"""Corrections after which a moment is given up."""


class Moment(NamedTuple):
    """What a tile does at one moment."""

    rate: Floats
    """Of the states, (rows, columns) 1/s."""
    stiffness: Floats
    """Derivative of each rate by its own state, (rows, columns) 1/s."""
    power: float
    """Of the drivers of all lines [W]."""


class _Lines(Protocol):
    def solve(self, slope: Floats, offset: Floats, word: Floats, bit: Floats) -> tuple[Floats, float]:
        """Return voltages of cells with the current ``slope V + offset``, (rows, columns) V, and the drivers' power."""


class CellNetwork:
    """A tile whose cells follow a device's law, at the states that it is given.

    Parameters
    ----------
    law : DeviceLaw
        Of the cells.
    tile : Tile
        Wires and line defects; cells of 0 S are open.
    fixed : (rows, columns) ndarray
        Conductance [S] of stuck cells; negative for devices.
    series : (rows, columns) ndarray
        Resistance in series with each cell [Ω]; ``inf`` is a cell that is switched off.
    threads : int
        Threads to use, >= 1.
    """

    def __init__(self, law: DeviceLaw, tile: Tile, fixed: Floats, series: Floats, threads: int) -> None:
        self._law, self._fixed, self._series, self._threads = law, fixed, series, threads
        self._linear = law.a == 0.0 and law.ratio == 1.0
        self._lines: _Lines = _DirectLines(tile) if plan_nodes(tile).method == "direct" else _MeshLines(tile)
        # Where the next moment starts from: one soon after the last is almost it.
        self._voltage = np.zeros(tile.spec.shape)

    def solve(self, state: Floats, word: Floats, bit: Floats) -> Moment:
        """Return what the tile does at these states, (rows, columns), and voltages of the lines, (rows,), (columns,) V.

        Raises
        ------
        ConvergenceError
            If no solution is found.
        """
        scale = max(float(np.abs(word).max()), float(np.abs(bit).max()))
        across: Floats = self._voltage if scale > 0.0 else np.zeros(self._voltage.shape)
        power, change = 0.0, np.inf
        for turn in range(MAX_TURNS):
            answer = self._respond(state, across)
            if scale == 0.0:
                break
            if change <= TOLERANCE * scale:
                self._voltage = across
                break
            new, power = self._lines.solve(answer.slope, answer.current - answer.slope * across, word, bit)
            if self._linear:
                change = 0.0
            else:
                new = self._shorten(answer, state, across, new)
                change = float(np.abs(new - across).max())
            if not np.isfinite(new).all():
                raise ConvergenceError("the network of a tile", np.inf, TOLERANCE, turn)
            across = new
        else:
            raise ConvergenceError("the network of a tile", change / scale, TOLERANCE, MAX_TURNS)
        return Moment(answer.rate, answer.stiffness, power)

    def _respond(self, state: Floats, across: Floats) -> Response:
        return respond(self._law, state, self._fixed, self._series, across, threads=self._threads)

    def _shorten(self, answer: Response, state: Floats, old: Floats, new: Floats) -> Floats:
        """Where a cell's voltage grows beyond where its tangent holds, take the voltage of the tangent's current.

        The law is exponential there: the current that the network can give is a far better guess than the voltage.
        """
        a = self._law.a
        far = (a * np.abs(new - old) > 1.0) & (np.abs(new) > np.abs(old)) & np.isfinite(self._series)
        far &= answer.conductance > 0.0
        if not far.any():
            return new
        current = answer.current + answer.slope * (new - old)
        if self._law.model == TABULATED:
            far &= self._fixed < 0.0
            numbers = np.asarray(self._law.parameters)
            inside = voltage_of(numbers, state, self._fixed, self._series, new, current)
            return np.where(far, inside + current * np.where(far, self._series, 0.0), new)
        siemens = answer.conductance * np.where(current < 0.0, self._law.ratio, 1.0)
        inside = np.arcsinh(np.divide(a * current, siemens, out=np.zeros(new.shape), where=far)) / a
        return np.where(far, inside + current * np.where(far, self._series, 0.0), new)


class _MeshLines:
    """Lines, and bridges between nodes that wires tie to a driver or a sense amplifier.

    The kernel grounds the bit lines: it is given their nodes relative to their drivers. It knows no bridges: beside the
    tile without them it solves, for each, the tile with a current from one end of it to the other.
    """

    def __init__(self, tile: Tile) -> None:
        self._wires = tile.mesh[1:]
        bridges = tile.defects.bridges
        ends = [
            [("word", "bit").index(node.line), node.row, node.column] for b in bridges for node in (b.first, b.second)
        ]
        self._ends = np.array(ends, dtype=np.intp).reshape(-1, 2, 3)
        self._resistance = np.diag([bridge.resistance for bridge in bridges])
        vectors = 1 + len(bridges)
        self._source = np.zeros((vectors, tile.spec.rows))
        self._injection = np.zeros((vectors, 2, *tile.spec.shape))
        for index, (first, second) in enumerate(self._ends, start=1):
            self._injection[(index, *first)] -= 1.0
            self._injection[(index, *second)] += 1.0
        self._estimate: Floats | None = None

    def solve(self, slope: Floats, offset: Floats, word: Floats, bit: Floats) -> tuple[Floats, float]:
        self._source[0] = word
        self._injection[0, 1] = offset - slope * bit
        self._injection[0, 0] = -self._injection[0, 1]
        solution = solve_mesh(
            slope,
            *self._wires,
            self._source,
            injection=self._injection,
            estimate=self._estimate,
            tolerance=1e-12,
            threads=1,
        )
        assert solution.word is not None
        assert solution.bit is not None
        nodes = self._estimate = np.stack([solution.word, solution.bit], axis=1)
        # The tile without bridges counts once, each bridge by its current.
        share = np.ones(len(nodes))
        if len(nodes) > 1:
            drop = self._drops(nodes)
            drop[0] += bit[self._ends[:, 0, 2]] * self._ends[:, 0, 0] - bit[self._ends[:, 1, 2]] * self._ends[:, 1, 0]
            share[1:] = np.linalg.solve(self._resistance - drop[1:].T, drop[0])
        voltages = np.tensordot(share, nodes, 1)
        power = word @ (share @ solution.driver_current) - bit @ (share @ solution.column_current)
        return voltages[0] - voltages[1] - bit, float(power)

    def _drops(self, nodes: Floats) -> Floats:
        """Return the voltage from the first to the second end of each bridge, (vectors, bridges) V."""
        first, second = (nodes[:, *self._ends[:, end].T] for end in (0, 1))
        return np.asarray(first - second)


class _DirectLines:
    """Lines with bridges of any kind."""

    def __init__(self, tile: Tile) -> None:
        self._network = NodalGraph(tile)
        self._live = self._network.conductance[self._network.cells] > 0.0

    def solve(self, slope: Floats, offset: Floats, word: Floats, bit: Floats) -> tuple[Floats, float]:
        network = self._network
        conductance = network.conductance.copy()
        conductance[network.cells] = np.where(self._live, slope.ravel(), 0.0)
        added = np.zeros(conductance.size)
        added[network.cells] = np.where(self._live, offset.ravel(), 0.0)
        factors = network.factor(conductance)
        voltage = np.zeros(network.number)
        voltage[network.sources] = np.concatenate([word, bit])
        for _ in range(2):  # the second restores digits that factoring loses
            residual = network.into_nodes(conductance * network.across(voltage) + added)
            if factors is not None:
                voltage[network.free] += factors.solve(residual[network.free])
        current = conductance * network.across(voltage) + added
        power = -network.into_nodes(current)[network.sources] @ voltage[network.sources]
        return network.across(voltage)[network.cells].reshape(slope.shape), float(power)
