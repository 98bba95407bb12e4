"""The behavioral engine against nodal equations written here from the declaration of the tile alone, with SciPy."""

import numpy as np
import pytest
from scipy.sparse import coo_array, csc_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from circuitmem import LinearCell, SinhCell
from circuitmem.engine import BehavioralEngine

AGREEMENT = 1e-9
"""Largest difference of a voltage (current), relative to the largest voltage (current); what the project promises."""

SETTLED = 1e-13
"""Largest last correction of the nodal solution, relative to the largest voltage. Its residual is worked out branch by
branch in extended precision, so that corrections restore the digits that factoring loses."""


class Nodal:
    """Nodes and branches; a node is ("drive", i), ("sense", j), ("top", j), ("word", i, j) or ("bit", i, j)."""

    def __init__(self, tile):
        self.tile, spec, defects = tile, tile.spec, tile.defects
        rows, columns = spec.shape
        wires, cells = [], []
        # A declared array is (lines, segments); one more segment leads to the second driver or sense amplifier.
        word = np.broadcast_to(spec.word_line_resistance, (rows, columns + (spec.word_line_drive == "both")))
        bit = np.broadcast_to(spec.bit_line_resistance, (rows + (spec.bit_line_sense == "both"), columns))
        first_bit = bit.shape[0] - rows
        for i in range(rows):
            for j in range(columns):
                before = ("word", i, j - 1) if j else ("drive", i)
                ohms = word[i, j] + (0.0 if j else spec.driver_resistance)
                if defects.open_word_segments is None or not defects.open_word_segments[i, j]:
                    wires.append((before, ("word", i, j), ohms))
                after = ("bit", i + 1, j) if i + 1 < rows else ("sense", j)
                ohms = bit[first_bit + i, j] + (0.0 if i + 1 < rows else spec.sense_resistance)
                if defects.open_bit_segments is None or not defects.open_bit_segments[i, j]:
                    wires.append((("bit", i, j), after, ohms))
                siemens = tile.conductance[i, j]
                if defects.stuck is not None and defects.stuck[i, j]:
                    siemens = defects.stuck_conductance[i, j]
                cells.append((("word", i, j), ("bit", i, j), siemens))
            if spec.word_line_drive == "both":
                wires.append((("word", i, columns - 1), ("drive", i), word[i, columns] + spec.driver_resistance))
        if spec.bit_line_sense == "both":
            wires += [(("top", j), ("bit", 0, j), bit[0, j] + spec.sense_resistance) for j in range(columns)]
        wires += [(tuple(bridge.first), tuple(bridge.second), bridge.resistance) for bridge in defects.bridges]

        names = [("drive", i) for i in range(rows)]
        names += [(kind, j) for kind in ("sense", "top") for j in range(columns)]
        self.known = len(names)
        names += [(kind, i, j) for kind in ("word", "bit") for i in range(rows) for j in range(columns)]
        index = {name: number for number, name in enumerate(names)}
        ideal = [(index[a], index[b]) for a, b, ohms in wires if ohms == 0.0]
        self.group = self._parts(ideal, len(names))
        branches = [(a, b, 1.0 / ohms) for a, b, ohms in wires if ohms > 0.0] + cells
        self.first = self.group[[index[a] for a, _, _ in branches]]
        self.second = self.group[[index[b] for _, b, _ in branches]]
        self.siemens = np.array([g for _, _, g in branches])
        self.cells = slice(len(branches) - len(cells), None)
        live = self.siemens > 0.0
        part = self._parts(list(zip(self.first[live], self.second[live], strict=True)), self.group.max() + 1)
        fixed = self.group[: self.known]
        self.free = np.flatnonzero(np.isin(part, part[fixed]) & ~np.isin(np.arange(len(part)), fixed))

    @staticmethod
    def _parts(pairs, count):
        first, second = np.array(pairs, dtype=int).reshape(-1, 2).T
        graph = coo_array((np.ones(len(first)), (first, second)), shape=(count, count))
        return connected_components(graph, directed=False)[1]

    def _factor(self, siemens):
        size = self.group.max() + 1
        ends = np.concatenate([self.first, self.second]), np.concatenate([self.second, self.first])
        off = coo_array((np.tile(-siemens, 2), ends), shape=(size, size))
        diagonal = coo_array((np.tile(siemens, 2), (ends[0], ends[0])), shape=(size, size))
        return splu(csc_array(csc_array(off + diagonal)[:, self.free][self.free, :]))

    def _currents(self, voltage):
        across = voltage[self.first] - voltage[self.second]
        current, slope = self.siemens * across, self.siemens.copy()
        if isinstance(self.tile.spec.cell, SinhCell):
            a, g = self.tile.spec.cell.a, self.siemens[self.cells]
            current[self.cells] = g * np.sinh(a * across[self.cells]) / a
            slope[self.cells] = g * np.cosh(a * across[self.cells].astype(float))
        into = np.zeros(len(voltage), dtype=np.longdouble)
        np.add.at(into, self.second, current)
        np.subtract.at(into, self.first, current)
        return into, slope

    def solve(self, driven):
        """Return word and bit voltages, column and driver currents."""
        rows, columns = self.tile.spec.shape
        dead = self.tile.defects.dead_drivers
        voltage = np.zeros(self.group.max() + 1, dtype=np.longdouble)
        voltage[self.group[:rows]] = driven if dead is None else np.where(dead, 0.0, driven)
        scale = np.abs(voltage).max()
        factors = self._factor(self.siemens) if len(self.free) else None
        for _ in range(100):
            into, slope = self._currents(voltage)
            if factors is None:
                break
            if isinstance(self.tile.spec.cell, SinhCell):
                factors = self._factor(slope)
            step = factors.solve(into[self.free].astype(float))
            # A Newton step of more than a few 1/a overshoots; shorter ones converge all the same.
            longest = np.abs(step).max() * getattr(self.tile.spec.cell, "a", 0.0)
            voltage[self.free] += step if longest < 4.0 else step * (4.0 / longest)
            if np.abs(step).max() <= SETTLED * scale:
                break
        else:
            raise AssertionError("the nodal solution did not settle")
        into = self._currents(voltage)[0]
        nodes = voltage[self.group[self.known :]].reshape(2, rows, columns)
        terminals = self.group[rows : self.known].reshape(2, columns)
        column = into[terminals[0]] + np.where(terminals[0] == terminals[1], 0.0, into[terminals[1]])
        return nodes[0], nodes[1], column, -into[self.group[:rows]]


