"""What each product costs from now on, and what calibration made of its error, as the cells of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["product_costs", "rms_errors"]


def product_costs(calibration: Mapping[str, Any]) -> tuple[str, str]:
    """Return the reads that a product needs, and the part of it that the digital core multiplies.

    Parameters
    ----------
    calibration : mapping
        A method's :class:`circuitmem.calibration.CalibrationRecord`; of an older version it may lack the last, and then
        both are empty.
    """
    if "digital_products" not in calibration:
        return "", ""
    fraction = calibration["digital_products"] / max(calibration["products"], 1)
    return str(calibration["reads_per_product"]), f"{fraction:.1%}".replace("%", " %")


def rms_errors(errors: Sequence[Mapping[str, float]]) -> str:
    """Return the errors of products of every layer, root mean square, in percent of the largest ideal one."""
    return ", ".join(f"{100 * error['rmse']:.2f} %" for error in errors)
