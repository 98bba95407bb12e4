"""The circuit of two-pulse 1T1R cells side by side, each with its own gate voltage, during a RESET and a SET."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import ComplianceCell
from circuitmem.netlists.devices import model_text, vteam_parameters
from circuitmem.netlists.jobs import Transient
from circuitmem.netlists.text import TITLE, Netlist, number

__all__ = ["COMPLIANCE_OPTIONS", "ComplianceNetlist"]

COMPLIANCE_OPTIONS = ".options method=gear reltol=1e-6 trtol=1 abstol=1e-12 vntol=1e-9 gmin=1e-18"
"""The device is stiff at the end of its SET; Gear's method does not ring there."""

_HEADER = """\
* Two-pulse 1T1R cells: a RESET (bit line high, gate full on), then a SET (word line high) at each cell's gate voltage.
* gate_k, state_k: of cell k. The state is 0 V (on) to 1 V (off). All cells share word and bit line, which are ideal.
"""


class ComplianceNetlist:
    """The netlist of two-pulse 1T1R cells side by side.

    Parameters
    ----------
    cell : ComplianceCell
        The cell.
    gates : (cells,) ndarray
        Gate voltage of each cell's SET [V].
    state : float
        State of all devices before the RESET.

    Attributes
    ----------
    netlist : Netlist
        Without inputs; its outputs are the states.
    analysis : Transient
        The analysis to run.
    """

    def __init__(self, cell: ComplianceCell, gates: NDArray[np.float64], state: float) -> None:
        values = {name: value for name, value in vteam_parameters(cell.device).items() if name != "exponential"}
        given = " ".join(f"{name}={number(value)}" for name, value in values.items())
        lines = [
            _HEADER,
            model_text(cell.device),
            files("circuitmem.netlists").joinpath("models", "compliance.lib").read_text("ascii"),
            f".model access nmos(level=1 vto={number(cell.threshold)} kp={number(cell.gain)})\n",
        ]
        states = []
        for index, gate in enumerate(gates.tolist()):
            waves = cell.waves(gate)
            if index == 0:
                lines += [_source("word", waves["word"]), _source("bit", waves["bit"])]
            lines.append(_source(f"gate_{index}", waves["gate"]))
            lines.append(f"Xcell_{index} word bit gate_{index} state_{index} compliance {given} x0={number(state)}\n")
            states.append(f"state_{index}")
        save = f".save {' '.join(states)}\n"
        text = "".join(lines)
        self.netlist = Netlist(f".title {TITLE}\n{text}{save}{COMPLIANCE_OPTIONS}\n.end\n", (), tuple(states))
        stop = cell.reset_time + cell.set_time
        self.analysis = Transient(stop / 200, stop, 0.0, stop / 200, initial=True)


def _source(node: str, corners: list[tuple[float, float]]) -> str:
    points = " ".join(f"{number(time)} {number(level)}" for time, level in corners)
    return f"V{node} {node} 0 PWL({points})\n"
