"""Tiles solved with ninety decimal digits: the referee for currents that are small differences of large ones.

Written from the declaration of the tile alone, like ``test_nodal.py``; no engine is asked for anything.
"""

import decimal
import json
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np

from circuitmem import DefectMap, LinearCell, SelectorCell, SinhCell, Tile, TileSpec, TransistorCell

DIGITS = 90
SOLVED = Decimal(10) ** -(DIGITS // 2)
"""Last Newton step, relative to the largest voltage: what then is missing is its square."""


class Answer(NamedTuple):
    word: np.ndarray
    bit: np.ndarray
    column: np.ndarray
    driver: np.ndarray


def load(name):
    """Return a tile and voltages, (vectors, rows), from a file beside this one."""
    declared = json.loads((Path(__file__).parent / "tiles" / f"{name}.json").read_text())
    cell = {key: value for key, value in declared.pop("cell").items() if key != "type"}
    kinds = {"linear": LinearCell, "sinh": SinhCell, "selector": SelectorCell}
    voltages, conductance = np.array(declared.pop("voltages")), declared.pop("conductance")
    bridges = [(tuple(first), tuple(second), ohms) for first, second, ohms in declared.pop("bridges")]
    defects = {
        key: np.array(given)
        for key in (
            "stuck",
            "stuck_conductance",
            "open_word_segments",
            "open_bit_segments",
            "dead_drivers",
            "dead_senses",
        )
        if (given := declared.pop(key)) is not None
    }
    spec = TileSpec(cell=kinds[cell.pop("kind")](**cell), **declared)
    return Tile(spec, conductance, DefectMap(bridges=bridges, **defects)), voltages


def exact(number):
    return Decimal(float(number))


def sinh(x):
    if abs(x) >= 1:
        return (x.exp() - (-x).exp()) / 2
    term = total = x
    order = 1
    while abs(term) > abs(total) * Decimal(10) ** -(DIGITS + 2):
        term = term * x * x / ((order + 1) * (order + 2))
        total += term
        order += 2
    return total


def cosh(x):
    return (x.exp() + (-x).exp()) / 2


class Exact:
    """Nodal equations of a tile; nodes are ("drive", i), ("sense", j), ("top", j), ("word", i, j), ("bit", i, j)."""

    def __init__(self, tile):
        self.spec, self.defects = tile.spec, tile.defects
        rows, columns = tile.spec.shape
        wires, cells = self._branches(tile)
        names = [("drive", i) for i in range(rows)]
        names += [(kind, j) for kind in ("sense", "top") for j in range(columns)]
        self.known = len(names)
        names += [(kind, i, j) for kind in ("word", "bit") for i in range(rows) for j in range(columns)]
        index = {name: number for number, name in enumerate(names)}
        self.group = parts([(index[a], index[b]) for a, b, ohms in wires if ohms == 0], len(names))
        with decimal.localcontext(prec=DIGITS):
            found = [(a, b, 1 / ohms, False) for a, b, ohms in wires if ohms > 0]
        found += [(a, b, siemens, not tile.spec.cell.linear) for a, b, siemens in cells if siemens > 0]
        found = [(self.group[index[a]], self.group[index[b]], siemens, bent) for a, b, siemens, bent in found]
        self.branches = [branch for branch in found if branch[0] != branch[1]]
        live = parts([branch[:2] for branch in self.branches], len(names))
        sources = {self.group[number] for number in range(self.known)}
        tied = {live[number] for number in sources}
        self.free = [node for node in sorted(set(self.group)) if live[node] in tied and node not in sources]
        if isinstance(tile.spec.cell, SelectorCell):
            with decimal.localcontext(prec=DIGITS):
                self.bend = exact(tile.spec.cell.swing) / Decimal(10).ln()
                self.leak = exact(tile.spec.cell.threshold_current) / sinh(exact(tile.spec.cell.threshold) / self.bend)

    def _branches(self, tile):
        spec, defects = tile.spec, tile.defects
        rows, columns = spec.shape
        word = np.broadcast_to(spec.word_line_resistance, (rows, columns + (spec.word_line_drive == "both")))
        bit = np.broadcast_to(spec.bit_line_resistance, (rows + (spec.bit_line_sense == "both"), columns))
        driver, sense, first_bit = exact(spec.driver_resistance), exact(spec.sense_resistance), bit.shape[0] - rows
        wires, cells = [], []
        for i in range(rows):
            for j in range(columns):
                before = ("word", i, j - 1) if j else ("drive", i)
                if defects.open_word_segments is None or not defects.open_word_segments[i, j]:
                    wires.append((before, ("word", i, j), exact(word[i, j]) + (0 if j else driver)))
                after = ("bit", i + 1, j) if i + 1 < rows else ("sense", j)
                if defects.open_bit_segments is None or not defects.open_bit_segments[i, j]:
                    ohms = exact(bit[first_bit + i, j]) + (0 if i + 1 < rows else sense)
                    wires.append((("bit", i, j), after, ohms))
                stuck = defects.stuck is not None and defects.stuck[i, j]
                siemens = defects.stuck_conductance[i, j] if stuck else tile.conductance[i, j]
                cells.append((("word", i, j), ("bit", i, j), self._of_cell(exact(siemens))))
            if spec.word_line_drive == "both":
                wires.append((("word", i, columns - 1), ("drive", i), exact(word[i, columns]) + driver))
        if spec.bit_line_sense == "both":
            wires += [(("top", j), ("bit", 0, j), exact(bit[0, j]) + sense) for j in range(columns)]
        wires += [(tuple(each.first), tuple(each.second), exact(each.resistance)) for each in defects.bridges]
        return wires, cells

    def _of_cell(self, siemens):
        """Return the conductance of a cell whose memristor has ``siemens``."""
        if not isinstance(self.spec.cell, TransistorCell):
            return siemens
        with decimal.localcontext(prec=DIGITS):
            return siemens / (1 + siemens * exact(self.spec.cell.on_resistance))

    def _law(self, siemens, volts):
        """Return current and slope of a cell that is not linear."""
        cell = self.spec.cell
        if isinstance(cell, SinhCell):
            a = exact(cell.a)
            return siemens * sinh(a * volts) / a, siemens * cosh(a * volts)
        u, r = abs(volts) / self.bend, siemens * self.bend
        ratio = r * u / self.leak
        x = min(u, (ratio + (ratio * ratio + 1).sqrt()).ln())
        step = Decimal(1)
        while abs(step) > x * SOLVED:  # from above, and so monotonically
            step = (r * (x - u) + self.leak * sinh(x)) / (r + self.leak * cosh(x))
            x -= step
        tied = self.leak * cosh(x)
        return (self.leak * sinh(x)).copy_sign(volts), siemens * tied / (r + tied)

    def _into(self, voltage):
        """Return the current into each node, and the slopes between nodes."""
        into, slopes = dict.fromkeys(set(self.group), Decimal(0)), {}
        for first, second, siemens, bent in self.branches:
            across = voltage[first] - voltage[second]
            current, slope = self._law(siemens, across) if bent else (siemens * across, siemens)
            into[second] += current
            into[first] -= current
            slopes[first, second] = slopes.get((first, second), 0) + slope
        return into, slopes

    def _step(self, into, slopes):
        place = {node: number for number, node in enumerate(self.free)}
        matrix = np.full((len(place), len(place)), Decimal(0), dtype=object)
        for (first, second), slope in slopes.items():
            ends = [place[node] for node in (first, second) if node in place]
            for one in ends:
                for other in ends:
                    matrix[one, other] += slope if one == other else -slope
        answer = np.array([into[node] for node in self.free], dtype=object)
        later = []
        for k in range(len(place)):
            later.append(np.flatnonzero(matrix[k, k + 1 :]) + k + 1)
            share = matrix[later[k], k] / matrix[k, k]
            matrix[np.ix_(later[k], later[k])] -= np.outer(share, matrix[k, later[k]])
            answer[later[k]] -= share * answer[k]
        for k in reversed(range(len(place))):
            answer[k] = (answer[k] - (matrix[k, later[k]] * answer[later[k]]).sum()) / matrix[k, k]
        return answer

    def solve(self, driven, start=None):
        """Return what the drivers' voltages (rows,) cause; ``start``, (word, bit) voltages, saves time."""
        rows, columns = self.spec.shape
        with decimal.localcontext(prec=DIGITS, Emin=-999_999, Emax=999_999):
            voltage = dict.fromkeys(set(self.group), Decimal(0))
            if start is not None:
                estimate = dict(zip(self.group[self.known :], np.ravel(start), strict=True))
                voltage.update({node: exact(estimate[node]) for node in self.free})
            dead = self.defects.dead_drivers
            for i in range(rows):
                voltage[self.group[i]] = exact(0.0 if dead is not None and dead[i] else driven[i])
            largest = max(abs(volts) for volts in voltage.values())
            size = largest if self.free else Decimal(0)
            while size > largest * SOLVED:
                into, slopes = self._into(voltage)
                step = self._step(into, slopes)
                size = max(abs(each) for each in step)
                length = Decimal(1)
                # A Newton step that overshoots is shortened until the content falls all along it.
                fall = sum(into[node] * each for node, each in zip(self.free, step, strict=True))
                while not self.spec.cell.linear:
                    trial = dict(voltage)
                    trial.update(
                        (node, voltage[node] + length * each) for node, each in zip(self.free, step, strict=True)
                    )
                    now = self._into(trial)[0]
                    if sum(now[node] * each for node, each in zip(self.free, step, strict=True)) >= -fall / 2:
                        break
                    length /= 2
                for node, each in zip(self.free, step, strict=True):
                    voltage[node] += length * each
            into = self._into(voltage)[0]
            nodes = np.array([float(voltage[node]) for node in self.group[self.known :]]).reshape(2, rows, columns)
            ends = np.array(self.group[rows : self.known]).reshape(2, columns).T
            column = [float(sum(into[end] for end in set(pair))) for pair in ends.tolist()]
            driver = [float(-into[node]) for node in self.group[:rows]]
        return Answer(nodes[0], nodes[1], np.array(column), np.array(driver))


def parts(pairs, count):
    """Return for every node the first of those that it hangs together with."""
    root = list(range(count))

    def find(node):
        while root[node] != node:
            root[node] = root[root[node]]
            node = root[node]
        return node

    for one, other in pairs:
        low, high = sorted((find(one), find(other)))
        root[high] = low
    return [find(node) for node in range(count)]
