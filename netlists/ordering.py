"""Elimination order for the nodes of a mesh, for a solver that is slow at finding one.

Sparse 1.3, which ngspice uses where there is no KLU, takes the next node in its own numbering unless another one has
fewer neighbours left. In that case it exchanges rows and columns, which takes most of the time of a large mesh. Nodes
numbered in minimum-degree order need no exchange.
"""

from __future__ import annotations

import heapq
from functools import lru_cache

__all__ = ["elimination_order", "numbered"]

LOOPS = 500
"""Number of independent loops from which on the order matters."""

Pairs = tuple[tuple[str, str], ...]


@lru_cache(maxsize=8)
def elimination_order(pairs: Pairs) -> tuple[str, ...]:
    """Return the nodes in minimum-degree order: no other node has fewer neighbours left when a node's turn comes.

    Parameters
    ----------
    pairs : tuple of (str, str)
        The two nodes of each branch.
    """
    neighbours: dict[str, set[str]] = {}
    for first, second in pairs:
        neighbours.setdefault(first, set()).add(second)
        neighbours.setdefault(second, set()).add(first)
    # Ties are broken by name: of several rules this one gives the least work for a square mesh.
    waiting = [(len(around), node) for node, around in neighbours.items()]
    heapq.heapify(waiting)
    order = []
    while waiting:
        degree, node = heapq.heappop(waiting)
        if node not in neighbours or degree != len(neighbours[node]):
            continue  # already eliminated, or waiting again with another degree
        around = neighbours.pop(node)
        order.append(node)
        for other in around:  # elimination connects all of them to each other
            ties = neighbours[other]
            ties |= around
            ties.discard(node)
            ties.discard(other)
            heapq.heappush(waiting, (len(ties), other))
    return tuple(order)


def numbered(text: str) -> str:
    """Return a netlist whose nodes Sparse 1.3 numbers in minimum-degree order, where that pays off.

    A capacitor of 0 F at each node sets the order. It carries no current, and the solver numbers nodes as it meets
    them: those of capacitors before those of resistors, and the last line first.

    Parameters
    ----------
    text : str
        The netlist. It is returned unchanged if it has few loops, or any elements but resistors and sources to ground.
    """
    pairs: list[tuple[str, str]] = []
    held = set()
    for line in text.splitlines():
        kind, words = line[:1].upper(), line.split()
        if kind == "V" and words[2] == "0":
            held.add(words[1])
        elif kind == "R":
            pairs.append((words[1], words[2]))
        elif kind not in ("", "*", "."):
            return text
    held.add("0")
    free = tuple((first, second) for first, second in pairs if first not in held and second not in held)
    if len(free) - len({node for pair in free for node in pair}) < LOOPS:
        return text
    order = elimination_order(free)
    head, end, rest = text.partition("\n")
    lines = "".join(f"Corder_{node} {node} 0 0\n" for node in reversed(order))
    return f"{head}{end}{lines}{rest}"
