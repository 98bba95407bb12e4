"""The gate-controlled two-pulse cell of Li et al. 2018: how a pulse changes a tile's devices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Address
from circuitmem._kernels.pulses import TwoPulseLaw, changes, reset_pulse, set_pulse
from circuitmem.config.device import TwoPulseSpec
from circuitmem.device.device import CellState, Device, PulseGroup
from circuitmem.rng import Purpose, stream

__all__ = ["TwoPulse"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]


class TwoPulse(Device):
    """Gate-controlled 1T1R cells (Li et al. 2018): a RESET for cells that shall fall, a SET at the wanted gate for all.

    Parameters are those of :class:`circuitmem.device.Device`.

    Attributes
    ----------
    law : TwoPulseLaw
        The nominal law, in the form that the kernels take (:mod:`circuitmem._kernels.pulses`).
    """

    Spec = TwoPulseSpec
    gated = True
    most = 1
    spec: TwoPulseSpec
    law: TwoPulseLaw

    def __init__(self, spec: TwoPulseSpec, shape: tuple[int, int], seed: int = 0, key: tuple[int, ...] = ()) -> None:
        super().__init__(spec, shape, seed, key)
        self._slope: Floats | None = None
        self.law = TwoPulseLaw(
            spec.minimum_conductance, spec.slope, spec.minimum_gate, spec.maximum_gate, spec.set_noise
        )

    @property
    def slope(self) -> Floats:
        """Conductance per gate voltage of each device, (rows, columns) S/V. Only the circuit may use it."""
        if self._slope is not None:
            return self._slope
        spread = stream(self.seed, Purpose.DEVICE, *self.key).standard_normal(self.shape)
        slope: Floats = self.spec.slope * np.maximum(1.0 + self.spec.slope_spread * spread, 0.1)
        self._slope = slope if self.keeps_slope else None
        return slope

    def keep_slope_in(self, place: Floats) -> None:
        """Keep the slope in an array of the caller from now on, (rows, columns): a part of a stack of tiles."""
        place[...] = self.slope
        self._slope = place

    def counts(self, wanted: Floats, present: Floats) -> tuple[Counts, Counts]:
        """Return one RESET for cells that must be lowered, and one SET for all that must change."""
        return (wanted < present).astype(np.int64), (wanted != present).astype(np.int64)

    def plan(self, wanted: Floats, asked: Floats, deadband: float) -> tuple[Counts, Counts]:
        """Return the same for changes beyond the dead band."""
        # Row after row, of one tile or of many.
        goal, now = (each.reshape(-1, each.shape[-1]) for each in (wanted, asked))
        masks = changes(goal, now, deadband)[:2]
        lowered, selected = (mask.reshape(wanted.shape).astype(np.int64) for mask in masks)
        return lowered, selected

    def again(self, lowered: Mask, selected: Mask, asked: Floats) -> tuple[Counts, Counts]:  # noqa: ARG002
        """Return a RESET for cells that were found to conduct too much, and a SET for all selected ones."""
        return lowered.astype(np.int64), selected.astype(np.int64)

    def after(self, pulse: PulseGroup, conductance: Floats, noise: Floats | None) -> Floats:
        """Return the conductances after a pulse [S]: the bottom of the range, or what the gate sets, with noise."""
        law = self.law
        if not pulse.is_set:
            return np.minimum(conductance, law.minimum_conductance)
        gate = law.minimum_gate + (pulse.wanted - law.minimum_conductance) / law.slope
        within = np.clip(gate, law.minimum_gate, law.maximum_gate) - law.minimum_gate
        slope = law.slope if noise is None else self.slope
        left = np.maximum(law.minimum_conductance + slope * within, conductance)
        return left if noise is None else left + law.noise * noise

    def give(self, pulse: PulseGroup, state: CellState, noise: Address) -> None:
        """Do the same as :meth:`Device.give`, in the kernels."""
        cells = state.conductance, state.effective, state.stuck, pulse.cells
        if pulse.is_set:
            set_pulse(*cells, pulse.wanted, state.asked, self.slope, self.law, noise)
        else:
            reset_pulse(*cells, self.law)
