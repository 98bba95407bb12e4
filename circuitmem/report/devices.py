"""Figures of devices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from circuitmem.config import ComplianceCell, PulseUpdateSpec, TwoPulseSpec
from circuitmem.device import final_conductance, pulse_curves
from circuitmem.report.palette import COLOURS

__all__ = ["draw_gate_law", "draw_pulse_curves"]


def draw_pulse_curves(path: str | Path, specs: dict[str, PulseUpdateSpec] | None = None) -> Figure:
    """Draw conductance against pulses, up and down, one panel a device, into a file; returns the figure.

    Parameters
    ----------
    path : path
        The file, e.g. ``curves.png``.
    specs : dict, optional
        Devices by name; the six published ones when left out.
    """
    devices = specs or {name: PulseUpdateSpec.preset(name) for name in PulseUpdateSpec.PRESETS}
    columns = min(3, len(devices))
    rows = -(-len(devices) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.8 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, spec) in zip(panels, devices.items(), strict=False):
        count, left = np.arange(spec.states + 1), np.arange(spec.pulses_down + 1)
        up, down = pulse_curves(spec, count, left)
        axes.plot(count, 1e6 * up, color=COLOURS[0], label=f"up, {spec.potentiation:g}")
        axes.plot(
            spec.states + spec.pulses_down - left, 1e6 * down, color=COLOURS[1], label=f"down, {spec.depression:g}"
        )
        axes.set_title(name)
        axes.legend(fontsize="small", title="nonlinearity", title_fontsize="small")
        axes.grid(alpha=0.3)
    for axes in panels[len(devices) :]:
        axes.set_visible(False)
    figure.supxlabel("pulses: up, then down")
    figure.supylabel("conductance [µS]")
    figure.savefig(path, dpi=120)
    return figure


def draw_gate_law(path: str | Path, spec: TwoPulseSpec, measured: dict[float, tuple[ArrayLike, ArrayLike]]) -> Figure:
    """Draw conductance after a SET against gate voltage: the law, cells as circuits, and simulated cells.

    Parameters
    ----------
    path : path
        The file.
    spec : TwoPulseSpec
        The law.
    measured : dict
        Gate voltages [V] and the conductances after a SET [S], (points,) each, by the drain voltage of the cell [V].

    Returns
    -------
    Figure
        The figure, which is in the file too.
    """
    figure = Figure(figsize=(4.6, 3.6), layout="constrained")  # in a column of 85 mm its legend has 6 points
    axes = figure.subplots()
    gates = np.linspace(spec.minimum_gate, spec.maximum_gate, 200)
    law = spec.minimum_conductance + spec.slope * (gates - spec.minimum_gate)
    axes.plot(gates, 1e6 * law, color="black", linestyle="--", label="two-pulse law")
    for (drain, (voltages, found)), colour in zip(measured.items(), COLOURS, strict=False):
        ends = final_conductance(ComplianceCell.of(spec, drain), gates)
        axes.plot(gates, 1e6 * ends, color=colour, label=f"I/V_stop, {drain:g} V left for the transistor")
        axes.plot(
            np.asarray(voltages), 1e6 * np.asarray(found), "o", color=colour, markersize=4, label="ngspice, .tran"
        )
    axes.set_xlabel("gate voltage of the SET [V]")
    axes.set_ylabel("conductance left [µS]")
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    return figure
