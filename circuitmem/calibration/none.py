"""``none``: raw codes, taken for what perfect converters would mean by them. 1 read a product, nothing stored."""

from __future__ import annotations

from circuitmem.calibration.method import Unmeasured

__all__ = ["NoCalibration"]


class NoCalibration(Unmeasured):
    """Corrects nothing."""

    name = "none"
