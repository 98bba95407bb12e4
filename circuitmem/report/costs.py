"""What each product costs from now on, and how right it is, as the cells of tables and in sentences."""

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
"""Errors of so many layers are listed, or have a plot each; of more the range is said, and they share a plot."""


def part_title(name: str) -> str:
    """Return what a reader calls a part of the chip that uses energy."""
    return _PARTS.get(name, name)


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
    """Return the errors of products, root mean square, in percent of the largest ideal one: layer by layer, if few."""
    found = [100 * error["rmse"] for error in errors]
    if len(found) > FEW:
        return f"{min(found):.2f} % to {max(found):.2f} % ({len(found)} layers)"
    return ", ".join(f"{error:.2f} %" for error in found)
