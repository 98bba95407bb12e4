"""The circuit of one tile between its drivers and its virtual grounds, for VACASK."""

from __future__ import annotations

from circuitmem.netlists.vacask.elements import BASE, Cells, driven, grounds, header, wires
from circuitmem.netlists.vacask.text import VacaskNetlist
from circuitmem.netlists.wiring import Wiring
from circuitmem.tile import Tile

__all__ = ["VacaskTile"]


class VacaskTile:
    """The netlist of a tile; parameters and attributes as of :class:`circuitmem.netlists.tile.TileNetlist`."""

    def __init__(self, tile: Tile, *, all_nodes: bool = False, overdrive: float | None = None) -> None:
        self.wiring = Wiring(tile)
        dead = tile.defects.dead_drivers
        self.live = [row for row in range(tile.spec.rows) if dead is None or not dead[row]]
        self.drive_currents = [f"v{node}#branch" for node in self.wiring.drivers]
        self.sense_currents = [[f"v{node}#branch" for node in dict.fromkeys(nodes)] for nodes in self.wiring.senses]
        cells, live = Cells(tile, self.wiring, overdrive), set(self.live)
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
