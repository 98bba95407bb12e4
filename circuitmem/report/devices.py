"""Figures of devices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from circuitmem.config import ComplianceCell, PulseUpdateSpec, TwoPulseSpec
from circuitmem.device import final_conductance, pulse_curves
from circuitmem.report.stills import draw_into
from circuitmem.study.plots import Lines, Series

__all__ = ["draw_gate_law", "draw_pulse_curves"]


def draw_pulse_curves(path: str | Path, specs: dict[str, PulseUpdateSpec] | None = None) -> Figure:
    """Draw conductance against pulses, up and down, one panel per device, into a file; returns the figure.

    Parameters
    ----------
    path : path
        The file, e.g. ``curves.png``, ``.svg`` or ``.pdf``.
    specs : dict, optional
        Devices by name; the six published ones when left out.

    Raises
    ------
    ValidationError
        If the file has another ending.
    DataFileError
        If the file cannot be written.
    """
    devices = specs or {name: PulseUpdateSpec.preset(name) for name in PulseUpdateSpec.PRESETS}
    return draw_into(path, *(_curves(name, spec) for name, spec in devices.items()), across=3)


def _curves(name: str, spec: PulseUpdateSpec) -> Lines:
    count, left = np.arange(spec.states + 1), np.arange(spec.pulses_down + 1)
    up, down = pulse_curves(spec, count, left)
    series = (
        Series(f"up, nonlinearity {spec.potentiation:g}", count, 1e6 * up),
        Series(f"down, nonlinearity {spec.depression:g}", spec.states + spec.pulses_down - left, 1e6 * down),
    )
    return Lines(name, "pulses: up, then down", "conductance (µS)", series)


def draw_gate_law(path: str | Path, spec: TwoPulseSpec, measured: dict[float, tuple[ArrayLike, ArrayLike]]) -> Figure:
    """Draw conductance after a SET against gate voltage: the law, cells as circuits, and simulated cells.

    Parameters
    ----------
    path : path
        The file, e.g. ``law.png``, ``.svg`` or ``.pdf``.
    spec : TwoPulseSpec
        The law.
    measured : dict
        Gate voltages [V] and the conductances after a SET [S], (points,) each, by the drain voltage of the cell [V].

    Returns
    -------
    Figure
        The figure that was saved.

    Raises
    ------
    ValidationError
        If the file has another ending.
    DataFileError
        If the file cannot be written.
    """
    gates = np.linspace(spec.minimum_gate, spec.maximum_gate, 200)
    law = spec.minimum_conductance + spec.slope * (gates - spec.minimum_gate)
    series = [Series("two-pulse law", gates, 1e6 * law, "dashed")]
    for drain, (voltages, found) in measured.items():
        ends = final_conductance(ComplianceCell.of(spec, drain), gates)
        series += [
            Series(f"I/V_stop, {drain:g} V left for the transistor", gates, 1e6 * ends),
            Series(f"ngspice, .tran, {drain:g} V", voltages, 1e6 * np.asarray(found), "points"),
        ]
    title = "What a SET leaves in a cell with a transistor"
    return draw_into(path, Lines(title, "gate voltage of the SET (V)", "conductance (µS)", tuple(series)))
