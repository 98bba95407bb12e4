"""The circuit of a tile whose drivers step from 0 V, for VACASK: how a read settles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import TiaSpec
from circuitmem.netlists.step import POLE_RESISTANCE
from circuitmem.netlists.vacask.elements import BASE, CellElements, capacitors, driven, grounds, header, wires
from circuitmem.netlists.vacask.text import VacaskNetlist, quantity
from circuitmem.netlists.wiring import Wiring
from circuitmem.tile import Tile

__all__ = ["STEP_OPTIONS", "VacaskStep"]

STEP_OPTIONS = "reltol=1e-7 vntol=1e-12 gmin=1e-18"


class VacaskStep:
    """The netlist of a step of all drivers; as :class:`circuitmem.netlists.step.StepNetlist`."""

    def __init__(self, tile: Tile, voltages: NDArray[np.float64], amplifier: TiaSpec | None = None) -> None:
        wiring = Wiring(tile, amplifiers=amplifier is not None)
        cells = CellElements(tile, wiring)
        lines = [BASE, header(tile), wires(wiring), cells.text, capacitors(wiring)]
        lines += [driven(node, f"dc={quantity(v)}") for node, v in zip(wiring.drivers, voltages.tolist(), strict=True)]
        self.columns: list[list[str]] = []
        if amplifier is None:
            lines.append(grounds(wiring))
            self.columns = [[f"v{node}#branch" for node in dict.fromkeys(nodes)] for nodes in wiring.senses]
        else:
            lines.append(_amplifier(amplifier))
            for column, nodes in enumerate(wiring.senses):
                outputs = [f"tia_{'top_' * end}{column}" for end in range(len(nodes))]
                lines += [f"x{out} ({node} {out}) tia\n" for node, out in zip(nodes, outputs, strict=True)]
                self.columns.append(outputs)
        self.words: list[str | None] = [None if name is None else str(name) for name in wiring.word_nodes[:, -1]]
        names = [name for name in self.words if name is not None] + [name for names in self.columns for name in names]
        self.netlist = VacaskNetlist("".join(lines), (), tuple(dict.fromkeys(names)), STEP_OPTIONS, cells.models)


def _amplifier(spec: TiaSpec) -> str:
    """Return the sub-circuit of an amplifier with its gain-bandwidth."""
    lines = ["subckt tia(input out)\n", f"rfeedback (input out) r r={quantity(spec.feedback_resistance)}\n"]
    driving = "out"
    if spec.gain_bandwidth is not None:
        driving = "driven"
        seconds = spec.open_loop_gain / (2.0 * np.pi * spec.gain_bandwidth)
        lines.append(f"rpole (driven pole) r r={quantity(POLE_RESISTANCE)}\n")
        lines.append(f"cpole (pole 0) c c={quantity(seconds / POLE_RESISTANCE)}\nebuffer (out 0 pole 0) e gain=1.0\n")
    lines.append(f"egain ({driving} 0 input 0) e gain={quantity(-spec.open_loop_gain)}\n")
    return "".join([*lines, "ends\n"])
