"""Calibration methods, one file each: what is learnt from measured codes."""

from circuitmem.calibration.affine import fit_affine, learn_affine
from circuitmem.calibration.refresh import Refresh, refresh_periodically
from circuitmem.calibration.watch import Check, DriftWatch

__all__ = ["Check", "DriftWatch", "Refresh", "fit_affine", "learn_affine", "refresh_periodically"]
