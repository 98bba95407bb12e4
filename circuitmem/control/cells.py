"""The cells of one tile in simulated time: conductances after the last pulse, changed by time, reads and heat."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import ChipSpec
from circuitmem.config.law import law_values
from circuitmem.control.aging import Aging
from circuitmem.control.ledger import PICOSECOND, on_clock
from circuitmem.device.flicker import flicker
from circuitmem.rng import Purpose, stream, stream_key

__all__ = ["CellHistory"]

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
"""Durations [ps]. Times on the clock can exceed 64 bits and are float64: exact for 2.5 hours, then to 1e-16 of them."""

_STATE = ("written", "written_at", "reads", "read_time", "_reads_then", "_time_then", "pulses")


class CellHistory:
    """What a tile's conductances depend on besides its pulses.

    A cell's conductance is the one that its last pulse left, times a drift factor for the time since, times a disturb
    factor for the reads since, times a factor for the chip's temperature, times a noise factor. The next pulse finds
    drift and disturb; temperature and noise come and go. Parameters that depend on a cell's conductance are evaluated
    at the conductance that the last pulse left.

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
    written_at : (rows, columns) ndarray
        When the last pulse left it [ps].
    reads, read_time : (rows,) ndarray of int
        How often each word line was driven by a read, and for how long [ps].
    pulses : (rows, columns) ndarray of int
        Pulses that each cell has had.
    endurance : (rows, columns) ndarray
        Pulses that each cell survives; ``inf`` if it is not declared.
    """

    def __init__(self, spec: ChipSpec, seed: int, index: int, conductance: Floats) -> None:
        shape = conductance.shape
        self.aging = aging = Aging(spec)
        self._index = index
        self.drifts, self.flickers, self.disturbed = aging.drifts, aging.flickers, aging.disturbed
        self.warms, self.moves, self.wears = aging.warms, aging.moves, aging.wears
        self.reads: Times = np.zeros(shape[0], dtype=np.int64)
        self.read_time: Times = np.zeros(shape[0], dtype=np.int64)
        # Cells that do not change share one number: a large chip has no memory to spare for constant arrays.
        nothing: Times = np.broadcast_to(np.int64(0), shape)
        self.written = conductance.copy() if self.moves or self.wears else np.broadcast_to(np.nan, shape)
        self._reads_then = self._time_then = self.pulses = nothing
        self.written_at = np.broadcast_to(0.0, shape)
        self.spread: Floats | None = None
        if aging.spreads:
            self.spread = stream(seed, Purpose.RETENTION, index).standard_normal(shape)
        self._laws: tuple[Floats, float | Floats, float | Floats] | None = None
        self._phase: tuple[int, Floats] | None = None
        self.endurance = np.broadcast_to(np.inf, shape)
        wear = spec.endurance
        if wear.pulses is not None:
            self.endurance = wear.pulses * stream(seed, Purpose.ENDURANCE, index).weibull(wear.shape, shape)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what changes while the chip works, for a checkpoint; empty if nothing here changes."""
        return {name: getattr(self, name) for name in _STATE} if self.moves or self.wears else {}

    def restore(self, state: Mapping[str, NDArray[Any]], conductance: Floats, now: int) -> None:
        """Go back to what :meth:`state` returned; if that is empty, age from ``conductance`` [S] at ``now`` [ps]."""
        if self.moves or self.wears:
            self.written = conductance.copy()
            self.written_at = np.full(conductance.shape, float(now))
        for name, array in state.items():
            setattr(self, name, array)

    @property
    def history(self) -> tuple[Floats, Floats, Times, Times]:
        """Arrays that :meth:`present` depends on; a change replaces an array and never writes into it."""
        return self.written, self.written_at, self.reads, self.read_time

    @property
    def exponent(self) -> float | Floats:
        """Exponent of each cell's drift, (rows, columns); one for all if it is the same."""
        return self._of_what_was_left()[1]

    def known_exponent(self) -> float | Floats | None:
        """Return :attr:`exponent` if it has been computed already, else None."""
        return self._laws[1] if self._laws is not None and self._laws[0] is self.written else None

    def _of_what_was_left(self) -> tuple[Floats, float | Floats, float | Floats]:
        """Return what the last pulses left, exponents of drift, and amplitudes of noise, (rows, columns)."""
        if self._laws is None or self._laws[0] is not self.written:
            left, aging = self.written, self.aging
            flicker = law_values(aging.noise.flicker, left, "chip.noise.flicker")
            self._laws = left, aging.exponent(left, self.spread), flicker
        return self._laws

    def found(self, when: int | Floats) -> Floats:
        """Return the conductances that a pulse finds at ``when`` [ps], (rows, columns) S.

        Raises
        ------
        ValidationError
            If drift or reads have made a cell conduct more than any declared device may: both laws grow without bound.
        """
        conductance = self.written
        if self.drifts:
            conductance = self.aging.drifted(conductance, when - self.written_at, self.exponent)
        if self.disturbed:
            conductance = self.aging.read_out(conductance, *self.since_pulse())
        return conductance

    def since_pulse(self) -> tuple[Times, Times]:
        """Return reads of each cell's word line since its last pulse, and their time [ps], (rows, columns) both."""
        return self.reads[:, None] - self._reads_then, self.read_time[:, None] - self._time_then

    def present(self, when: int, noise_seed: int | None) -> Floats:
        """Return the conductances that a read sees at ``when`` [ps], (rows, columns) S; without a seed, no noise."""
        conductance = self.found(when)
        if self.warms:
            conductance = conductance * self.factor(when)
        if self.flickers and noise_seed is not None:
            amplitude = self._of_what_was_left()[2]
            conductance = conductance * np.maximum(1.0 + amplitude * self._flicker(when, noise_seed), 0.0)
        return conductance

    def _flicker(self, when: int, seed: int) -> Floats:
        """Return the 1/f noise at ``when`` [ps] for an amplitude of 1, (rows, columns)."""
        if self._phase is None or self._phase[0] != seed:
            self._phase = seed, stream(seed, Purpose.FLICKER, self._index).random(self.written.shape)
        age = (float(when) - self.written_at) * PICOSECOND
        key = partial(stream_key, seed, Purpose.FLICKER, self._index)
        return flicker(key, when, age, self._phase[1], self.aging.noise.flicker_time)

    def factor(self, when: int | Floats) -> float | Floats:
        """Return the factor by which the chip's temperature at ``when`` [ps] changes conductances."""
        return self.aging.factor(when)

    def put(self, cells: NDArray[np.bool_], conductance: Floats, when: int | Floats) -> None:
        """Note that ``cells`` were set to ``conductance`` [S] at ``when`` [ps]: they age from there."""
        if not (self.moves or self.wears):
            return
        self.written = np.where(cells, conductance, self.written)
        self.written_at = np.where(cells, np.asarray(when, dtype=np.float64), self.written_at)
        self._reads_then = np.where(cells, self.reads[:, None], self._reads_then)
        self._time_then = np.where(cells, self.read_time[:, None], self._time_then)

    def write(self, cells: NDArray[np.bool_], conductance: Floats, when: Floats) -> NDArray[np.bool_]:
        """Note that pulses left ``conductance`` [S] in ``cells`` at ``when`` [ps]; returns which cells wore out."""
        self.put(cells, conductance, when)
        before = self.pulses
        self.pulses = before + cells
        return np.asarray((self.pulses >= self.endurance) & (before < self.endurance))

    def take(self, pulses: Times, written: Floats, written_at: Floats) -> None:
        """Take over the results of many pulses: each cell's number of pulses, last conductance [S] and its time [ps].

        All are (rows, columns), as :meth:`write` would have noted them pulse by pulse; a cell without a pulse has its
        old values.
        """
        cells = pulses > 0
        self.written, self.written_at = written, written_at
        self._reads_then = np.where(cells, self.reads[:, None], self._reads_then)
        self._time_then = np.where(cells, self.read_time[:, None], self._time_then)
        self.pulses = self.pulses + pulses

    def read(self, driven: Times, time: int) -> None:
        """Note that each word line was driven by so many reads, (rows,), of ``time`` ps each."""
        on_clock(int(self.read_time.max()) + int(driven.max(initial=0)) * time, 0)
        self.reads = self.reads + driven
        self.read_time = self.read_time + driven * time
