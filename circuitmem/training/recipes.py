"""The methods of a comparison, by name: what each does to one and the same chip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["METHODS", "Recipe"]


@dataclass(frozen=True)
class Recipe:
    """The steps of one method, in the order in which they are taken.

    Attributes
    ----------
    title : str
        What a reader calls it.
    injects_defects : bool
        Go on training ex situ with random defects and noise of the declared statistics: hardware-aware training.
    finds_defects : bool
        Find stuck cells by one-hot reads at two levels.
    remaps : str
        Then place outputs (``"columns"``), or inputs too, so that the significant weights suffer least.
    compensates : bool
        Let the partner of a stuck device make up for it; otherwise such a pair is frozen whole.
    retrains : bool
        Then train the other weights off-line, frozen ones as they are.
    calibrate : bool
        Learn the corrections that ``calibration`` declares, or those of :attr:`calibration`.
    calibration : str, optional
        A calibration of its own.
    train : bool
        Train in situ.
    best : bool
        ... with what ``best`` declares.
    """

    title: str
    injects_defects: bool = False
    finds_defects: bool = False
    remaps: Literal["", "columns", "rows and columns"] = ""
    compensates: bool = False
    retrains: bool = False
    calibrate: bool = False
    calibration: str | None = None
    train: bool = False
    best: bool = False


METHODS = {
    "raw": Recipe("raw defective chip"),
    "calibration": Recipe("calibration only", calibrate=True),
    "in_situ": Recipe("in-situ only", train=True),
    "calibration_in_situ": Recipe("calibration + in-situ", calibrate=True, train=True),
    "schr": Recipe("SCHR", finds_defects=True, remaps="columns", retrains=True),
    "schr_device": Recipe("SCHR by device", finds_defects=True, remaps="columns", compensates=True, retrains=True),
    "hardware_aware": Recipe("hardware-aware ex situ", injects_defects=True),
    "batch_norm": Recipe("batch-norm only", calibrate=True, calibration="batch-norm"),
    "defect_subtract": Recipe("defects subtracted", calibrate=True, calibration="defect-subtract"),
    "compensation": Recipe("partner devices only", finds_defects=True, compensates=True),
    "remapping": Recipe("remapping + partners", finds_defects=True, remaps="rows and columns", compensates=True),
    "best": Recipe(
        "best",
        finds_defects=True,
        remaps="rows and columns",
        compensates=True,
        retrains=True,
        calibrate=True,
        train=True,
        best=True,
    ),
}
"""By the name that ``methods`` and a run's files have. Append only: the place of a method addresses random numbers."""
