"""Calibration methods, one file each: what is learnt from measured codes."""
