"""Calibration methods, one file each: what is learnt from measured codes."""

from circuitmem.calibration.affine import fit_affine, learn_affine

__all__ = ["fit_affine", "learn_affine"]
