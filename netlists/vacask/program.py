"""The circuit of a tile of ODE devices during one pulse, for VACASK: the devices are Verilog-A."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import (
    IonDriftSpec,
    OdeDevice,
    Pulse,
    StanfordSpec,
    TabulatedSpec,
    TransistorCell,
    VerilogASpec,
    VteamSpec,
    YakopcicSpec,
)
from circuitmem.errors import ValidationError
from circuitmem.netlists.devices import device_parameters, model_name
from circuitmem.netlists.program import TransientTimes, bare_lines
from circuitmem.netlists.vacask.elements import BASE, driven, header, shipped, wires
from circuitmem.netlists.vacask.law import parameter_text
from circuitmem.netlists.vacask.text import VacaskNetlist, quantity, vector
from circuitmem.netlists.vacask.verilog import read_model
from circuitmem.netlists.wiring import CellNodes, Wiring
from circuitmem.tile import Tile

__all__ = ["PULSE_OPTIONS", "VacaskProgram"]

Floats = NDArray[np.float64]

PULSE_OPTIONS = "reltol=1e-6 vntol=1e-9 gmin=1e-18"

_RENAMED = {"edge": "rim"}
"""New names of parameters whose own names are reserved in Verilog-A."""

_STEPS = 1000
"""Minimum number of time steps of a pulse: VACASK's own choice of steps is coarse where only states move."""


class VacaskProgram:
    """The netlist of a pulse on a tile; as :class:`circuitmem.netlists.program.ProgramNetlist`."""

    initial = False  # with True an integral would start from 0; the operating point gives it its initial value

    def __init__(self, tile: Tile, device: OdeDevice, pulse: Pulse, state: Floats) -> None:
        wiring = Wiring(bare_lines(tile, pulse))
        dead = tile.defects.dead_drivers
        word, bit = pulse.lines(tile.spec)
        self.state_range = (0.0, 1.0)
        models, declared = self._models(device)
        lines = [
            BASE,
            declared,
            header(tile),
            wires(wiring),
            "// cells: devices with their first state. Stuck ones have a static law\n",
        ]
        self.moving: list[tuple[int, int]] = []
        lines += [self._cell(tile, device, cell, float(state[cell.row, cell.column])) for cell in wiring.cells()]
        self.word_sources, self.bit_sources = [], []
        for row, node in enumerate(wiring.drivers):
            voltage = 0.0 if dead is not None and dead[row] else float(word[row])
            self.word_sources.append((f"v{node}#branch", voltage))
            lines.append(_source(node, voltage, pulse))
        for column, nodes in enumerate(wiring.senses):
            for node in dict.fromkeys(nodes):
                self.bit_sources.append((f"v{node}#branch", float(bit[column])))
                lines.append(_source(node, float(bit[column]), pulse))
        self.states = [f"state_{row}_{column}" for row, column in self.moving]
        self.times = TransientTimes(pulse.duration / _STEPS, pulse.duration, pulse.duration / _STEPS)
        outputs = (*self.states, *(name for name, _ in (*self.word_sources, *self.bit_sources)))
        self.netlist = VacaskNetlist("".join(lines), (), outputs, PULSE_OPTIONS, models)

    def _models(self, device: OdeDevice) -> tuple[dict[str, str], str]:
        """Return the Verilog-A of a device and of stuck cells, and the lines that declare them."""
        self._start = "x0"
        if isinstance(device, VerilogASpec):
            model = read_model(device)
            self._start, self.state_range = model.start, device.state_range
            lines = f'load "va/device.osdi"\nmodel device {model.module}{parameter_text(device)}\n'
            return {"device": model.text}, lines
        if isinstance(device, TabulatedSpec):
            raise ValidationError(
                "device", "must have a circuit model for VACASK, which a law of one's own has not", device.kind
            )
        kind, a, skew = _static(device)
        values = " ".join(
            f"{_RENAMED.get(name, name)}={quantity(value)}" for name, value in device_parameters(device).items()
        )
        lines = f'load "va/{kind}.osdi"\nload "va/sinh.osdi"\nmodel device {kind} {values}\n'
        return shipped(kind, "sinh"), f"{lines}model stuck sinhcell a={quantity(a)} skew={quantity(skew)}\n"

    def _cell(self, tile: Tile, device: OdeDevice, cell: CellNodes, state: float) -> str:
        name, end, rest = f"cell_{cell.row}_{cell.column}", cell.bit, ""
        transistor = tile.spec.cell.on_resistance if isinstance(tile.spec.cell, TransistorCell) else 0.0
        if transistor > 0.0:
            end = f"x_{cell.row}_{cell.column}"
            rest = f"ron_{name} ({end} {cell.bit}) r r={quantity(transistor)}\n"
        if not tile.stuck[cell.row, cell.column]:
            self.moving.append((cell.row, cell.column))
            node = f"state_{cell.row}_{cell.column}"
            low, high = self.state_range
            first = quantity(low + (high - low) * state)
            return f"x{name} ({cell.word} {end} {node}) device {self._start}={first}\n{rest}"
        siemens = float(tile.effective_conductance[cell.row, cell.column])
        if isinstance(device, VteamSpec | IonDriftSpec | TabulatedSpec):
            return f"r{name} ({cell.word} {end}) r r={quantity(1.0 / siemens)}\n{rest}"
        return f"x{name} ({cell.word} {end}) stuck g={quantity(siemens)}\n{rest}"


def _static(device: VteamSpec | StanfordSpec | YakopcicSpec | IonDriftSpec) -> tuple[str, float, float]:
    """Return the kind of a device, and the non-linearity [1/V] and the ratio of the two sides of its static law."""
    if isinstance(device, VteamSpec | IonDriftSpec):
        return model_name(device), 1.0, 1.0
    if isinstance(device, StanfordSpec):
        return "stanford", 1.0 / device.current_voltage, 1.0
    return "yakopcic", device.b, device.a2 / device.a1


def _source(node: str, plateau: float, pulse: Pulse) -> str:
    if plateau == 0.0:
        return driven(node, "dc=0.0")
    # + 0.0 turns a negative zero into 0.
    corners = [value for time, level in pulse.corners for value in (time, level * plateau + 0.0)]
    return driven(node, f'type="pwl" wave={vector(corners)}')
