"""The circuit of a tile of ODE devices during one pulse.

The wires, the defects and the voltages of a pulse are taken from the declarations; nothing here comes from the
behavioral engine. Each device's state is the voltage of a node, between 0 V and 1 V.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import LinearCell, OdeDevice, Pulse, TransistorCell
from circuitmem.netlists.devices import device_subcircuit, model_text, static_law
from circuitmem.netlists.text import TITLE, Netlist, number
from circuitmem.netlists.tile import HEADER
from circuitmem.netlists.wiring import CellNodes, Wiring
from circuitmem.tile import DefectMap, Tile

__all__ = ["TRANSIENT_OPTIONS", "ProgramNetlist", "TransientTimes", "bare_lines", "pulse_netlist"]

Floats = NDArray[np.float64]

TRANSIENT_OPTIONS = ".options method=trap reltol=1e-7 trtol=1 abstol=1e-12 vntol=1e-9 gmin=1e-18"
"""The states are the only capacitors, so nothing rings, and the trapezoidal rule has half the error of Gear's method of
order 2 (measured). trtol=1 takes ngspice's error estimate at face value; the default of 7 allows seven times as much.
With reltol=1e-6 the final states of a Stanford-PKU tile were off by 1.4e-4, while VACASK and the kernels agreed to
1.6e-5; with 1e-7, and half as many steps again, they are off by 5e-5 (``circuitmem validate --seed 3``)."""

_STEPS = 50
"""Minimum number of time steps of a pulse."""

_HEADER = (
    HEADER
    + """\
