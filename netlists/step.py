"""The circuit of a tile whose drivers step from 0 V: how a read settles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import TiaSpec
from circuitmem.netlists.text import TITLE, Netlist, number
from circuitmem.netlists.tile import HEADER
from circuitmem.netlists.wiring import Wiring
from circuitmem.tile import Tile

__all__ = ["POLE_RESISTANCE", "STEP_OPTIONS", "StepNetlist", "amplifier_in_time"]

STEP_OPTIONS = ".options method=trap reltol=1e-6 trtol=1 abstol=1e-15 vntol=1e-12 chgtol=1e-24 gmin=1e-18"
"""Lines of femtofarads carry charges of attocoulombs, which ngspice would not resolve without a small ``chgtol``."""

POLE_RESISTANCE = 1e3
"""Resistance of the RC pair that forms an amplifier's pole [Ω]; its capacitance follows from the time constant."""

_HEADER = (
    HEADER
    + """\
* The drivers step from 0 V at time 0, all capacitors discharged. tia_j: output of the amplifier of column j.
"""
)


class StepNetlist:
    """The netlist of a step of all drivers.

    Parameters
    ----------
    tile : Tile
        The tile.
    voltages : (rows,) ndarray
        Driver voltages after the step [V], checked.
    amplifier : TiaSpec, optional
        The amplifiers of the columns, without offsets.

    Attributes
    ----------
    netlist : Netlist
        Without inputs.
    words : list of str or None
        Node of the last cell of each word line; None where it floats.
    columns : list of list of str
        Vectors that add up to each column's output: amplifier outputs, or else currents into the virtual grounds.
    """

    def __init__(self, tile: Tile, voltages: NDArray[np.float64], amplifier: TiaSpec | None = None) -> None:
        wiring = Wiring(tile, amplifiers=amplifier is not None)
        lines = [_HEADER.format(rows=tile.spec.rows, columns=tile.spec.columns) + wiring.text()]
        lines.append("* capacitances of the lines\n" + wiring.capacitors())
        sources = zip(wiring.drivers, voltages.tolist(), strict=True)
        lines.append("".join(f"V{node} {node} 0 dc {number(volts)}\n" for node, volts in sources))
        self.columns: list[list[str]] = []
        for column, nodes in enumerate(wiring.senses):
            if amplifier is None:
                kept = list(dict.fromkeys(nodes))
                lines += [f"V{node} {node} 0 dc 0\n" for node in kept]
                self.columns.append([f"v{node}#branch" for node in kept])
            else:
                outputs = [f"tia_{'top_' * end}{column}" for end in range(len(nodes))]
                for node, output in zip(nodes, outputs, strict=True):
                    lines.append(f"X{output} {node} {output} tia\n")
                self.columns.append(outputs)
        if amplifier is not None:
            lines.append(amplifier_in_time(amplifier))
        self.words: list[str | None] = [None if name is None else str(name) for name in wiring.word_nodes[:, -1]]
        names = [name for name in self.words if name is not None] + [name for names in self.columns for name in names]
        saved = tuple(dict.fromkeys(names))
        text = f".title {TITLE}\n{''.join(lines)}.save {' '.join(saved)}\n{STEP_OPTIONS}\n.end\n"
        self.netlist = Netlist(text, (), saved)


def amplifier_in_time(spec: TiaSpec, name: str = "tia", offset: float | None = None) -> str:
    """Return the sub-circuit of an amplifier with its gain-bandwidth: nodes ``input`` and ``out``.

    Parameters
    ----------
    spec : TiaSpec
        The amplifier.
    name : str
        Name of the sub-circuit.
    offset : float, optional
        Input offset [V].
    """
    plus = "0" if offset is None else "plus"
    lines = [f".subckt {name} input out", f"Rfeedback input out {number(spec.feedback_resistance)}"]
    if offset is not None:
        lines.append(f"Voffset plus 0 dc {number(offset)}")
    driven = "out"
    if spec.gain_bandwidth is not None:
        driven = "driven"
        # Open-loop pole at GBW/A.
        seconds = spec.open_loop_gain / (2.0 * np.pi * spec.gain_bandwidth)
        lines.append(f"Rpole driven pole {number(POLE_RESISTANCE)}")
        lines.append(f"Cpole pole 0 {number(seconds / POLE_RESISTANCE)} ic=0")
        lines.append("Ebuffer out 0 pole 0 1")
    lines.append(f"Egain {driven} 0 input {plus} {number(-spec.open_loop_gain)}")
    return "\n".join([*lines, f".ends {name}"]) + "\n"
