"""In which order the nodes of a mesh are eliminated, for a solver that is slow at finding out.

Sparse 1.3, ngspice's solver where there is no KLU, takes the node that comes next in its own numbering unless another
has fewer neighbours left, and exchanges rows and columns then, which is most of the time that a large mesh takes. Nodes
numbered in the order of least degree need no exchange.
"""

from __future__ import annotations

import heapq
from functools import lru_cache

__all__ = ["elimination_order", "numbered"]

LOOPS = 500
"""Independent loops of a circuit from which on the order matters."""

Pairs = tuple[tuple[str, str], ...]


@lru_cache(maxsize=8)
def elimination_order(pairs: Pairs) -> tuple[str, ...]:
    """Return nodes in an order of least degree: each has as few neighbours left as any other when its turn comes.

    Parameters
    ----------
    pairs : tuple of (str, str)
        The two nodes of each branch.
    """
    neighbours: dict[str, set[str]] = {}
    for first, second in pairs:
        neighbours.setdefault(first, set()).add(second)
        neighbours.setdefault(second, set()).add(first)
    # Of those that have as few, the first by name: of several choices the one with the least work for a square mesh.
    waiting = [(len(around), node) for node, around in neighbours.items()]
    heapq.heapify(waiting)
    order = []
    while waiting:
        degree, node = heapq.heappop(waiting)
        if node not in neighbours or degree != len(neighbours[node]):
            continue  # it was taken, or is waiting a second time with another degree
        around = neighbours.pop(node)
        order.append(node)
        for other in around:  # elimination ties all of them to each other
            ties = neighbours[other]
            ties |= around
            ties.discard(node)
            ties.discard(other)
            heapq.heappush(waiting, (len(ties), other))
    return tuple(order)


def numbered(text: str) -> str:
    """Return a netlist whose nodes Sparse 1.3 numbers in the order of least degree, if that is worth it.

    A capacitor of 0 F at each node does it: it carries no current, and the solver numbers nodes as it meets them, those
    of capacitors before those of resistors, and the last line first.

    Parameters
    ----------
    text : str
        The netlist. It comes back as it is if it has few loops, or other elements than resistors and sources to ground.
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
