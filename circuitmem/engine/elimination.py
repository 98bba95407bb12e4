"""Solve nodal equations by elimination without subtractions: accurate where a factorisation loses all its digits.

If strong branches connect nodes to each other, but only weak branches connect them to the rest, the weak conductances
are rounded away in the diagonal of the nodal matrix. A factorisation, which subtracts, then finds it singular. But a
network can be eliminated without subtractions: a node with branches g_i, of sum d, leaves branches g_i g_j / d between
its neighbours, and a current I into it becomes currents g_i I / d into them (Grassmann, Taksar and Heyman, Operations
Research 33:1107, 1985). Every number keeps the relative precision of the branches, whatever their values.

Nodes are eliminated along a tree (multifrontal): each adds to a small dense matrix between its own later neighbours.
This takes about 50 µs per node, a hundred times longer than a factorisation.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

__all__ = ["Elimination", "EliminationOrder"]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


class EliminationOrder:
    """The order in which the nodes of a network are eliminated, and the nodes that each elimination affects.

    Parameters
    ----------
    size : int
        Number of nodes.
    first, second : (branches,) ndarray of int
        The nodes of each branch; -1 stands for a node whose voltage is known.
    """

    def __init__(self, size: int, first: Indices, second: Indices) -> None:
        both = (first >= 0) & (second >= 0) & (first != second)
        ends = np.concatenate([first[both], second[both]]), np.concatenate([second[both], first[both]])
        pattern = scipy.sparse.csc_array(scipy.sparse.coo_array((np.ones(len(ends[0])), ends), shape=(size, size)))
        degrees = np.asarray(pattern.sum(axis=0))
        # Only the order is needed, so factor a matrix of the same pattern that cannot be singular.
        regular = scipy.sparse.csc_array(scipy.sparse.eye_array(size) * (degrees.max(initial=0.0) + 1.0) - pattern)
        place = scipy.sparse.linalg.splu(regular, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).perm_c
        self.place = np.asarray(place, dtype=np.int64)
        """Position of each node in the order of elimination."""
        self._ends = self._places(first), self._places(second)
        later: list[set[int]] = [set() for _ in range(size)]
        for one, other in zip(*(np.asarray(end)[both].tolist() for end in self._ends), strict=True):
            later[min(one, other)].add(max(one, other))
        self.near: list[Indices] = []
        """For each node, in order of elimination: its neighbours at that moment, sorted."""
        self.children: list[list[tuple[int, Indices]]] = [[] for _ in range(size)]
        """For each node, in order of elimination: the nodes that pass their matrix on to it, and the rows and columns
        where it is added; 0 is the node itself."""
        for node in range(size):
            near = np.array(sorted(later[node]), dtype=np.int64)
            self.near.append(near)
            if len(near):
                later[near[0]].update(near[1:].tolist())
        for node, near in enumerate(self.near):
            if len(near):
                parent = int(near[0])
                self.children[parent].append((node, np.searchsorted(np.append(parent, self.near[parent]), near)))

    def _places(self, nodes: Indices) -> Indices:
        return np.where(nodes >= 0, self.place[nodes], -1)

    def eliminate(self, conductance: Floats) -> Elimination:
        """Eliminate all nodes, given the conductances of the branches, (branches,) S, each >= 0."""
        return Elimination(self, conductance)

    def branches(self, conductance: Floats) -> tuple[list[dict[int, float]], Floats]:
        """Return the branches of each node to later nodes, and its conductance to known voltages [S], in order."""
        size = len(self.place)
        first, second = self._ends
        ties = np.zeros(size)
        for one, other in ((first, second), (second, first)):
            known = (one >= 0) & (other < 0)
            ties += np.bincount(one[known], conductance[known], minlength=size)
        found: list[dict[int, float]] = [{} for _ in range(size)]
        live = (first >= 0) & (second >= 0) & (first != second) & (conductance > 0.0)
        low, high = np.minimum(first, second)[live].tolist(), np.maximum(first, second)[live].tolist()
        for one, other, siemens in zip(low, high, conductance[live].tolist(), strict=True):
            found[one][other] = found[one].get(other, 0.0) + siemens
        return found, ties


class Elimination:
    """An eliminated network.

    Parameters
    ----------
    order : EliminationOrder
        Order of its nodes.
    conductance : (branches,) ndarray
        Conductances of its branches [S], >= 0.
    """

    def __init__(self, order: EliminationOrder, conductance: Floats) -> None:
        self._order = order
        branches, ties = order.branches(conductance)
        left: dict[int, Floats] = {}
        self._rows: list[Floats] = []
        self._ohms = np.zeros(len(ties))
        for node, near in enumerate(order.near):
            front = np.zeros((1 + len(near), 1 + len(near)))
            if branches[node]:
                where = 1 + np.searchsorted(near, list(branches[node]))
                front[0, where] = list(branches[node].values())
            for child, places in order.children[node]:
                front[np.ix_(places, places)] += left.pop(child)
            row = front[0, 1:].copy()
            tied = float(row.sum() + ties[node])
            self._rows.append(row)
            if tied > 0.0:
                self._ohms[node] = 1.0 / tied
                share = row / tied
                ties[near] += share * ties[node]
                if len(near):
                    left[node] = front[1:, 1:] + np.outer(row, share)
            elif len(near):
                left[node] = front[1:, 1:]

    def solve(self, current: Floats) -> Floats:
        """Return the voltages of the nodes, (nodes,) V, for currents into them [A]; all known voltages are 0 V."""
        order = self._order
        value = np.empty(len(current))
        value[order.place] = current
        for row, near, ohms, node in zip(self._rows, order.near, self._ohms, range(len(value)), strict=True):
            value[near] += row * (ohms * value[node])
        for node in range(len(value) - 1, -1, -1):
            near = order.near[node]
            value[node] = self._ohms[node] * (value[node] + self._rows[node] @ value[near])
        return np.asarray(value[order.place])
