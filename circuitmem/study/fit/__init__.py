"""Fit of a model of a user's device to measurements of it."""

from circuitmem.study.fit.curves import read_iv, read_pulses
from circuitmem.study.fit.fit import MODELS, fit_device
from circuitmem.study.fit.made import SWEEPS, Sweep, sweep, write_pulses, write_sweep
from circuitmem.study.fit.model import Curve, Fit
from circuitmem.study.fit.table import Reading, read_table

__all__ = [
    "MODELS",
    "SWEEPS",
    "Curve",
    "Fit",
    "Reading",
    "Sweep",
    "fit_device",
    "read_iv",
    "read_pulses",
    "read_table",
    "sweep",
    "write_pulses",
    "write_sweep",
]
