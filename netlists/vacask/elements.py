"""Lines of elements, and the models that have to be loaded for them."""

from __future__ import annotations

from collections.abc import Iterable

from circuitmem.config import SelectorCell, SinhCell, TransistorCell
from circuitmem.errors import ValidationError
from circuitmem.netlists.vacask.text import model_source, quantity
from circuitmem.netlists.wiring import Branch, Wiring
from circuitmem.tile import Tile

__all__ = ["BASE", "CellElements", "capacitors", "driven", "grounds", "header", "shipped", "wires"]

BASE = 'ground 0\nload "resistor.osdi"\nmodel r resistor\nmodel v vsource\nmodel e vcvs\n'
"""The lines at the start of every circuit. Sources are built into VACASK."""


def header(tile: Tile) -> str:
    """Return the comment that says what the names mean."""
    return (
        f"// One tile of {tile.spec.rows} word lines and {tile.spec.columns} bit lines. SI units.\n"
        "// drive_i: driver of word line i. w_i_j, b_i_j: nodes of word line i and of bit line j at cell (i, j).\n"
        "// s_j, t_j: virtual grounds at the ends of bit line j. Nodes joined by an ideal wire have one name.\n"
    )


def resistor(branch: Branch) -> str:
    """Return the line of a resistor."""
    return f"r{branch.name} ({branch.first} {branch.second}) r r={branch.ohms!r}\n"


def wires(wiring: Wiring) -> str:
    """Return all branches but the cells, one commented section for each kind."""
    return "".join(
        f"// {comment}\n{''.join(map(resistor, branches))}" for comment, branches in wiring.resistors() if branches
    )


def driven(node: str, voltage: str) -> str:
    """Return the source from a node to ground."""
    return f"v{node} ({node} 0) v {voltage}\n"


def grounds(wiring: Wiring) -> str:
    """Return the virtual grounds of the columns; only one for a column whose ends are joined by ideal wires."""
    names = (name for nodes in wiring.senses for name in dict.fromkeys(nodes))
    return "".join(driven(name, "dc=0.0") for name in names)


def capacitors(wiring: Wiring) -> str:
    """Return the capacitances of the lines."""
    lines = "".join(f"c{node} ({node} 0) c c={quantity(farads)}\n" for node, farads in wiring.capacitances())
    return f'load "capacitor.osdi"\nmodel c capacitor\n{lines}'


def shipped(*names: str) -> dict[str, str]:
    """Return the Verilog-A of models that come with circuitmem."""
    return {name: model_source(name) for name in names}


class CellElements:
    """The cells of a tile while it is read.

    Parameters
    ----------
    tile : Tile
        The tile.
    wiring : Wiring
        Its nodes and branches.
    overdrive : float, optional
        Gate voltage of the access transistors above their threshold [V]; it makes them MOSFETs instead of resistors.

    Attributes
    ----------
    text : str
        Their lines.
    models : dict of str to str
        Verilog-A that they need.
    """

    def __init__(self, tile: Tile, wiring: Wiring, overdrive: float | None = None) -> None:
        self.models: dict[str, str] = {}
        cell, branches = tile.spec.cell, wiring.cell_branches()
        lines: Iterable[str]
        if type(cell) is SinhCell:
            lines = self._sinh(cell.a, ((item, 1.0 / item.ohms) for item in branches))
        elif type(cell) is SelectorCell:
            lines = [*self._memristors(branches, second=True), *self._selectors(cell, branches)]
        elif isinstance(cell, TransistorCell) and cell.on_resistance > 0.0:
            lines = [*self._memristors(branches, second=False), *_transistors(cell, branches, overdrive)]
        elif cell.linear:
            lines = map(resistor, branches)
        else:
            raise ValidationError("cell", "must be a law that VACASK has in Verilog-A", cell.kind)
        self.text = "// cells: word line to bit line\n" + "".join(lines)

    def _sinh(self, a: float, cells: Iterable[tuple[Branch, float]]) -> list[str]:
        self.models |= shipped("sinh")
        lines = [f'load "va/sinh.osdi"\nmodel cell sinhcell a={quantity(a)}\n']
        lines += [f"x{item.name} ({item.first} {item.second}) cell g={siemens!r}\n" for item, siemens in cells]
        return lines

    def _selectors(self, cell: SelectorCell, branches: list[Branch]) -> list[str]:
        slope = cell.leak / cell.bend
        ends = (item._replace(name=f"sel_{item.name}", second=_inner(item)) for item in branches)
        return self._sinh(1.0 / cell.bend, ((item, slope) for item in ends))

    def _memristors(self, branches: list[Branch], *, second: bool) -> list[str]:
        """Return the memristors between the cell's inner node and one of its ends."""
        return ["// x_i_j: the node inside cell (i, j)\n"] + [
            resistor(item._replace(first=_inner(item)) if second else item._replace(second=_inner(item)))
            for item in branches
        ]


def _inner(branch: Branch) -> str:
    return branch.name.replace("cell", "x", 1)


def _transistors(cell: TransistorCell, branches: list[Branch], overdrive: float | None) -> list[str]:
    """Return the access transistors, between the cells' inner nodes and the bit lines."""
    if overdrive is None:
        ends = (item._replace(name=f"on_{item.name}", first=_inner(item), ohms=cell.on_resistance) for item in branches)
        return [resistor(item) for item in ends]
    gain = quantity(1.0 / (cell.on_resistance * overdrive))
    return [
        f'load "spice/mos1.osdi"\nmodel access sp_mos1 type=1 vto=0.0 kp={gain} is=1e-30\n',
        driven("gates", f"dc={quantity(overdrive)}"),
        *(f"m{item.name} ({_inner(item)} gates {item.second} 0) access w=1e-6 l=1e-6\n" for item in branches),
    ]
