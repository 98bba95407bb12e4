"""The cells of one tile in simulated time: what the last pulse left, and what time, reads and heat made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import ChipSpec
from circuitmem.config.quantity import LARGEST_CONDUCTANCE
from circuitmem.control.ledger import PICOSECOND
from circuitmem.errors import ValidationError
from circuitmem.rng import Purpose, stream

__all__ = ["Cells"]

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

_STATE = ("written", "written_at", "reads", "read_time", "_reads_then", "_time_then", "pulses")


class Cells:
    """What a tile's conductances depend on beside its pulses.

    A cell's conductance is that left by its last pulse, times a drift with the time since, times a disturb with the
    reads since, times a factor of the chip's temperature. The first two are what the next pulse finds; the last comes
    and goes.

    Parameters
    ----------
    spec : ChipSpec
        The chip.
    seed : int
        Seed of the fabrication.
    index : int
        Which tile.
    conductance : (rows, columns) ndarray
        As fabricated [S].

    Attributes
    ----------
    written : (rows, columns) ndarray
        What the last pulse left [S]; nan where cells neither move nor wear.
    written_at : (rows, columns) ndarray of int
        When [ps].
    reads, read_time : (rows,) ndarray of int
        How often each word line was driven by a read, and for how long [ps].
    pulses : (rows, columns) ndarray of int
        Pulses that each cell has had.
    endurance : (rows, columns) ndarray
        Pulses that each cell survives; ``inf`` if it is not declared.
    """

    def __init__(self, spec: ChipSpec, seed: int, index: int, conductance: Floats) -> None:
        shape = conductance.shape
        self.retention, self.heat = spec.retention, spec.temperature
        retention, wear = spec.retention, spec.endurance
        self.drifts = retention.drift_exponent != 0.0
        self.disturbed = retention.read_disturb != 0.0 or retention.read_disturb_rate != 0.0
        self.warms = spec.temperature.coefficient != 0.0
        self.moves = self.drifts or self.disturbed or self.warms
        self.wears = wear.pulses is not None
        self.reads: Times = np.zeros(shape[0], dtype=np.int64)
        self.read_time: Times = np.zeros(shape[0], dtype=np.int64)
        # Cells that stay as they are have one number for all: a large chip has no room for arrays that say nothing.
        nothing: Times = np.broadcast_to(np.int64(0), shape)
        self.written = conductance.copy() if self.moves or self.wears else np.broadcast_to(np.nan, shape)
        self.written_at = self._reads_then = self._time_then = self.pulses = nothing
        self.exponent = np.broadcast_to(retention.drift_exponent, shape)
        if self.drifts and retention.drift_spread > 0.0:
            spread = stream(seed, Purpose.RETENTION, index).standard_normal(shape)
            self.exponent = retention.drift_exponent * (1.0 + retention.drift_spread * spread)
        self.endurance = np.broadcast_to(np.inf, shape)
        if wear.pulses is not None:
            self.endurance = wear.pulses * stream(seed, Purpose.ENDURANCE, index).weibull(wear.shape, shape)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what changes while the chip works, for a checkpoint; nothing if nothing here does."""
        return {name: getattr(self, name) for name in _STATE} if self.moves or self.wears else {}

    def restore(self, state: Mapping[str, NDArray[Any]], conductance: Floats, now: int) -> None:
        """Go back to what :meth:`state` returned; if nothing, age from ``now`` [ps] with ``conductance`` [S] on."""
        if self.moves or self.wears:
            self.written = conductance.copy()
            self.written_at = np.full(conductance.shape, now)
        for name, array in state.items():
            setattr(self, name, array)

    def found(self, when: int | Times) -> Floats:
        """Return what a pulse finds at ``when`` [ps], (rows, columns) S.

        Raises
        ------
        ValidationError
            If drift or reading has made a cell conduct more than any declared device may: both laws grow for ever.
        """
        conductance = self.written
        with np.errstate(over="ignore", invalid="ignore"):
            if self.drifts:
                age = (when - self.written_at) * PICOSECOND
                conductance = conductance * (1.0 + age / self.retention.drift_time) ** -self.exponent
                self._check_bound(conductance, "drift_exponent")
            if self.disturbed:
                reads = self.reads[:, None] - self._reads_then
                time = (self.read_time[:, None] - self._time_then) * PICOSECOND
                by_reads, by_time = self.retention.read_disturb * reads, self.retention.read_disturb_rate * time
                conductance = conductance * np.exp(by_reads + by_time)
                more = "read_disturb" if np.max(by_reads) >= np.max(by_time) else "read_disturb_rate"
                self._check_bound(conductance, more)
        return conductance

    def _check_bound(self, conductance: Floats, name: str) -> None:
        if not np.all(conductance <= LARGEST_CONDUCTANCE):  # 0 S times infinity is no number
            rule = f"must be nearer to 0: it has made cells conduct more than {LARGEST_CONDUCTANCE:g} S"
            raise ValidationError(f"chip.retention.{name}", rule, getattr(self.retention, name))

    def present(self, when: int | Times) -> Floats:
        """Return what a read meets at ``when`` [ps], (rows, columns) S."""
        return self.found(when) * self.factor(when) if self.warms else self.found(when)

    def factor(self, when: int | Times) -> float | Floats:
        """Return what the chip's temperature at ``when`` [ps] multiplies conductances by."""
        times, kelvins = zip(*self.heat.profile, strict=True)
        kelvin = np.interp(np.asarray(when) * PICOSECOND, times, kelvins)
        return np.asarray(1.0 + self.heat.coefficient * (kelvin - self.heat.reference))

    def put(self, cells: NDArray[np.bool_], conductance: Floats, when: int | Times) -> None:
        """Note that ``cells`` were put at ``conductance`` [S] at ``when`` [ps]: they age from there."""
        if not (self.moves or self.wears):
            return
        self.written = np.where(cells, conductance, self.written)
        self.written_at = np.where(cells, when, self.written_at)
        self._reads_then = np.where(cells, self.reads[:, None], self._reads_then)
        self._time_then = np.where(cells, self.read_time[:, None], self._time_then)

    def write(self, cells: NDArray[np.bool_], conductance: Floats, when: Times) -> NDArray[np.bool_]:
        """Note that pulses left ``conductance`` [S] in ``cells`` at ``when`` [ps]; returns which broke by them."""
        self.put(cells, conductance, when)
        before = self.pulses
        self.pulses = before + cells
        return np.asarray((self.pulses >= self.endurance) & (before < self.endurance))

    def read(self, driven: Times, time: int) -> None:
        """Note that each word line was driven by so many reads, (rows,), of ``time`` ps each."""
        self.reads = self.reads + driven
        self.read_time = self.read_time + driven * time
