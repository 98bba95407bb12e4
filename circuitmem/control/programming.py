"""How each kind of device is programmed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.control.arbiter import Priority
from circuitmem.control.context import Context
from circuitmem.control.counts import CountTrain
from circuitmem.control.pulses import PulseTrain
from circuitmem.control.two_pulse import TwoPulseTrain
from circuitmem.control.unit import Unit

__all__ = ["programming_train"]

_TRAINS: dict[str, type[PulseTrain]] = {"two-pulse": TwoPulseTrain, "pulse-update": CountTrain}


def programming_train(
    context: Context,
    unit: Unit,
    wanted: NDArray[np.float64] | None,
    deadband: float,
    kind: str,
    priority: Priority,
    cells: tuple[NDArray[np.bool_], NDArray[np.bool_]] | None = None,
) -> PulseTrain:
    """Return the train that programs a tile; arguments as in :class:`circuitmem.control.pulses.PulseTrain`."""
    return _TRAINS[unit.spec.device.kind](context, unit, wanted, deadband, kind, priority, cells)
