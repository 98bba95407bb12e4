"""Devices known by statistics: programming leaves the target and an error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.config.law import law_values
from circuitmem.config.statistical import StatisticalSpec
from circuitmem.device.device import Device, PulseGroup

__all__ = ["Statistical"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Statistical(Device):
    """Devices for which only the result of programming is known: the target, and an error that depends on it.

    Parameters are those of :class:`circuitmem.device.Device`.
    """

    Spec = StatisticalSpec
    gated = True
    spec: StatisticalSpec

    @property
    def most(self) -> int:
        """One: it stands for all pulses of a sequence."""
        return 1

    def counts(self, wanted: Floats, present: Floats) -> tuple[Counts, Counts]:
        """Return one pulse for each cell that shall change."""
        return np.zeros(wanted.shape, dtype=np.int64), (wanted != present).astype(np.int64)

    def again(self, lowered: Mask, selected: Mask, asked: Floats) -> tuple[Counts, Counts]:  # noqa: ARG002
        """Return one pulse for each selected cell."""
        return np.zeros(selected.shape, dtype=np.int64), selected.astype(np.int64)

    def after(self, pulse: PulseGroup, conductance: Floats, noise: Floats | None) -> Floats:  # noqa: ARG002
        """Return the wanted conductances [S], with their error."""
        if noise is None:
            return pulse.wanted
        error = law_values(self.spec.programming_error, pulse.wanted, "chip.device.programming_error")
        return np.asarray(pulse.wanted + error * noise)
