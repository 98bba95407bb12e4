"""The chip in time: SimPy lives here and nowhere else."""
