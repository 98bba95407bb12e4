"""Figures; matplotlib lives here and nowhere else."""
