"""The methods of a comparison, by name: what each does to one and the same chip."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["METHODS", "Recipe"]


@dataclass(frozen=True)
class Recipe:
    """The steps of one method, in the order in which they are taken.

    Attributes
    ----------
    title : str
        What a reader calls it.
    calibrate : bool
        Learn the corrections that ``calibration`` declares.
    train : bool
        Train in situ.
    """

    title: str
    calibrate: bool = False
    train: bool = False


METHODS = {
    "raw": Recipe("raw defective chip"),
    "calibration": Recipe("calibration only", calibrate=True),
    "in_situ": Recipe("in-situ only", train=True),
    "calibration_in_situ": Recipe("calibration + in-situ", calibrate=True, train=True),
}
"""By the name that ``methods`` and a run's files have."""
