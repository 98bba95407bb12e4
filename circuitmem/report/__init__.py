"""Figures; matplotlib lives here and nowhere else."""

from circuitmem.report.figures import draw_run

__all__ = ["draw_run"]
