"""``none``: raw codes, interpreted as if the converters were perfect. Cost: 1 read a product, nothing stored."""

from __future__ import annotations

from circuitmem.calibration.method import Unmeasured

__all__ = ["NoCalibration"]


class NoCalibration(Unmeasured):
    """Corrects nothing."""

    name = "none"
