"""How the behavioral engine computes a tile: the choice of the method, and its explanation for the user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.mesh import TOLERANCE
from circuitmem.config import SelectorCell, SinhCell
from circuitmem.errors import ValidationError
from circuitmem.tile import Mesh, Tile
from circuitmem.validation import did_you_mean, integer

__all__ = ["Plan", "SolverChoice", "check_linear", "check_method", "make_plan", "plan_nodes"]

SolverChoice = Literal["transfer matrix", "conjugate gradients", "newton", "direct"]
"""``"transfer matrix"``: by the tree kernel, followed by a matrix product. ``"conjugate gradients"``: vector by vector.
``"newton"``: the same for non-linear cells. ``"direct"``: by factoring the nodal equations."""


TREE = (60.0, 0.44)
"""Time of the tree kernel [ns]: per cell, and per cell times the longer side."""
VECTOR = (6.5, 4.0)
"""Time of conjugate gradients [ns]: per cell and vector, and that times the square root of the drop along a line."""
CACHED, BEYOND = 32_768, 1.2
"""Largest number of cells whose data fit into a core's cache, and the factor by which larger tiles take longer.

All are fitted to ``benchmarks/results/kernels.txt``, which lists the resulting break-even beside the measured one."""


@dataclass(frozen=True)
class Plan:
    """How :class:`~circuitmem.engine.BehavioralEngine` computes one call of ``read``.

    Attributes
    ----------
    method : str
        One of :data:`SolverChoice`.
    superposed_bridges : bool
        Whether the bridges' currents are superposed on the solution of the tile without bridges.
    break_even : int
        Number of vectors from which the transfer matrix is cheaper; 0 if there is none.
    reason : str
        The reason, in a few words.
    tolerance : float
        Largest error of a node voltage that an iteration may leave, relative to the largest voltage. A transfer matrix
        does not depend on it: it is exact to rounding errors.
    """

    method: SolverChoice
    superposed_bridges: bool
    break_even: int
    reason: str
    tolerance: float = TOLERANCE

    def __str__(self) -> str:
        bridges = ", bridges superposed" if self.superposed_bridges else ""
        wanted = "" if self.tolerance == TOLERANCE else f" to {self.tolerance:g}"
        return f"{self.method}{bridges}{wanted}: {self.reason}"


def make_plan(
    tile: Tile,
    batch: int = 1,
    *,
    known: bool = False,
    before: int = 0,
    wanted: SolverChoice | None = None,
    tolerance: float = TOLERANCE,
) -> Plan:
    """Choose how to read a tile.

    The choice depends only on the arguments, never on measured time, so the same calls choose the same method and give
    the same bits on every machine.

    Parameters
    ----------
    tile : Tile
        The tile, in its present state.
    batch : int
        Number of vectors to be read, >= 0.
    known : bool
        Whether the transfer matrix of exactly this state is available.
    before : int
        Number of vectors that were read in this state before; they count towards the break-even.
    wanted : str, optional
        A method to use instead of the cheapest.
    tolerance : float
        Largest error of a node voltage relative to the largest voltage; it is recorded, but does not affect the choice.

    Raises
    ------
    ValidationError
        If ``batch`` is negative, or the wanted method cannot solve this tile.
    """
    batch = integer("batch", batch)
    nodes = plan_nodes(tile)
    if not tile.spec.cell.linear:
        break_even, reason = 0, nodes.reason
        possible: tuple[SolverChoice, ...] = ("direct",) if nodes.method == "direct" else (nodes.method, "direct")
    else:
        # If every vector is solved directly, so is every row of the transfer matrix: one solution per driver.
        break_even = tile.spec.rows + 1 if nodes.method == "direct" else _break_even(tile)
        reason = f"a transfer matrix pays from {break_even} vectors on"
        if nodes.method == "direct":
            reason = f"{nodes.reason}, {reason}"
        if known or batch + before >= break_even:
            possible = ("transfer matrix", nodes.method, "direct")
            reason = "the transfer matrix is known" if known else f"it pays from {break_even} vectors on"
        else:
            possible = (nodes.method, "transfer matrix", "direct")
    method = possible[0] if wanted is None else wanted
    if method not in possible:
        names = ", ".join(dict.fromkeys(possible))
        raise ValidationError("method", f"must be one of {names} for this tile ({nodes.reason})", wanted)
    superposed = nodes.superposed_bridges and method != "direct"
    return Plan(method, superposed, break_even, reason if wanted is None else "as wanted", tolerance)


def plan_nodes(tile: Tile, wanted: SolverChoice | None = None) -> Plan:
    """Choose how to solve vectors for all node voltages, which a transfer matrix does not give.

    Parameters
    ----------
    tile : Tile
        The tile.
    wanted : str, optional
        A method to use instead; ``"transfer matrix"`` does not apply here and is ignored.

    Raises
    ------
    ValidationError
        If the wanted method cannot solve this tile.
    """
    linear, bridges = tile.spec.cell.linear, bool(tile.defects.bridges)
    superposed = bridges and linear and _are_tied(tile)
    method: SolverChoice = "conjugate gradients" if linear else "newton"
    reason = "linear cells" if linear else "non-linear cells"
    if not linear and type(tile.spec.cell) not in (SinhCell, SelectorCell):  # a subclass may have another law
        method, reason = "direct", "non-linear cells of a law that the kernels do not know"
    if bridges and not superposed:
        method = "direct"
        reason = "bridges on a floating line" if linear else "bridges between lines of non-linear cells"
    if wanted not in (None, "transfer matrix", "direct", method):
        raise ValidationError("method", f"must be one of {method}, direct for this tile ({reason})", wanted)
    if wanted == "direct":
        method, superposed = "direct", False
    return Plan(method, superposed, 0, reason)


def check_method(method: SolverChoice | None) -> SolverChoice | None:
    """Return the method if it is a valid one; raise ValidationError otherwise."""
    names = get_args(SolverChoice)
    if method is not None and method not in names:
        raise ValidationError("method", f"must be one of {', '.join(names)}{did_you_mean(str(method), names)}", method)
    return method


def check_linear(tiles: Sequence[Tile]) -> None:
    """Raise a ValidationError unless there are tiles, all of one shape and with linear cells, as a matrix requires."""
    if not len(tiles):
        raise ValidationError("tiles", "must have at least one tile")
    for tile in tiles:
        if tile.spec.shape != tiles[0].spec.shape:
            rows, columns = tiles[0].spec.shape
            raise ValidationError("tiles", f"must all be of {rows}x{columns}", tile.spec.shape)
        if not tile.spec.cell.linear:
            raise ValidationError("cell", "must be linear for a transfer matrix", tile.spec.cell.kind)


def _break_even(tile: Tile) -> int:
    """Return the number of vectors from which the transfer matrix is cheaper.

    The number of iterations of conjugate gradients grows with the voltage drop along a line.
    """
    rows, columns = tile.spec.shape
    # Uses the declared wires, without cuts and terminals: this estimate must be cheap compared with one vector.
    wires = tile.spec.word_line_resistance, tile.spec.bit_line_resistance
    resistance = max(wire if isinstance(wire, float) else float(np.mean(wire)) for wire in wires)
    drop = float(tile.mesh.conductance.sum()) * resistance * max(rows, columns) / min(rows, columns)
    tree = TREE[0] + TREE[1] * max(rows, columns)
    vector = (VECTOR[0] + VECTOR[1] * sqrt(drop)) * (BEYOND if rows * columns > CACHED else 1.0)
    return max(2, ceil(tree / vector))


def _are_tied(tile: Tile) -> bool:
    """Say whether wires connect both ends of every bridge to a driver or a sense amplifier."""
    tied = dict(zip(("word", "bit"), _tied(tile.mesh), strict=True))
    ends = [node for bridge in tile.defects.bridges for node in (bridge.first, bridge.second)]
    return all(tied[node.line][node.row, node.column] for node in ends)


def _tied(mesh: Mesh) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Say which word-line and bit-line nodes are connected by wires to a driver or a sense amplifier."""
    word, bit = np.isfinite(mesh.word_resistance), np.isfinite(mesh.bit_resistance)
    reach = np.logical_and.accumulate
    left, right = reach(word[:, :-1], axis=1), reach(word[:, :0:-1], axis=1)[:, ::-1]
    top, bottom = reach(bit[:-1], axis=0), reach(bit[:0:-1], axis=0)[::-1]
    return left | right, top | bottom
