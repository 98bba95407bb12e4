"""Two-pulse programming as a train of beats."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Address
from circuitmem._kernels.pulses import changes, reset_pulse, set_pulse
from circuitmem.control.arbiter import Priority
from circuitmem.control.ledger import PICOSECOND, attojoules
from circuitmem.control.operations import OPERATIONS
from circuitmem.control.trains import TileTrain

if TYPE_CHECKING:
    from circuitmem.control.chip import Chip
    from circuitmem.control.unit import Unit

__all__ = ["PulseTrain"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Places = NDArray[np.intp]


class Strokes(NamedTuple):
    """The pulses of one polarity: to which rows, or to which cells, in which beats, rising."""

    cells: Mask
    """All cells that get one, (rows, columns)."""
    rows: Places
    columns: Places | None
    """None where whole rows get their pulse."""
    beats: Places


class PulseTrain(TileTrain):
    """Two-pulse programming of the cells of one tile that shall change by more than ``deadband``.

    Row after row (several at once, or cell after cell, if so declared): one RESET pulse for the cells that shall fall,
    one SET pulse for those and for the cells that shall rise, each cell's gate at the voltage for its wanted
    conductance. Which cells these are is decided when the train begins. Stuck cells get pulses like the others.

    Parameters
    ----------
    chip : Chip
        The chip.
    unit : Unit
        The tile.
    wanted : (rows, columns) ndarray, optional
        Wanted conductance [S]; what was last asked for when left out, which also holds after an interruption.
    deadband : float
        Changes up to this are not worth a pulse [S].
    kind : str
        A key of ``OPERATIONS``: that of the SET pulses.
    priority : Priority
        Its priority.
    cells : tuple of (rows, columns) ndarray of bool, optional
        Cells that get a RESET, and cells that get a SET, whatever was asked of them.
    """

    def __init__(
        self,
        chip: Chip,
        unit: Unit,
        wanted: Floats | None,
        deadband: float,
        kind: str,
        priority: Priority,
        cells: tuple[Mask, Mask] | None = None,
    ) -> None:
        super().__init__(chip, unit, kind, (), priority)
        self.given = wanted
        self.wanted = unit.asked if wanted is None else wanted
        self.deadband = deadband
        self.cells = cells
        self.strokes: tuple[Strokes, Strokes] | None = None
        self.noise: Address | None = None
        self.pulses_given = 0
        self.kinds = kind.replace("set", "reset", 1), kind

    def begin(self, now: int) -> None:  # noqa: ARG002
        """Decide which pulses to give, the first time."""
        if self.given is None:
            self.wanted = self.unit.asked
        if self.strokes is None:
            self.strokes = self._plan()

    def _plan(self) -> tuple[Strokes, Strokes]:
        """List the pulses of both polarities, and when the beats end."""
        unit, programming = self.unit, self.unit.spec.programming
        if self.cells is None:
            lowered, selected, counts = changes(self.wanted, unit.asked, self.deadband)
        else:
            lowered, selected = self.cells
            counts = np.array([lowered.sum(axis=1), selected.sum(axis=1)])
        if counts[1].any():
            self.noise = unit.next_update(self.chip.noise_seed)
        columns: Places | None = None
        if programming.by_cell:
            rows, columns = np.nonzero(selected)
            falls = lowered[rows, columns]
        else:
            rows = np.flatnonzero(counts[1])
            falls = counts[0, rows] > 0
        groups, falling = np.arange(len(rows)), falls
        if programming.rows_at_once > 1:
            groups //= programming.rows_at_once
            falling = np.zeros(groups[-1] + 1 if len(rows) else 0, dtype=bool)
            np.logical_or.at(falling, groups, falls)
        # Group g begins with a RESET beat if it has falling cells; its SET beat follows.
        set_beat = np.arange(len(falling)) + np.cumsum(falling)
        reset_time, set_time = (OPERATIONS[kind].beat(unit.spec) for kind in self.kinds)
        times = np.full(len(falling) + np.count_nonzero(falling), reset_time)
        times[set_beat] = set_time
        self._end_times = np.cumsum(times)
        self.ends = self._end_times.tolist()
        beats = set_beat[groups]
        return (
            Strokes(lowered, rows[falls], None if columns is None else columns[falls], beats[falls] - 1),
            Strokes(selected, rows, columns, beats),
        )

    def notice(self, now: int) -> None:
        """Pulses meet the tile as it is when they end: nothing is to be done again."""

    def settle(self, beats: int) -> None:
        """Let the pulses up to ``beats`` have their effect; what breaks by the number of pulses breaks in between."""
        unit = self.unit
        while self.done < beats:
            stop = beats
            if unit.fragile:
                stop = min(beats, self.done + max(unit.fragile[0][0] - unit.pulses, 1))
            first, self.done = self.done, stop
            unit.pulses += stop - first
            if self.chip.traced and self.chip.granularity == "pulse":
                for beat in range(first, stop):
                    self._apply(beat, beat + 1)
            else:
                self._apply(first, stop)
            while unit.fragile and unit.fragile[0][0] <= unit.pulses:
                self.chip.damage(unit, unit.fragile.pop(0)[1])

    def _apply(self, first: int, last: int) -> None:
        """Give the pulses of some beats: all RESETs, then all SETs; those of one cell are in this order anyway."""
        assert self.strokes is not None
        for is_set, strokes in enumerate(self.strokes):
            if first > 0 or last < len(self.ends):
                strokes = _between(strokes, first, last)
            if len(strokes.rows):
                self._pulse(bool(is_set), strokes)

    def _pulse(self, is_set: bool, strokes: Strokes) -> None:
        """Give pulses of one polarity."""
        unit, device = self.unit, self.unit.spec.device
        voltage = device.set_voltage if is_set else device.reset_voltage
        if not (unit.cells.moves or unit.cells.wears):
            # A SET's current is limited to what it leaves; a RESET's flows through what it finds.
            if is_set:
                self._change(is_set, strokes.cells, *unit.tile.change())
            array = self._energy(is_set, strokes, unit.tile.effective_conductance, voltage)
            if not is_set:
                self._change(is_set, strokes.cells, *unit.tile.change())
            self._book(is_set, strokes, array)
            return
        when = self._when(strokes)
        found = unit.cells.found(when) if unit.cells.moves else unit.tile.conductance
        before, left = unit.tile.defects.conductance(found.copy()), found.copy()
        self._change(is_set, strokes.cells, left, left)
        if not unit.cells.moves:
            unit.tile.program(left)
        worn = unit.cells.write(strokes.cells, left, when)
        if worn.any():
            self.chip.wear_out(unit, worn, left)
        driven = unit.tile.defects.conductance(left) if is_set else before
        if unit.cells.warms:
            driven = driven * unit.cells.factor(when)
        self._book(is_set, strokes, self._energy(is_set, strokes, driven, voltage))

    def _change(self, is_set: bool, cells: Mask, conductance: Floats, effective: Floats) -> None:
        unit, law = self.unit, self.unit.devices.law
        if not is_set:
            reset_pulse(conductance, effective, unit.tile.stuck, cells, law)
            return
        assert self.noise is not None
        state = conductance, effective, unit.tile.stuck, cells
        set_pulse(*state, self.wanted, unit.asked, unit.devices.slope, law, self.noise)

    def _when(self, strokes: Strokes) -> NDArray[np.int64]:
        """Return when each cell's pulse ends [ps], (rows, columns)."""
        ends = self.origin + self._end_times[strokes.beats]
        when = np.full(strokes.cells.shape, ends.max())
        if strokes.columns is None:
            when[strokes.rows] = ends[:, None]
        else:
            when[strokes.rows, strokes.columns] = ends
        return when

    def _energy(self, is_set: bool, strokes: Strokes, conductance: Floats, voltage: float) -> int:
        """Return what the pulses take from the array's drivers [aJ]."""
        time = OPERATIONS[self.kinds[is_set]].beat(self.unit.spec) * PICOSECOND
        unit = self.unit
        if unit.spec.programming.rows_at_once > 1:
            energy = 0
            for group in _apart(strokes.beats):
                driven = np.zeros_like(strokes.cells)
                driven[strokes.rows[group]] = strokes.cells[strokes.rows[group]]
                power = unit.group_power(self.chip.behavioral, conductance, driven, voltage)
                energy += attojoules(power * time)
            return energy
        if strokes.columns is None:
            return attojoules(unit.row_power(conductance, strokes.cells, voltage) * time)
        # Rows are driven alone: cells of different rows can share a call, cells of one row cannot.
        energy = 0
        for group in _apart(strokes.columns):
            driven = np.zeros_like(strokes.cells)
            driven[strokes.rows[group], strokes.columns[group]] = True
            energy += attojoules(unit.row_power(conductance, driven, voltage) * time)
        return energy

    def _book(self, is_set: bool, strokes: Strokes, array: int) -> None:
        kind, unit = self.kinds[is_set], self.unit
        first, last = int(strokes.beats[0]), int(strokes.beats[-1])
        count = 1 + int(np.count_nonzero(np.diff(strokes.beats)))
        booked = self.chip.ledger.add(
            kind,
            operations=count,
            busy=count * OPERATIONS[kind].beat(unit.spec),
            energy={"array": array, "driver": len(strokes.rows) * self.chip.stroke_energy},
            pulses=int(np.count_nonzero(strokes.cells)),
            tile=unit.index,
            phase=self.phase,
        )
        self.pulses_given += booked.pulses
        begin = self.origin + (self.ends[first - 1] if first else 0)
        self.chip.show(self, kind, begin, self.origin + self.ends[last] - begin, count, booked)

    def pause(self, now: int) -> None:
        """All is booked pulse by pulse."""

    def result(self) -> int:
        """Return how many cell pulses were given."""
        return self.pulses_given


def _between(strokes: Strokes, first: int, last: int) -> Strokes:
    """Return the pulses of the beats from ``first`` to before ``last``."""
    some = slice(*np.searchsorted(strokes.beats, (first, last)))
    rows, cells = strokes.rows[some], np.zeros_like(strokes.cells)
    if strokes.columns is None:
        cells[rows] = strokes.cells[rows]
        return Strokes(cells, rows, None, strokes.beats[some])
    columns = strokes.columns[some]
    cells[rows, columns] = True
    return Strokes(cells, rows, columns, strokes.beats[some])


def _apart(key: Places) -> list[Places]:
    """Split places into groups of one key each."""
    order = np.argsort(key, kind="stable")
    return list(np.split(order, np.flatnonzero(np.diff(key[order])) + 1))