def assert_agree(solution, expected):
    word, bit, column, driver = expected
    volts = max(np.abs(word).max(), np.abs(bit).max())
    for name, ours, theirs, scale in (
        ("word lines", solution.word_line_voltage, word, volts),
        ("bit lines", solution.bit_line_voltage, bit, volts),
        ("columns", solution.column_current, column, np.abs(column).max()),
        ("drivers", solution.driver_current, driver, np.abs(driver).max()),
    ):
        assert np.abs(ours - theirs).max() <= AGREEMENT * scale, name


def drawn(random_tile, seed):
    rng = np.random.default_rng([20, seed])
    shape = tuple(int(size) for size in rng.integers(2, 65, 2))
    cell = SinhCell(a=float(rng.uniform(0.5, 5.0))) if seed % 4 == 0 else LinearCell()
    tile = random_tile(rng, shape, cell)
    return tile, rng.uniform(-1.0, 1.0, (2, shape[0]))


@pytest.mark.parametrize("seed", range(200))
def test_random_tiles_with_every_defect(random_tile, seed):
    tile, voltages = drawn(random_tile, seed)
    engine, nodal = BehavioralEngine(threads=1), Nodal(tile)
    for source in voltages:
        assert_agree(engine.solve(tile, source), nodal.solve(source))


def test_the_random_tiles_take_every_way_through_the_engine(random_tile):
    tiles = [drawn(random_tile, seed)[0] for seed in range(200)]
    plans = [BehavioralEngine().plan(tile) for tile in tiles]
    ways = [(plan.method == "direct", plan.superposed_bridges) for plan in plans]
    assert min(ways.count(way) for way in ((False, False), (False, True), (True, False))) >= 10
    assert max(tile.spec.rows for tile in tiles) >= 60
    assert max(tile.spec.columns for tile in tiles) >= 60


@pytest.mark.parametrize("seed", range(0, 200, 10))
def test_transfer_matrices_of_random_tiles(random_tile, seed):
    tile, voltages = drawn(random_tile, seed + 1)
    engine, nodal = BehavioralEngine(threads=1), Nodal(tile)
    matrix = engine.transfer_matrix(tile)
    column = nodal.solve(voltages[0])[2]
    assert np.abs(voltages[0] @ matrix.T - column).max() <= AGREEMENT * np.abs(column).max()
