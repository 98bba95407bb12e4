"""The circuit that evaluates the law of a Verilog-A device: current and rate at given states and voltages."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import VerilogASpec
from circuitmem.netlists.vacask.elements import BASE
from circuitmem.netlists.vacask.text import VacaskNetlist, quantity
from circuitmem.netlists.vacask.verilog import Model

__all__ = ["LawCircuit", "parameter_text"]

Floats = NDArray[np.float64]

LAW_OPTIONS = "reltol=1e-9 vntol=1e-12 nr_conviter=2 gmin=1e-18"


def parameter_text(spec: VerilogASpec) -> str:
    """Return the parameters of the model, as written after its name."""
    return "".join(f" {name}={quantity(value)}" for name, value in spec.parameters.items())


DEVICES = 64
"""Number of devices side by side, and so of points that are computed at once."""


class LawCircuit:
    """Devices whose states and voltages are swept.

    Attributes
    ----------
    netlist : VacaskNetlist
        Inputs are the voltages of the devices [V], then those of their states' nodes; outputs the currents into the
        devices' sources, then the rates of the nodes' voltages.
    """

    def __init__(self, spec: VerilogASpec, model: Model) -> None:
        lines = [f'{BASE}load "va/law.osdi"\nmodel device {model.module}{parameter_text(spec)}\n']
        for k in range(DEVICES):
            lines.append(f"xd{k} (p{k} 0 s{k} rate{k}) device {model.start}=in_s{k}[point]\n")
            lines.append(f"vp{k} (p{k} 0) v dc=in_p{k}[point]\n")
        names = range(DEVICES)
        inputs = (*(f"p{k}" for k in names), *(f"s{k}" for k in names))
        outputs = (*(f"vp{k}#branch" for k in names), *(f"rate{k}" for k in names))
        self.netlist = VacaskNetlist("".join(lines), inputs, outputs, LAW_OPTIONS, {"law": model.probe})

    @staticmethod
    def table(voltage: Floats, state: Floats) -> Floats:
        """Return the inputs, (sweeps, 2 devices), for points, (points,) V each; the last one is repeated as filler."""
        count = -(-len(voltage) // DEVICES) * DEVICES
        filled = (np.pad(each, (0, count - len(each)), mode="edge").reshape(-1, DEVICES) for each in (voltage, state))
        return np.hstack(list(filled))

    @staticmethod
    def points(answers: Floats, count: int) -> tuple[Floats, Floats]:
        """Return currents into the devices [A] and rates, (points,) each, from the outputs, (sweeps, 2 devices)."""
        amperes, rates = np.hsplit(answers, 2)
        return -amperes.ravel()[:count], rates.ravel()[:count]
