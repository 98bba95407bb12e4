"""Figures; matplotlib lives here and nowhere else."""

from circuitmem.report.devices import draw_pulse_curves
from circuitmem.report.figures import draw_run

__all__ = ["draw_pulse_curves", "draw_run"]
