"""The circuit of one tile between its drivers and its virtual grounds, for VACASK."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from circuitmem.netlists.vacask.elements import BASE, CellElements, driven, grounds, header, wires
from circuitmem.netlists.vacask.text import VacaskNetlist, complete
from circuitmem.netlists.wiring import Wiring
from circuitmem.tile import Tile

__all__ = ["VacaskTile", "vacask_netlist"]


class VacaskTile:
    """The netlist of a tile; parameters and attributes as of :class:`circuitmem.netlists.tile.TileNetlist`."""

    def __init__(self, tile: Tile, *, all_nodes: bool = False, overdrive: float | None = None) -> None:
        self.wiring = Wiring(tile)
        dead = tile.defects.dead_drivers
        self.live = [row for row in range(tile.spec.rows) if dead is None or not dead[row]]
        self.drive_currents = [f"v{node}#branch" for node in self.wiring.drivers]
        self.sense_currents = [[f"v{node}#branch" for node in dict.fromkeys(nodes)] for nodes in self.wiring.senses]
        cells, live = CellElements(tile, self.wiring, overdrive), set(self.live)
        lines = [BASE, header(tile), wires(self.wiring), cells.text, grounds(self.wiring)]
        for row, node in enumerate(self.wiring.drivers):
            lines.append(driven(node, f"dc=in_{node}[point]" if row in live else "dc=0.0"))
        outputs = [*self.drive_currents, *(name for names in self.sense_currents for name in names)]
        if all_nodes:
            grids = (self.wiring.word_nodes, self.wiring.bit_nodes)
            outputs += [str(name) for grid in grids for name in grid.ravel() if name is not None]
        self.netlist = VacaskNetlist(
            "".join(lines),
            tuple(self.wiring.drivers[row] for row in self.live),
            tuple(dict.fromkeys(outputs)),
            models=cells.models,
        )


def vacask_netlist(tile: Tile, voltages: ArrayLike) -> tuple[str, dict[str, str]]:
    """Return a netlist that plain ``vacask`` runs, and the Verilog-A that it needs.

    The result is ``answer.raw`` in the folder where it runs; the current [A] of column j is ``vs_j:flow(br)`` there,
    with both ends sensed that plus ``vt_j:flow(br)``.

    Parameters
    ----------
    tile : Tile
        The tile.
    voltages : (rows,) array_like
        Driver voltages [V].

    Returns
    -------
    text : str
        The netlist.
    models : dict of str to str
        Texts of ``va/NAME.va`` beside it, to be compiled into ``va/NAME.osdi``; empty for linear cells.

    Raises
    ------
    ValidationError
        If the shape is wrong or an element is not finite.
    """
    volts = tile.one_input(voltages)
    circuit = VacaskTile(tile)
    netlist, table = circuit.netlist, np.ascontiguousarray(volts[None, circuit.live])
    columns = dict.fromkeys(name for names in circuit.sense_currents for name in names)
    text = complete(netlist.text, netlist.inputs, tuple(columns), table, {"kind": "sweep", **netlist.settings})
    return text, dict(netlist.models)
