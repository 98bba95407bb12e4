"""From a tile to the nodes and branches of its circuit.

This reads the declared geometry, the defects and the conductances, and nothing that the behavioral engine derives
from them: two programs that agree because they share a mistake prove nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from circuitmem.config import CellLaw, SelectorCell, SinhCell, TransistorCell
from circuitmem.netlists.text import number, number_texts
from circuitmem.tile import Tile
from circuitmem.tile.defects import Node

__all__ = ["Branch", "CellNodes", "Wiring"]

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]


class CellNodes(NamedTuple):
    """A cell and the nodes of the word line and the bit line that it joins."""

    row: int
    column: int
    word: str
    bit: str


class Branch(NamedTuple):
    """A resistor, or a cell by its resistance at small voltages, between two nodes."""

    name: str
    first: str
    second: str
    ohms: float


@dataclass(frozen=True)
class _Branches:
    """Resistors (or cells) of one kind, between ``first`` and ``second`` (node indices), with their resistances [Ω]."""

    comment: str
    names: list[str]
    first: Indices
    second: Indices
    ohms: Floats


class Wiring:
    """Nodes and branches of one tile.

    Nodes joined by a resistance of 0 become one node. Cut segments and cells of 0 S are left out, and so is every part
    that is then connected to no driver and no sense amplifier: it would make the matrix singular. Its voltage is 0.

    Parameters
    ----------
    tile : Tile
        The tile.
    amplifiers : bool
        Leave out the sense resistances, because amplifiers with this input resistance will be connected.

    Attributes
    ----------
    drivers : list of str
        Node of the driver of each word line.
    senses : list of list of str
        Nodes of the sense amplifiers of each column: bottom, and top if there is one. If ideal wires join the two,
        the same name appears twice.
    word_nodes, bit_nodes : (rows, columns) ndarray of object
        Name of each node of the lines; None for a floating node.
    conductance_sum : float
        Sum of all branch conductances [S], the scale of rounding errors.
    """

    def __init__(self, tile: Tile, *, amplifiers: bool = False) -> None:
        rows, columns = tile.spec.shape
        self._tile = tile
        self._both_driven = tile.spec.word_line_drive == "both"
        self._both_sensed = tile.spec.bit_line_sense == "both"
        self._names: list[str] = []
        # The order decides which name a merged node gets: the terminals keep theirs. The names of the grounds are
        # short, because ngspice prints only 15 characters of a current's name.
        drive = self._nodes("drive_{}", rows)
        sense = self._nodes("s_{}", columns)
        sense_top = self._nodes("t_{}", columns)
        left, right = self._nodes("left_{}", rows), self._nodes("right_{}", rows)
        bottom, top = self._nodes("bottom_{}", columns), self._nodes("top_{}", columns)
        self._word, self._bit = self._grid("w_{}_{}"), self._grid("b_{}_{}")
        wires = [*self._word_lines(drive, left, right), *self._bit_lines(bottom, top)]
        wires += self._sense_inputs(sense, sense_top, bottom, top, 0.0 if amplifiers else tile.spec.sense_resistance)
        wires.append(self._bridges())
        cells = self._make_cells()
        self._merge(wires)
        terminals = [drive, sense, sense_top] if self._both_sensed else [drive, sense]
        self._find_tied([*wires, cells], np.concatenate(terminals))
        self._wires = [self._live(branches) for branches in wires]
        self._cells = self._live(cells)
        self.drivers = self._resolve(drive)
        ends = [sense, sense_top] if self._both_sensed else [sense]
        self.senses = [list(names) for names in zip(*(self._resolve(end) for end in ends), strict=True)]
        self.word_nodes, self.bit_nodes = self._line_nodes(self._word), self._line_nodes(self._bit)
        self.conductance_sum = float(sum((1.0 / branches.ohms).sum() for branches in (*self._wires, self._cells)))

    def wires(self) -> str:
        """Return all branches but the cells as netlist lines, one commented section for each kind."""
        lines: list[str] = []
        for branches in self._wires:
            if branches.names:
                lines.append(f"* {branches.comment}")
                lines += self._elements("R", branches, number_texts(branches.ohms))
        return "".join(f"{line}\n" for line in lines)

    def resistors(self) -> list[tuple[str, list[Branch]]]:
        """Return all branches but the cells: the comment and the resistors of each kind."""
        return [(branches.comment, self._listed(branches)) for branches in self._wires if branches.names]

    def cell_branches(self) -> list[Branch]:
        """Return the cells that conduct."""
        return self._listed(self._cells)

    def _listed(self, branches: _Branches) -> list[Branch]:
        ends = self._resolve(branches.first), self._resolve(branches.second)
        return list(map(Branch, branches.names, *ends, branches.ohms.tolist()))

    def capacitances(self) -> list[tuple[str, float]]:
        """Return nodes and their capacitances [F]; those of merged nodes are summed."""
        spec, farads = self._tile.spec, np.zeros(len(self._names))
        for nodes, each in ((self._word, spec.word_line_capacitance), (self._bit, spec.bit_line_capacitance)):
            np.add.at(farads, self._leader[nodes.ravel()], each)
        live = np.flatnonzero((farads > 0.0) & self._tied)
        return [(self._names[node], float(farads[node])) for node in live.tolist()]

    def capacitors(self) -> str:
        """Return the capacitances of the lines as netlist lines; they are discharged at time 0."""
        return "".join(f"C{node} {node} 0 {number(farads)} ic=0\n" for node, farads in self.capacitances())

    def cells(self) -> list[CellNodes]:
        """Return the cells that conduct, with the nodes that they join."""
        places = (name.split("_")[1:] for name in self._cells.names)
        ends = zip(places, self._resolve(self._cells.first), self._resolve(self._cells.second), strict=True)
        return [CellNodes(int(row), int(column), word, bit) for (row, column), word, bit in ends]

    def text(self, overdrive: float | None = None) -> str:
        """Return the branches as netlist lines, one commented section for each kind.

        ``overdrive`` makes the access transistors MOSFETs: their gate voltage above the threshold [V].
        """
        lines = [f"* {self._cells.comment}"]
        cell = self._tile.spec.cell
        if type(cell) is SinhCell:
            lines += self._sinh_cells(cell)
        elif isinstance(cell, TransistorCell) and cell.on_resistance > 0.0:
            lines += self._transistor_cells(cell, overdrive)
        elif type(cell) is SelectorCell:
            lines += self._selector_cells(cell)
        elif cell.linear:
            lines += self._elements("R", self._cells, number_texts(self._cells.ohms))
        else:
            lines += self._other_cells(cell)
        return self.wires() + "\n".join(lines) + "\n"

    def _elements(self, letter: str, branches: _Branches, values: list[str]) -> list[str]:
        first, second = self._resolve(branches.first), self._resolve(branches.second)
        return [
            f"{letter}{name} {a} {b} {value}"
            for name, a, b, value in zip(branches.names, first, second, values, strict=True)
        ]

    def _sinh_cells(self, cell: SinhCell) -> list[str]:
        """Return ``I = G·sinh(a·V)/a``. ngspice keeps 11 digits of numbers in expressions, hence agreement to 1e-10."""
        a = number(cell.a)
        first, second = self._resolve(self._cells.first), self._resolve(self._cells.second)
        values = [
            f"i={g}*sinh({a}*v({w},{b}))/{a}"
            for g, w, b in zip(number_texts(1.0 / self._cells.ohms), first, second, strict=True)
        ]
        return self._elements("B", self._cells, values)

    def _other_cells(self, cell: CellLaw) -> list[str]:
        """Return cells whose law provides its own SPICE expression."""
        first, second = self._resolve(self._cells.first), self._resolve(self._cells.second)
        values = [
            f"i={cell.spice(g, f'v({w},{b})')}"
            for g, w, b in zip(number_texts(1.0 / self._cells.ohms), first, second, strict=True)
        ]
        return self._elements("B", self._cells, values)

    def _transistor_cells(self, cell: TransistorCell, overdrive: float | None) -> list[str]:
        """Return the memristors, from the word line to the cell's inner node, and the transistors that follow."""
        inner, names = self._inner(), self._cells.names
        second, ohms = self._resolve(self._cells.second), number_texts(self._cells.ohms)
        places = list(zip(names, inner, second, strict=True))
        memristors = self._memristors(self._resolve(self._cells.first), inner, ohms)
        if overdrive is None:
            transistor = number(cell.on_resistance)
            comment = "* access transistors, as their resistance while the tile is read"
            return [*memristors, comment, *(f"Ron_{name} {x} {b} {transistor}" for name, x, b in places)]
        gain = number(1.0 / (cell.on_resistance * overdrive))
        return [
            *memristors,
            "* access transistors: at small voltages they have the declared resistance. No leakage into the substrate",
            f".model access nmos(level=1 vto=0 kp={gain} is=1e-30)",
            f"Vgates gates 0 dc {number(overdrive)}",
            *(f"Mon_{name} {x} gates {b} 0 access w=1u l=1u" for name, x, b in places),
        ]

    def _selector_cells(self, cell: SelectorCell) -> list[str]:
        """Return the selectors, from the word line to the cell's inner node, and the memristors that follow."""
        inner, names = self._inner(), self._cells.names
        first, ohms = self._resolve(self._cells.first), number_texts(self._cells.ohms)
        leak, bend = number(cell.leak), number(cell.bend)
        return [
            *self._memristors(inner, self._resolve(self._cells.second), ohms),
            "* selectors",
            *(
                f"Bsel_{name} {w} {x} i={leak}*sinh(v({w},{x})/{bend})"
                for name, w, x in zip(names, first, inner, strict=True)
            ),
        ]

    def _inner(self) -> list[str]:
        """Return the name of the node inside each cell."""
        return [name.replace("cell", "x", 1) for name in self._cells.names]

    def _memristors(self, first: list[str], second: list[str], ohms: list[str]) -> list[str]:
        parts = zip(self._cells.names, first, second, ohms, strict=True)
        return ["* x_i_j: the node inside cell (i, j)", *(f"R{name} {a} {b} {value}" for name, a, b, value in parts)]

    def _nodes(self, pattern: str, count: int) -> Indices:
        start = len(self._names)
        self._names += [pattern.format(index) for index in range(count)]
        return np.arange(start, start + count)

    def _grid(self, pattern: str) -> Indices:
        rows, columns = self._tile.spec.shape
        start = len(self._names)
        self._names += [pattern.format(i, j) for i in range(rows) for j in range(columns)]
        return np.arange(start, start + rows * columns).reshape(rows, columns)

    def _word_lines(self, drive: Indices, left: Indices, right: Indices) -> list[_Branches]:
        spec, cut = self._tile.spec, self._tile.defects.open_word_segments
        rows, columns = spec.shape
        ohms = np.broadcast_to(spec.word_line_resistance, (rows, columns + self._both_driven))
        keep = np.ones(ohms.shape, dtype=bool)
        if cut is not None:
            keep[:, :columns] &= ~cut
        first = np.column_stack([left, self._word])[:, : ohms.shape[1]]
        second = np.column_stack([self._word, right])[:, : ohms.shape[1]]
        comment = "word-line segments: Rword_i_j lies before cell (i, j)"
        driver = np.full(rows, spec.driver_resistance)
        wires = [
            _select("driver resistances", "drive_{}", drive, left, driver),
            _select(comment, "word_{}_{}", first, second, ohms, keep),
        ]
        if self._both_driven:
            wires.insert(1, _select("driver resistances, right ends", "drive_right_{}", drive, right, driver))
        return wires

    def _bit_lines(self, bottom: Indices, top: Indices) -> list[_Branches]:
        spec, cut = self._tile.spec, self._tile.defects.open_bit_segments
        rows, columns = spec.shape
        ohms = np.broadcast_to(spec.bit_line_resistance, (rows + self._both_sensed, columns))
        after = ohms[1:] if self._both_sensed else ohms
        second = np.vstack([self._bit[1:], bottom])
        comment = "bit-line segments: Rbit_i_j lies after cell (i, j)"
        wires = [_select(comment, "bit_{}_{}", self._bit, second, after, None if cut is None else ~cut)]
        if self._both_sensed:
            wires.append(_select("bit-line segments above the first cells", "bit_top_{}", top, self._bit[0], ohms[0]))
        return wires

    def _sense_inputs(
        self, sense: Indices, sense_top: Indices, bottom: Indices, top: Indices, ohms: float
    ) -> list[_Branches]:
        values = np.full(sense.size, ohms)
        wires = [_select("sense resistances", "sense_{}", bottom, sense, values)]
        if self._both_sensed:
            wires.append(_select("sense resistances, top ends", "sense_top_{}", top, sense_top, values))
        return wires

    def _bridges(self) -> _Branches:
        bridges = self._tile.defects.bridges
        ends = [[self._index(node) for node in (bridge.first, bridge.second)] for bridge in bridges]
        first, second = np.array(ends, dtype=np.int64).reshape(-1, 2).T
        return _select("bridges", "bridge_{}", first, second, np.array([bridge.resistance for bridge in bridges]))

    def _index(self, node: Node) -> int:
        grid = self._word if node.line == "word" else self._bit
        return int(grid[node.row, node.column])

    def _make_cells(self) -> _Branches:
        conductance = self._tile.effective_conductance
        with np.errstate(divide="ignore", over="ignore"):
            ohms = 1.0 / conductance
        # Below 1e-308 S the resistance is not a finite number; such a cell is open.
        return _select("cells: word line to bit line", "cell_{}_{}", self._word, self._bit, ohms, np.isfinite(ohms))

    def _merge(self, wires: list[_Branches]) -> None:
        """Set the leader of every node: the first node of the group into which ideal wires join it."""
        group = self._parts([(b.first[b.ohms == 0.0], b.second[b.ohms == 0.0]) for b in wires])
        _, leader = np.unique(group, return_index=True)
        self._leader: Indices = leader[group]

    def _find_tied(self, branches: list[_Branches], terminals: Indices) -> None:
        """Set, for every node, whether branches connect it to a driver or a sense amplifier."""
        part = self._parts([(self._leader[b.first], self._leader[b.second]) for b in branches])[self._leader]
        self._tied: NDArray[np.bool_] = np.isin(part, part[terminals])

    def _live(self, branches: _Branches) -> _Branches:
        """Keep the branches between two different nodes that are connected to a terminal."""
        first, second = self._leader[branches.first], self._leader[branches.second]
        keep = (first != second) & self._tied[first]
        names = [branches.names[index] for index in np.flatnonzero(keep)]
        return _Branches(branches.comment, names, first[keep], second[keep], branches.ohms[keep])

    def _parts(self, ends: list[tuple[Indices, Indices]]) -> Indices:
        """Return, for every node, the number of the connected part to which it belongs."""
        first, second = (np.concatenate(side) for side in zip(*ends, strict=True))
        count = len(self._names)
        graph = scipy.sparse.coo_array((np.ones(first.size, dtype=bool), (first, second)), shape=(count, count))
        return np.asarray(scipy.sparse.csgraph.connected_components(graph, directed=False)[1], dtype=np.int64)

    def _resolve(self, nodes: Indices) -> list[str]:
        return [self._names[index] for index in self._leader[nodes].tolist()]

    def _line_nodes(self, nodes: Indices) -> NDArray[np.object_]:
        names = np.array(self._resolve(nodes.ravel()), dtype=object).reshape(nodes.shape)
        names[~self._tied[nodes]] = None
        return names


def _select(
    comment: str, pattern: str, first: Indices, second: Indices, ohms: Floats, keep: NDArray[np.bool_] | None = None
) -> _Branches:
    """Make one branch of each chosen element of equally shaped arrays, named after its indices."""
    chosen = np.ones(ohms.shape, dtype=bool) if keep is None else keep
    names = [pattern.format(*index) for index in np.argwhere(chosen).tolist()]
    return _Branches(comment, names, first[chosen], second[chosen], ohms[chosen])
