"""What each product costs from now on, and how right it is, as the cells of tables and in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["precision_note", "product_costs", "rms_errors"]


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


def precision_note(reuse: Mapping[str, Mapping[str, float]]) -> str:
    """Return a sentence with the largest error of transfer matrices in single precision.

    Parameters
    ----------
    reuse : mapping
        The :class:`circuitmem.engine.ReuseRecord` of each method.
    """
    checks = sum(int(record["checks"]) for record in reuse.values())
    if not checks:
        return (
            "Single precision: no transfer matrix was worked out in it; those of ideal wires are known in closed form."
        )
    error = max(record["largest_error"] for record in reuse.values())
    return (
        f"Single precision: transfer matrices were off by up to {error:.1e} of a tile's largest column current, or of "
        f"its power; {checks:,} of them were compared with double, for random inputs."
    )


def rms_errors(errors: Sequence[Mapping[str, float]]) -> str:
    """Return the errors of products of every layer, root mean square, in percent of the largest ideal one."""
    return ", ".join(f"{100 * error['rmse']:.2f} %" for error in errors)
