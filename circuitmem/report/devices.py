"""Figures of devices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from circuitmem.config import PulseUpdateSpec
from circuitmem.device import pulse_curves

__all__ = ["draw_pulse_curves"]


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
        count = np.arange(spec.states + 1)
        up, down = pulse_curves(spec, count)
        axes.plot(count, 1e6 * up, color="#0072b2", label=f"up, {spec.potentiation:g}")
        axes.plot(2 * spec.states - count, 1e6 * down, color="#e69f00", label=f"down, {spec.depression:g}")
        axes.set_title(name)
        axes.legend(fontsize="small", title="nonlinearity", title_fontsize="small")
        axes.grid(alpha=0.3)
    for axes in panels[len(devices) :]:
        axes.set_visible(False)
    figure.supxlabel("pulses: up, then down")
    figure.supylabel("conductance [uS]")
    figure.savefig(path, dpi=120)
    return figure
