"""Programming of consecutive tiles at once: what :mod:`circuitmem.control.pulses` does, in a few calls for all tiles.

It is for tiles whose rows are driven one at a time, and on which pulses can break nothing but cells: then the pulses of
a tile do not depend on those of another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Addresses
from circuitmem._kernels.stack_pulses import Amplitudes, wanted_conductances
from circuitmem.control.context import Context
from circuitmem.control.operations import OPERATIONS, polarities
from circuitmem.control.programming import Conductances, PairTargets, Programming
from circuitmem.control.state import ChipState
from circuitmem.control.unit import Unit
from circuitmem.device import Device
from circuitmem.device.rows import plan_row
from circuitmem.rng import Purpose

__all__ = ["CountedStack", "PulseStack"]

PIECE = 1 << 20
"""Cells that are planned at once. The targets of a large chip would take as much memory as its state: instead they are
computed twice, piece by piece."""

BLOCK = 1 << 15
"""Cells of a piece that NumPy works on at once: so many fit into a processor's cache."""

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class PulseStack(ABC):
    """The planned pulses of consecutive tiles; a subclass is for one kind of device.

    Parameters
    ----------
    context : Context
        What it needs of its chip.
    job : Programming
        What is asked of the tiles: a job that :meth:`can_take` accepts.

    Attributes
    ----------
    steps : (2, tiles) ndarray of int
        Row pulses that each tile gets, RESETs and SETs.
    pulses : (2, tiles) ndarray of int
        Cell pulses that each tile gets, RESETs and SETs.
    """

    devices: ClassVar[type[Device]]
    """Class of the devices that get such pulses; a user's class that derives from it may behave differently."""
    begins: Sequence[int]
    """When the pulses of each tile begin [ps]."""

    def __init__(self, context: Context, job: Programming) -> None:
        self.context, self.job = context, job
        state = context.electrics.state
        part = None if state is None else state.part(job.units)
        assert state is not None
        assert part is not None
        self.state: ChipState = state
        self.part = part
        self.kinds = polarities(job.kind)
        self.steps = np.empty((2, len(job.units)), dtype=np.int64)
        self.pulses = np.empty_like(self.steps)
        for piece in self._pieces():
            self.steps[:, piece], self.pulses[:, piece] = self._count(piece)

    @classmethod
    def can_take(cls, context: Context, job: Programming) -> bool:
        """Say whether the pulses of a job can be given at once."""
        state, units = context.electrics.state, job.units
        first = units[0] if units else None
        if first is None or state is None or state.part(units) is None or first.spec.programming.by_cell:
            return False
        if first.spec.packed and job.counts is None:  # a layer has targets for some cells only
            return False
        plain = context.electrics.pulses_are_ladders and first.spec.tile.cell.is_plain and cls._knows(first)
        return plain and not (first.spec.faults and any(unit.fragile for unit in units))

    @classmethod
    def _knows(cls, unit: Unit) -> bool:
        """Say whether it knows what pulses do to the cells of a tile."""
        return type(unit.devices) is cls.devices and not (unit.cells.moves or unit.cells.wears)

    @staticmethod
    def longest(job: Programming) -> int:
        """Return an upper bound of the duration [ps] of a job with targets; one with ``counts`` may exceed it."""
        spec = job.units[0].spec
        beats = sum(OPERATIONS[each].beat(spec) for each in polarities(job.kind))
        return sum(unit.devices.most for unit in job.units) * spec.tile.rows * beats

    @abstractmethod
    def wanted(self, place: int) -> Floats | None:
        """Return the target of one of the tiles, (rows, columns) S; None if the job gives numbers of pulses."""

    @abstractmethod
    def _count(self, piece: slice) -> tuple[Counts, Counts]:
        """Return the numbers of row pulses and of cell pulses of each tile of a piece, (2, tiles) both."""

    @abstractmethod
    def _pulse(self, piece: slice, tiles: Counts, noise: Addresses) -> tuple[list[int], list[int]]:
        """Give some tiles of a piece their pulses; returns the energies of RESETs and SETs on each tile of it [aJ]."""

    def durations(self) -> list[int]:
        """Return how long the pulses of each tile take [ps]."""
        reset, each = self._times
        return [resets * reset + sets * each for resets, sets in zip(*self.steps.tolist(), strict=True)]

    def give(self, left_out: Sequence[int], begins: Sequence[int]) -> list[int]:
        """Give and book the pulses, except on the tiles at the places ``left_out``; returns each tile's cell pulses.

        ``begins`` is when the pulses of each tile begin [ps].
        """
        units, self.begins = self.job.units, begins
        self.steps[:, left_out] = 0
        self.pulses[:, left_out] = 0
        some = np.flatnonzero(self.steps.any(axis=0))
        keys, operations = self.state.noise_of(self.part, Purpose.PULSE_NOISE, self.context.noise_seed)
        counts, changes = self.state.counts[self.part], self.state.changes[self.part]
        counts[some, 1] += 1
        counts[some, 2] += self.steps[:, some].sum(axis=0)
        if not units[0].cells.moves:  # else the next read updates the tiles
            changes[some, 0] += 1
        energy = np.zeros((2, len(units)), dtype=object)
        for piece in self._pieces():
            own = some[(some >= piece.start) & (some < piece.stop)]
            if own.size:
                noise = Addresses(keys[piece], operations[piece])
                energy[:, piece] = self._pulse(piece, own - piece.start, noise)
        for is_set, array in enumerate(energy):
            self._book(is_set, array)
        return list(self.pulses.sum(axis=0).tolist())

    def _book(self, is_set: int, array: NDArray[np.object_]) -> None:
        """Book the pulses of one polarity on the tiles that had any; ``array`` is their energy on each tile [aJ]."""
        some = np.flatnonzero(self.steps[is_set])
        if not some.size:
            return
        energy, time = self.job.units[0].stroke_energy, self._times[is_set]
        rows = self.steps[is_set, some].tolist()
        self.context.ledger.add_all(
            self.kinds[is_set],
            some + self.part.start,
            operations=rows,
            busy=[count * time for count in rows],
            energy={"array": array[some].tolist(), "driver": [count * energy for count in rows]},
            pulses=self.pulses[is_set, some],
            phase=self.context.clock.phase,
        )

    @property
    def _times(self) -> tuple[int, int]:
        """How long a RESET and a SET take [ps]."""
        reset, each = (OPERATIONS[kind].beat(self.job.units[0].spec) for kind in self.kinds)
        return reset, each

    @property
    def _amplitudes(self) -> Amplitudes:
        device = self.job.units[0].spec.device
        return Amplitudes(device.reset_voltage, device.set_voltage)

    @property
    def _threads(self) -> int | None:
        return self.context.electrics.behavioral.threads

    def _pieces(self) -> list[slice]:
        """Return the pieces of the job, slices of tiles that are planned at once."""
        return self._split(len(self.job.units), PIECE)

    def _split(self, tiles: int, cells: int) -> list[slice]:
        """Split so many tiles into slices of at most ``cells`` cells each, or of one tile."""
        tile = self.job.units[0].spec.tile
        step = max(1, cells // (tile.rows * tile.columns))
        return [slice(first, min(first + step, tiles)) for first in range(0, tiles, step)]

    def _piece_of(self, place: int) -> slice:
        (piece,) = (each for each in self._pieces() if each.start <= place < each.stop)
        return piece

    def _own(self, piece: slice) -> slice:
        """Return where a piece lies in the stacks of the chip."""
        return slice(self.part.start + piece.start, self.part.start + piece.stop)

    def _goal(self, piece: slice) -> Floats | list[PairTargets | Conductances]:
        """Return the targets of the tiles of a piece: conductances (tiles, rows, columns) [S], or layers."""
        layers = self.job.layers
        if layers is None:
            return np.ascontiguousarray(self.job.wanted[piece], dtype=np.float64)
        found: list[PairTargets | Conductances] = []
        begin = 0
        for layer in layers:
            own = slice(max(piece.start - begin, 0), min(piece.stop - begin, layer.tiles))
            begin += layer.tiles
            if own.start < own.stop:
                found.append(layer.part(own))
        return found


class _Plan(NamedTuple):
    wanted: Floats | None
    """Target of each cell, (tiles, rows, columns) S; None if the job gives numbers of pulses."""
    pulses: Counts
    """How many pulses each cell gets, (2, tiles, rows, columns): down, up."""


class CountedStack(PulseStack):
    """Pulses down and up for each cell: as many as it needs by what the digital core knows, or as the job gives it."""

    numbers: ClassVar[type[np.integer[Any]]] = np.int64
    """Integer type of the planned numbers of pulses."""

    def __init__(self, context: Context, job: Programming) -> None:
        self._plan = lru_cache(maxsize=1)(self._plan_piece)
        super().__init__(context, job)

    def _plan_piece(self, first: int, end: int) -> _Plan:
        piece, job = slice(first, end), self.job
        if job.counts is not None:
            counts = np.array([np.asarray(own, dtype=np.int64) for own in job.counts[piece]])
            return _Plan(None, np.ascontiguousarray(np.swapaxes(counts, 0, 1)))
        goal, asked = self._goal(piece), self.state.asked[self._own(piece)]
        wanted = goal if isinstance(goal, np.ndarray) else wanted_conductances(goal, asked, threads=self._threads)
        devices, pulses = [unit.devices for unit in job.units[piece]], np.empty((2, *wanted.shape), self.numbers)
        for block in self._split(len(wanted), BLOCK):
            pulses[:, block] = plan_row(devices[block], wanted[block], asked[block], job.deadband)
        return _Plan(wanted, pulses)

    def wanted(self, place: int) -> Floats | None:
        """Return the target of one of the tiles, (rows, columns) S; None if the job gives numbers of pulses."""
        piece = self._piece_of(place)
        wanted = self._plan(piece.start, piece.stop).wanted
        return None if wanted is None else np.asarray(wanted[place - piece.start])

    def _count(self, piece: slice) -> tuple[Counts, Counts]:
        pulses = self._plan(piece.start, piece.stop).pulses
        return pulses.max(axis=3).sum(axis=2, dtype=np.int64), pulses.sum(axis=(2, 3), dtype=np.int64)

    def _given(self, piece: slice, tiles: Counts) -> Counts:
        """Return the pulses of each cell of a piece, (2, tiles, rows, columns), if only some ``tiles`` get theirs."""
        pulses = self._plan(piece.start, piece.stop).pulses
        if len(tiles) == pulses.shape[1]:
            return pulses
        given = np.zeros_like(pulses)
        given[:, tiles] = pulses[:, tiles]
        return given
