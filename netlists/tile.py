"""The circuit of one tile between its drivers and its virtual grounds."""

from __future__ import annotations

from numpy.typing import ArrayLike
from PySpice.Spice.Netlist import Circuit

from circuitmem.netlists.text import OPTIONS, TITLE, Netlist, number
from circuitmem.netlists.wiring import Wiring
from circuitmem.tile import Tile

__all__ = ["HEADER", "TileNetlist", "sweep_source", "tile_netlist"]

HEADER = """\
* One tile of {rows} word lines and {columns} bit lines. SI units.
* drive_i: driver of word line i. left_i, right_i: behind its driver resistance.
* w_i_j, b_i_j: nodes of word line i and of bit line j at cell (i, j).
* bottom_j, top_j: ends of bit line j. s_j, t_j: its virtual grounds there.
* Nodes joined by an ideal wire have one name. What no branch ties to a source is left out, at 0 V.
"""

_COLUMN_WIDTH = 26
"""Characters that ngspice prints for a number of 17 digits, including the gap."""


class TileNetlist:
    """The netlist of a tile whose word lines are driven by ideal sources, and the names of the vectors to read from it.

    Parameters
    ----------
    tile : Tile
        The tile.
    all_nodes : bool
        Save every node voltage, not only the currents.
    overdrive : float, optional
        Gate voltage of the access transistors above their threshold [V]; it makes them MOSFETs instead of resistors.

    Attributes
    ----------
    netlist : Netlist
        Its inputs are the live drivers.
    wiring : Wiring
        The nodes and branches.
    live : list of int
        Word lines whose driver is not dead, one for each input of the netlist.
    drive_currents : list of str
        Vector of each driver's current *into* its source.
    sense_currents : list of list of str
        Vectors of the current into each column's virtual grounds.
    """

    def __init__(self, tile: Tile, *, all_nodes: bool = False, overdrive: float | None = None) -> None:
        self.wiring = Wiring(tile)
        dead = tile.defects.dead_drivers
        self.live = [row for row in range(tile.spec.rows) if dead is None or not dead[row]]
        self.drive_currents = [f"v{node}#branch" for node in self.wiring.drivers]
        # Two sources of 0 V between the same two nodes would share the current in an undefined way: use one.
        self.sense_currents = [[f"v{node}#branch" for node in dict.fromkeys(nodes)] for nodes in self.wiring.senses]
        circuit = _circuit(tile, self.wiring, overdrive)
        for row, node in enumerate(self.wiring.drivers):
            circuit.V(node, node, circuit.gnd, "external" if row in set(self.live) else "dc 0")
        sweep_source(circuit)
        inputs = tuple(self.wiring.drivers[row] for row in self.live)
        currents = [*self.drive_currents, *(name for names in self.sense_currents for name in names)]
        nodes: list[str] = []
        if all_nodes:
            grids = (self.wiring.word_nodes, self.wiring.bit_nodes)
            nodes = list(dict.fromkeys(name for grid in grids for name in grid.ravel() if name is not None))
        # Without .save ngspice keeps everything, which is faster than a .save with 8,192 names.
        saved = "" if all_nodes else _save([*currents, *inputs])
        text = f"{circuit}{saved}{OPTIONS}\n.end\n"
        self.netlist = Netlist(text, inputs, tuple(dict.fromkeys([*currents, *nodes, *inputs])))


def sweep_source(circuit: Circuit) -> None:
    """Add the source that is swept over the index of the input vectors; it is connected to nothing."""
    circuit.V("point", "point", circuit.gnd, "dc 0")


def _save(vectors: list[str]) -> str:
    return f".save {' '.join(vectors)}\n"


def _circuit(tile: Tile, wiring: Wiring, overdrive: float | None = None) -> Circuit:
    """Return the mesh and the virtual grounds, without drivers."""
    circuit = Circuit(TITLE)
    circuit.raw_spice = HEADER.format(rows=tile.spec.rows, columns=tile.spec.columns) + wiring.text(overdrive)
    for nodes in wiring.senses:
        for node in dict.fromkeys(nodes):
            circuit.V(node, node, circuit.gnd, "dc 0")
    return circuit


def tile_netlist(tile: Tile, voltages: ArrayLike) -> str:
    """Return a netlist that plain ``ngspice -b`` runs and that prints the column currents with all digits.

    The current [A] of column j is ``vs_j#branch``; with both ends sensed, that plus ``vt_j#branch``.

    Parameters
    ----------
    tile : Tile
        The tile.
    voltages : (rows,) array_like
        Driver voltages [V].

    Raises
    ------
    ValidationError
        If the shape is wrong or an element is not finite.
    """
    volts = tile.one_input(voltages)
    wiring = Wiring(tile)
    circuit = _circuit(tile, wiring)
    for node, voltage in zip(wiring.drivers, volts, strict=True):
        circuit.V(node, node, circuit.gnd, f"dc {number(voltage)}")
    currents = [f"i(v{node})" for nodes in wiring.senses for node in dict.fromkeys(nodes)]
    width = max(80, _COLUMN_WIDTH * (len(currents) + 1))
    lines = [
        "* This block only tells ngspice to print all digits, in lines that are long enough.",
        ".control",
        "set numdgt=16",
        f"set width={width}",
        ".endc",
        f"{OPTIONS} noacct",
        f".save {' '.join(currents)}",
        ".op",
        f".print op {' '.join(currents)}",
        ".end",
    ]
    return str(circuit) + "\n".join(lines) + "\n"
