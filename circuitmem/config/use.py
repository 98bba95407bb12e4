"""The declared use of a finished chip: how long it rests, and its upkeep in this time."""

from __future__ import annotations

from typing import Literal

import pydantic

from circuitmem.config.base import Spec
from circuitmem.config.quantity import LATEST, Period

__all__ = ["UseSpec"]


class UseSpec(Spec):
    """The ages at which a chip is tested at the end, and its upkeep until then; by default it is tested at once.

    Parameters
    ----------
    after : float
        Time from the end of the method to the test [s], from 0 to 1e9.
    check_every : float, optional
        Time from one drift check to the next [s], > 0; no checks if left out.
    correction : {"affine", "global-scale"}
        What a calibration after a check fits: a line for each column, or one factor for each layer.
    limit : float
        A layer is calibrated again when its answers to the check's inputs have changed by more than this, relative to
        their root mean square, >= 0.
    vectors : int
        Inputs of a check, >= 2; a calibration of each column takes ten times as many.
    refresh_every : float, optional
        Time from one refresh to the next [s], > 0: cells that have left the programming tolerance are written again. No
        refreshes if left out.
    """

    after: float = pydantic.Field(default=0.0, ge=0.0, le=LATEST)
    check_every: Period | None = None
    correction: Literal["affine", "global-scale"] = "affine"
    limit: float = pydantic.Field(default=0.0, ge=0.0)
    vectors: int = pydantic.Field(default=8, ge=2)
    refresh_every: Period | None = None
