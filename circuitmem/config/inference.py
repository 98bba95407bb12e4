"""The declared load of a chip that is in use: requests, and what runs in the background."""

from __future__ import annotations

from typing import Literal

import pydantic

from circuitmem.config.base import Spec
from circuitmem.config.quantity import Duration, Period

__all__ = ["InferenceSpec"]


class InferenceSpec(Spec):
    """A stream of requests at random times (Poisson), with drift checks and refreshes in the background.

    Parameters
    ----------
    rate : float
        Requests per second of simulated time [1/s], > 0.
    duration : float
        Time during which requests arrive [s], > 0; requests under way at its end are finished.
    queue : int
        Most requests on the chip at once, >= 1; one that arrives when the chip is full is refused.
    check_every : float, optional
        Time from one drift check to the next [s], > 0; no checks if left out.
    limit : float
        The chip is calibrated again when its answers to the check's inputs have changed by more than this, relative to
        their root mean square, > 0.
    correction : {"affine", "global-scale"}
        What a calibration fits: a line for each column, or one factor for each layer.
    vectors : int
        Inputs of a check, >= 2; a calibration of each column takes ten times as many.
    refresh_every : float, optional
        Time from one refresh to the next [s], > 0: cells that have left the programming tolerance are written again. No
        refreshes if left out.
    seed : int
        Seed of the arrivals and of the noise, >= 0.
    reuse_error : float
        As in a run's configuration.
    """

    rate: float = pydantic.Field(default=1e5, ge=1e-6, le=1e12)
    duration: Duration = 1e-3
    queue: int = pydantic.Field(default=64, ge=1)
    check_every: Period | None = None
    limit: float = pydantic.Field(default=0.02, gt=0.0)
    correction: Literal["affine", "global-scale"] = "affine"
    vectors: int = pydantic.Field(default=8, ge=2)
    refresh_every: Period | None = None
    seed: int = pydantic.Field(default=1, ge=0)
    reuse_error: float = pydantic.Field(default=4e-4, ge=0.0, le=0.1)
