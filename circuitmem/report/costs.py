"""Cost of each product after calibration, and errors of products, as cells of tables and in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["FEW", "part_title", "precision_note", "product_costs", "rms_errors"]

_PARTS = {
    "adc": "ADCs",
    "dac": "DACs",
    "amplifier": "amplifiers",
    "array": "arrays",
    "core": "digital core",
    "driver": "programming drivers",
}
FEW = 6
"""Errors of up to this many layers are listed, with a plot each; of more, the range is given, and they share a plot."""


def part_title(name: str) -> str:
    """Return the readable name of a part of the chip that uses energy."""
    return _PARTS.get(name, name)


def product_costs(calibration: Mapping[str, Any]) -> tuple[str, str]:
    """Return the reads per product, and the part of the products that the digital core computes.

    Parameters
    ----------
    calibration : mapping
        A method's :class:`circuitmem.calibration.CalibrationRecord`; if it is of an older version and lacks
        ``digital_products``, both texts are empty.
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
    """Return rms errors of products in percent of the largest ideal one: layer by layer if few, else their range."""
    found = [100 * error["rmse"] for error in errors]
    if len(found) > FEW:
        return f"{min(found):.2f} % to {max(found):.2f} % ({len(found)} layers)"
    return ", ".join(f"{error:.2f} %" for error in found)