* state_i_j: state of the device of cell (i, j), 0 V to 1 V. x_i_j: between device and transistor, where there are any.
"""
)


HAIR = 1e-12
"""Fraction of the pulse by which final states are read before its end: ngspice 44 reads the end time in two ways, which
differ in the last digit, and finds nothing if the analysis ended before the time that is asked for."""


class TransientTimes(NamedTuple):
    """Times of the transient analysis [s]."""

    step: float
    stop: float
    largest_step: float


class ProgramNetlist:
    """The netlist of a pulse on a tile.

    Parameters
    ----------
    tile : Tile
        The tile.
    device : VteamSpec, YakopcicSpec or StanfordSpec
        Its devices.
    pulse : Pulse
        The pulse that they get.
    state : (rows, columns) ndarray
        Their initial states.

    Attributes
    ----------
    netlist : Netlist
        Without inputs; its outputs are the states, then the currents into the sources of word lines and bit lines.
    moving : list of (int, int)
        Row and column of each state.
    word_sources, bit_sources : list of (str, float)
        Name of the vector of each source's current, and the source's plateau voltage [V].
    times : TransientTimes
        Times of the analysis.
    initial : bool
        Whether the analysis starts from the states written at the devices.
    state_range : (float, float)
        Voltages [V] of the states 0 and 1.
    """

    initial = True
    state_range = (0.0, 1.0)

    def __init__(self, tile: Tile, device: OdeDevice, pulse: Pulse, state: Floats) -> None:
        wiring = Wiring(bare_lines(tile, pulse))
        dead = tile.defects.dead_drivers
        word, bit = pulse.lines(tile.spec)
        lines = [_HEADER.format(rows=tile.spec.rows, columns=tile.spec.columns) + wiring.wires()]
        lines += [model_text(device), device_subcircuit(device)]
        self.moving: list[tuple[int, int]] = []
        lines.append("* cells: devices with their first state. Stuck ones have their static law\n")
        for cell in wiring.cells():
            lines.append(self._cell(tile, device, cell, float(state[cell.row, cell.column])))
        self.word_sources, self.bit_sources = [], []
        lines.append("* drivers of the word lines, then of the bit lines, during the pulse\n")
        for row, node in enumerate(wiring.drivers):
            voltage = 0.0 if dead is not None and dead[row] else float(word[row])
            self.word_sources.append((f"v{node}#branch", voltage))
            lines.append(_source(node, voltage, pulse))
        for column, nodes in enumerate(wiring.senses):
            for node in dict.fromkeys(nodes):
                self.bit_sources.append((f"v{node}#branch", float(bit[column])))
                lines.append(_source(node, float(bit[column]), pulse))
        self.states = [f"state_{row}_{column}" for row, column in self.moving]
        self.text = "".join(lines)
        self.times = TransientTimes(pulse.duration / 100.0, pulse.duration, pulse.duration / _STEPS)
        outputs = (*self.states, *(name for name, _ in (*self.word_sources, *self.bit_sources)))
        save = f".save {' '.join(outputs)}\n"
        self.netlist = Netlist(f".title {TITLE}\n{self.text}{save}{TRANSIENT_OPTIONS}\n.end\n", (), outputs)

    def _cell(self, tile: Tile, device: OdeDevice, cell: CellNodes, state: float) -> str:
        name, end, rest = f"cell_{cell.row}_{cell.column}", cell.bit, ""
        transistor = tile.spec.cell.on_resistance if isinstance(tile.spec.cell, TransistorCell) else 0.0
        if transistor > 0.0:
            end = f"x_{cell.row}_{cell.column}"
            rest = f"Ron_{name} {end} {cell.bit} {number(transistor)}\n"
        if not tile.stuck[cell.row, cell.column]:
            self.moving.append((cell.row, cell.column))
            node = f"state_{cell.row}_{cell.column}"
            return f"X{name} {cell.word} {end} {node} device x0={number(state)}\n{rest}"
        siemens = float(tile.effective_conductance[cell.row, cell.column])
        law = static_law(device, siemens, cell.word, end)
        if law is None:
            return f"R{name} {cell.word} {end} {number(1.0 / siemens)}\n{rest}"
        return f"B{name} {cell.word} {end} I={{{law}}}\n{rest}"


def pulse_netlist(tile: Tile, device: OdeDevice, pulse: Pulse, state: Floats) -> str:
    """Return a netlist of a pulse that plain ``ngspice -b`` runs and that prints each final state ``final_i_j``.

    Arguments are those of :class:`ProgramNetlist`.
    """
    circuit = ProgramNetlist(tile, device, pulse, state)
    step, stop, largest = (number(time) for time in circuit.times)
    end = number(circuit.times.stop * (1.0 - HAIR))
    shape = f"{number(pulse.amplitude)} V, slopes of {number(pulse.rise)} s, {number(pulse.width)} s between them"
    lines = [
        f"* The pulse: scheme {pulse.scheme}, {shape}. Final states come out as final_i_j.",
        f".tran {step} {stop} 0 {largest} uic",
        *(f".meas tran final_{node.removeprefix('state_')} find v({node}) at={end}" for node in circuit.states),
        "* This block is for ngspice alone: its tolerances, and that it need not keep anything but the states.",
        ".control",
        TRANSIENT_OPTIONS.replace(".options", "option"),
        f"save {' '.join(f'v({node})' for node in circuit.states)}",
        ".endc",
        ".end",
    ]
    return f".title {TITLE}\n{circuit.text}" + "\n".join(lines) + "\n"


def bare_lines(tile: Tile, pulse: Pulse) -> Tile:
    """Return the lines of a tile, with an ohmic cell in place of each cell that conducts during the pulse."""
    defects = tile.defects
    open_ = tile.stuck & (tile.effective_conductance == 0.0)
    conducts = pulse.conducting(tile.spec)[:, None] & ~open_
    rest = DefectMap(
        open_word_segments=defects.open_word_segments,
        open_bit_segments=defects.open_bit_segments,
        bridges=defects.bridges,
        dead_drivers=defects.dead_drivers,
    )
    return Tile(tile.spec.model_copy(update={"cell": LinearCell()}), np.where(conducts, 1.0, 0.0), rest)


def _source(node: str, plateau: float, pulse: Pulse) -> str:
    if plateau == 0.0:
        return f"V{node} {node} 0 dc 0\n"
    # + 0.0 turns a negative zero into 0.
    corners = " ".join(f"{number(time)} {number(level * plateau + 0.0)}" for time, level in pulse.corners)
    return f"V{node} {node} 0 PWL({corners})\n"
