"""The network of a tile at one moment of a pulse, with voltages on all lines, cells of any law, and any defects.

Newton's method is applied to the cells: each cell is replaced by its tangent, a conductance and a current source, the
linear network is solved, and this is repeated until it converges. The mesh kernel solves the linear network; a sparse
factorisation does if there are bridges on floating parts of lines.
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
"""Largest last correction of a cell voltage, relative to the largest line voltage; Newton's next one is its square."""

MAX_TURNS = 200
"""Largest number of corrections before a moment is given up."""


class Moment(NamedTuple):
    """Rates of the devices and power of a tile at one moment."""

    rate: Floats
    """Rates of change of the states, (rows, columns) 1/s."""
    stiffness: Floats
    """Derivative of each rate with respect to its own state, (rows, columns) 1/s."""
    power: float
    """Power of the drivers of all lines [W]."""


class _Lines(Protocol):
    def solve(self, slope: Floats, offset: Floats, word: Floats, bit: Floats) -> tuple[Floats, float]:
        """Return voltages of cells with currents ``slope V + offset``, (rows, columns) V, and drivers' power [W]."""


class CellNetwork:
    """A tile whose cells follow a device law, solved for given states of the devices.

    Parameters
    ----------
    law : DeviceLaw
        Law of the cells.
    tile : Tile
        Wires and line defects; cells of 0 S are open.
    fixed : (rows, columns) ndarray
        Conductance [S] of stuck cells; negative for working devices.
    series : (rows, columns) ndarray
        Resistance in series with each cell [Ω]; ``inf`` for a cell that is switched off.
    threads : int
        Threads to use, >= 1.
    """

    def __init__(self, law: DeviceLaw, tile: Tile, fixed: Floats, series: Floats, threads: int) -> None:
        self._law, self._fixed, self._series, self._threads = law, fixed, series, threads
        self._linear = law.a == 0.0 and law.ratio == 1.0
        self._lines: _Lines = _DirectLines(tile) if plan_nodes(tile).method == "direct" else _MeshLines(tile)
        # Start of the next solution: the last one, because moments in sequence differ little.
        self._voltage = np.zeros(tile.spec.shape)

    def solve(self, state: Floats, word: Floats, bit: Floats) -> Moment:
        """Return rates and power for states (rows, columns) and voltages of the lines, (rows,) and (columns,) V.

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
        """Limit Newton steps: where a voltage grows too far for its tangent, invert the law at the tangent's current.

        The law is exponential there, so the current that the network can supply is a far better guess than the voltage.
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
    """Lines, and bridges between nodes that wires connect to a driver or a sense amplifier.

    The kernel assumes grounded bit lines, so it gets their node voltages relative to their drivers. It does not support
    bridges, so it solves the tile without bridges, and once more for each bridge with a current between its two ends.
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
        # Superpose the tile without bridges, with weight 1, and each bridge, weighted by its current.
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
