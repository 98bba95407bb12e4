"""One circuit for many states of one kind of tile, for VACASK: the cells' resistances change from point to point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from circuitmem.netlists.vacask.elements import BASE, driven, grounds, header, wires
from circuitmem.netlists.vacask.text import VacaskNetlist
from circuitmem.netlists.wiring import Wiring
from circuitmem.tile import Tile

__all__ = ["VacaskStates", "block_of"]

Floats = NDArray[np.float64]

_USUAL = 1e-4
"""Conductance [S] of all cells at the first point, whatever the other points are: the solver chooses its elimination
order there and keeps it, so the result of a state does not depend on the states beside it."""

_OFF = 1e30
"""Resistance [ohm] of a cell that conducts nothing: its current is far below the rounding errors of any current."""

_BLOCK = 16
"""Word lines of a block."""


def block_of(tile: Tile) -> int | None:
    """Return the number of the block of word lines that has all conducting cells; None if there is no such block.

    It is None, too, for a tile that has no other blocks to leave out.
    A pulse turns on the transistors of one row. Without the cells of the other blocks, through which nothing flows, its
    circuit takes a quarter of the time.
    """
    blocks = np.flatnonzero(tile.effective_conductance.any(axis=1)) // _BLOCK
    if tile.spec.rows <= _BLOCK or not blocks.size or (blocks != blocks[0]).any():
        return None
    return int(blocks[0])


class VacaskStates:
    """The netlist of tiles that differ in their cells alone; linear cells, no cut lines.

    Parameters
    ----------
    tiles : sequence of Tile
        The states, of one specification and with the same defects of lines and drivers.
    block : int, optional
        Block that has all of their conducting cells (:func:`block_of`); the cells of other blocks are left out.

    Attributes
    ----------
    netlist : VacaskNetlist
        Its inputs are the live drivers and the resistances of the cells.
    wiring : Wiring
        The nodes and branches, with all cells of the block.
    live : list of int
        Word lines whose driver is not dead.
    drive_currents, sense_currents
        As of :class:`circuitmem.netlists.vacask.tile.VacaskTile`.
    """

    def __init__(self, tiles: Sequence[Tile], block: int | None = None) -> None:
        spec, defects = tiles[0].spec, tiles[0].defects.lines_only()
        self._tiles = tiles
        usual = np.full(spec.shape, _USUAL)
        if block is not None:
            usual[np.arange(spec.rows) // _BLOCK != block] = 0.0
        self.wiring = Wiring(Tile(spec, usual, defects))
        dead = defects.dead_drivers
        self.live = [row for row in range(spec.rows) if dead is None or not dead[row]]
        self.drive_currents = [f"v{node}#branch" for node in self.wiring.drivers]
        self.sense_currents = [[f"v{node}#branch" for node in dict.fromkeys(nodes)] for nodes in self.wiring.senses]
        cells, live = self.wiring.cells(), set(self.live)
        self._rows, self._columns = [cell.row for cell in cells], [cell.column for cell in cells]
        names = [f"cell_{cell.row}_{cell.column}" for cell in cells]
        lines = [BASE, header(tiles[0]), wires(self.wiring), "// cells: word line to bit line\n"]
        lines += [
            f"r{name} ({cell.word} {cell.bit}) r r=in_{name}[point]\n" for name, cell in zip(names, cells, strict=True)
        ]
        lines.append(grounds(self.wiring))
        for row, node in enumerate(self.wiring.drivers):
            lines.append(driven(node, f"dc=in_{node}[point]" if row in live else "dc=0.0"))
        outputs = [*self.drive_currents, *(name for names in self.sense_currents for name in names)]
        inputs = (*(self.wiring.drivers[row] for row in self.live), *names)
        self.netlist = VacaskNetlist("".join(lines), inputs, tuple(dict.fromkeys(outputs)))

    def table(self, batches: Sequence[Floats]) -> Floats:
        """Return the inputs, (1 + points, inputs), for the driver voltages (vectors, rows) V of each tile.

        At the first point all cells are alike; its result belongs to no tile.
        """
        points = [np.concatenate([np.ones(len(self.live)), np.full(len(self._rows), 1.0 / _USUAL)])[None]]
        for tile, batch in zip(self._tiles, batches, strict=True):
            siemens = tile.effective_conductance[self._rows, self._columns]
            with np.errstate(divide="ignore", over="ignore"):
                ohms = np.minimum(1.0 / siemens, _OFF)
            points.append(np.hstack([batch[:, self.live], np.broadcast_to(ohms, (len(batch), ohms.size))]))
        return np.vstack(points)

    def without_leaks(self, results: Floats, voltages: Floats) -> Floats:
        """Return the currents, with 0 in place of those that may only be leaks of cells that conduct nothing.

        ``results`` is (points, outputs) A, ``voltages`` (points, rows) V, both without the first point.
        """
        leak = np.abs(voltages).max(axis=1, initial=0.0) * len(self._rows) / _OFF
        return np.where(np.abs(results) <= leak[:, None], 0.0, results)
