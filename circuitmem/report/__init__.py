"""Figures, reports and pages; the only package that uses matplotlib and HTML."""

from circuitmem.report.arrays import draw_array, plot_cell_currents, plot_error, plot_voltages
from circuitmem.report.devices import draw_gate_law, draw_pulse_curves
from circuitmem.report.figures import draw_run
from circuitmem.report.fits import draw_fit
from circuitmem.report.programming import draw_trajectories
from circuitmem.report.run_page import draw_run_page, load_run_record
from circuitmem.report.study_figures import draw_study
from circuitmem.report.study_report import report_study
from circuitmem.report.validation import draw_validation

__all__ = [
    "draw_array",
    "draw_fit",
    "draw_gate_law",
    "draw_pulse_curves",
    "draw_run",
    "draw_run_page",
    "draw_study",
    "draw_trajectories",
    "draw_validation",
    "load_run_record",
    "plot_cell_currents",
    "plot_error",
    "plot_voltages",
    "report_study",
]
