"""Programming pulses as a train of beats, whatever the device: when each comes, what it costs, what interrupts it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Address
from circuitmem.control.arbiter import Priority
from circuitmem.control.auditor import PulseWatch, StateWatch
from circuitmem.control.context import Context
from circuitmem.control.faults import damage, wear_out
from circuitmem.control.ledger import PICOSECOND, Account, attojoules, on_clock
from circuitmem.control.observe import SeenPulse, SeenStatePulse, SeenTrain, unchangeable
from circuitmem.control.operations import OPERATIONS, polarities
from circuitmem.control.trains import TileTrain
from circuitmem.control.unit import Unit
from circuitmem.device import CellState, OdeCells, PulseGroup

__all__ = ["ProgrammingTrain", "Strokes"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Places = NDArray[np.intp]
Counts = NDArray[np.int64]


class Strokes(NamedTuple):
    """One pulse of one polarity for each of some rows, or some cells, and the beat of each; the beats are rising."""

    is_set: bool
    number: int
    """Number of this pulse among those that its cells get, from 0."""
    cells: Mask
    """All cells that get one, (rows, columns)."""
    rows: Places
    columns: Places | None
    """None if whole rows get their pulse."""
    beats: Places
    width: int = 1
    """Duration of each, in multiples of the declared width."""


class _Round(NamedTuple):
    """One pulse of one polarity, for all cells of a tile that get it."""

    is_set: bool
    number: int
    width: int
    cells: Mask


@dataclass
class _Slice:
    """The pulses of one polarity, as a trace shows them: from their first to their last [ps]."""

    begin: int
    end: int
    count: int = 0
    booked: Account = field(default_factory=Account)

    def add(self, begin: int, end: int, count: int, booked: Account) -> None:
        """Add pulses."""
        self.begin, self.end = min(self.begin, begin), max(self.end, end)
        self.count += count
        self.booked.add(booked)


class ProgrammingTrain(TileTrain):
    """Programming of the cells of one tile that have to change by more than ``deadband``.

    Rows are programmed one after another (several at once, or cell by cell, if so declared). When the train begins, the
    devices (:class:`circuitmem.device.Device`) decide which cells get which pulses: a row gets its pulses one after
    another, first down, then up, and each pulse goes to the cells that need that many. Stuck cells get pulses like the
    others.

    Parameters
    ----------
    context, unit, priority
        As in :class:`circuitmem.control.trains.TileTrain`.
    wanted : (rows, columns) ndarray, optional
        Wanted conductance [S]; if left out, the one last asked for, looked up again after an interruption.
    deadband : float
        Changes up to this get no pulse [S].
    kind : str
        Key of the SET pulses in ``OPERATIONS``.
    cells : tuple of (rows, columns) ndarray of bool, optional
        Cells that get a RESET, and cells that get a SET, whatever was asked of them.
    counts : tuple of (rows, columns) ndarray of int, optional
        How many pulses down and up each cell gets, whatever was asked of it.
    """

    def __init__(
        self,
        context: Context,
        unit: Unit,
        wanted: Floats | None,
        deadband: float,
        kind: str,
        priority: Priority,
        cells: tuple[Mask, Mask] | None = None,
        counts: tuple[Counts, Counts] | None = None,
    ) -> None:
        super().__init__(context, unit, kind, (), priority)
        self.given = wanted
        self.wanted = unit.asked if wanted is None else wanted
        self.deadband = deadband
        self.cells = cells
        self.counts = counts
        self.strokes: list[Strokes] | None = None
        self.noise: Address | None = None
        self.watch: PulseWatch | StateWatch | None = None
        self.pulses_given = 0
        self.kinds = polarities(kind)

    def begin(self, now: int) -> None:
        """Decide which pulses to give, when the train begins for the first time."""
        if self.strokes is None and self.given is not None and self.unit.spec.packed:
            # Cells of other layers on the tile keep what has been asked of them by now.
            self.wanted = np.where(np.isnan(self.given), self.unit.asked, self.given)
        if self.given is None:
            self.wanted = self.unit.asked
            if isinstance(self.watch, PulseWatch):
                self.watch.want(unchangeable(self.wanted))
        if self.strokes is None:
            self.strokes = self._plan()
            self._let_audit(now)

    def _let_audit(self, now: int) -> None:
        """Let the auditor look at some of the pulses, if there is one and it chooses this train."""
        auditor, unit = self.context.auditor, self.unit
        if auditor is None or self.noise is None or self.strokes is None:
            return
        beats = np.unique(np.concatenate([strokes.beats for strokes in self.strokes]))
        chosen = auditor.some_beats(unit.index, unit.updates, beats)
        if chosen is not None:
            place = unit.index, unit.updates, self.kinds[1], now, unit.tile.spec, unit.spec.device.stateful
            devices = unchangeable(self.wanted), self.noise, unchangeable(unit.devices.slope), unit.devices.law
            self.watch = auditor.train(SeenTrain(*place, *devices), chosen)

    def _plan(self) -> list[Strokes]:
        """List the pulses, those of each cell in order, and set the beats with :meth:`_schedule`."""
        unit = self.unit
        if self.counts is not None:
            down, up = self.counts
        elif self.cells is None:
            down, up = unit.devices.plan(self.wanted, unit.asked, self.deadband)
        else:
            down, up = unit.devices.again(*self.cells, unit.asked)
        if down.any() or up.any():
            self.noise = unit.next_update(self.context.noise_seed)
        rounds = [
            _Round(bool(is_set), number, width, cells)
            for is_set, counts in enumerate((down, up))
            for number, (width, cells) in enumerate(unit.devices.rounds(counts))
        ]
        by_cell = unit.spec.programming.by_cell
        return self._by_cell(rounds) if by_cell else self._by_row(rounds, unit.spec.programming.rows_at_once)

    def _by_row(self, rounds: list[_Round], together: int) -> list[Strokes]:
        """List the pulses of rows, of which ``together`` are driven at once."""
        active = np.zeros((len(rounds), self.unit.tile.spec.rows), dtype=bool)
        for place, one in enumerate(rounds):
            active[place] = one.cells.any(axis=1)
        driven = np.flatnonzero(active.any(axis=0))
        active, group = active[:, driven], np.arange(len(driven)) // together
        first = np.arange(0, len(driven), together)
        beats = self._lay_out(rounds, np.logical_or.reduceat(active, first, axis=1) if len(first) else active)[:, group]
        return [
            Strokes(each.is_set, each.number, each.cells, driven[some], None, beats[place, some], each.width)
            for place, (each, some) in enumerate(zip(rounds, active, strict=True))
        ]

    def _by_cell(self, rounds: list[_Round]) -> list[Strokes]:
        """List the pulses of single cells."""
        driven = np.zeros(self.unit.tile.spec.shape, dtype=bool)
        for each in rounds:
            driven |= each.cells
        rows, columns = np.nonzero(driven)
        active = np.zeros((len(rounds), len(rows)), dtype=bool)
        for place, each in enumerate(rounds):
            active[place] = each.cells[rows, columns]
        beats = self._lay_out(rounds, active)
        return [
            Strokes(each.is_set, each.number, each.cells, rows[some], columns[some], beats[place, some], each.width)
            for place, (each, some) in enumerate(zip(rounds, active, strict=True))
        ]

    def _lay_out(self, rounds: list[_Round], active: Mask) -> Counts:
        """Give each thing one beat for each round in which it is ``active``; return the beats, (rounds, things)."""
        taken = active.T.ravel()
        things = active.shape[1]
        self._schedule(
            np.tile(np.array([each.is_set for each in rounds], dtype=bool), things)[taken],
            np.tile(np.array([each.width for each in rounds], dtype=np.int64), things)[taken],
        )
        return np.asarray((np.cumsum(taken) - 1).reshape(active.T.shape).T)

    def _change(self, strokes: Strokes, conductance: Floats, effective: Floats) -> None:
        """Apply pulses to their cells, in place, and note what was asked of these."""
        assert self.noise is not None
        unit = self.unit
        pulse = PulseGroup(strokes.is_set, strokes.number, strokes.cells, self.wanted, strokes.width)
        unit.devices.give(pulse, CellState(conductance, effective, unit.tile.stuck, unit.asked), self.noise)

    def _schedule(self, set_beats: Mask, widths: Counts) -> None:
        """Set the end of each beat, given whether it is one of SET pulses and its multiple of the declared width."""
        reset_time, set_time = (OPERATIONS[kind].beat(self.unit.spec) for kind in self.kinds)
        sets, total = int(widths[set_beats].sum()), int(widths.sum())
        on_clock(sets * set_time + (total - sets) * reset_time, 0)  # before NumPy adds them in 64 bits
        self.ends = np.cumsum(np.where(set_beats, set_time, reset_time) * widths).tolist()

    @property
    def longest(self) -> int:
        """Upper bound of the duration of such a train [ps]."""
        spec = self.unit.spec
        places = spec.tile.rows * (spec.tile.columns if spec.programming.by_cell else 1)
        most = self.unit.devices.most
        if self.counts is not None:
            most = max(int(counts.max(initial=0)) for counts in self.counts)
        return places * most * sum(OPERATIONS[kind].beat(spec) for kind in self.kinds)

    def notice(self, now: int) -> None:
        """Do nothing: a pulse acts on the tile as it is when the pulse ends."""

    def settle(self, beats: int) -> None:
        """Apply the pulses before beat ``beats``; faults that come after a number of pulses strike in between."""
        unit = self.unit
        while self.done < beats:
            stop = beats
            if unit.fragile:
                stop = min(beats, self.done + max(unit.fragile[0][0] - unit.pulses, 1))
            first, self.done = self.done, stop
            unit.pulses += stop - first
            if self.context.traces_beats or unit.spec.device.stateful:  # pulses of one row move cells of the others
                for beat in range(first, stop):
                    self._apply(beat, beat + 1)
            else:
                self._apply(first, stop)
            while unit.fragile and unit.fragile[0][0] <= unit.pulses:
                damage(unit, unit.fragile.pop(0)[1])

    def _apply(self, first: int, last: int) -> None:
        """Give the pulses of some beats, in the order of the plan, which is the right order for each single cell."""
        assert self.strokes is not None
        slices: dict[str, _Slice] = {}
        due = self.strokes
        if first > 0 or last < len(self.ends):
            places = sorted({place for beat in range(first, last) for place in self._at_beat[beat]})
            due = [_between(self.strokes[place], first, last) for place in places]
        for strokes in due:
            if len(strokes.rows):
                self._pulse(strokes, slices)
        self._trace(slices)

    @cached_property
    def _at_beat(self) -> list[list[int]]:
        """Which strokes of the plan have pulses in each beat, so that a single beat need not search all of them."""
        assert self.strokes is not None
        found: list[list[int]] = [[] for _ in self.ends]
        for place, strokes in enumerate(self.strokes):
            for beat in np.unique(strokes.beats).tolist():
                found[beat].append(place)
        return found

    def _trace(self, slices: dict[str, _Slice]) -> None:
        """Write one slice of each polarity to the trace; if two overlap, the one that ends later contains the other."""
        shown = sorted(slices.items(), key=lambda item: item[1].end)
        since = min((piece.begin for _, piece in shown), default=0)
        for kind, piece in shown:
            inside = any(other.begin < piece.begin < other.end < piece.end for _, other in shown)
            begin = since if inside else piece.begin
            self.context.show(self, kind, piece.begin, piece.end - piece.begin, piece.count, piece.booked, begin)

    def _pulse(self, strokes: Strokes, slices: dict[str, _Slice]) -> None:
        """Give pulses of one polarity, and add them to the slices of the trace."""
        unit, device, is_set = self.unit, self.unit.spec.device, strokes.is_set
        if device.stateful:
            self._drive(strokes, slices)
            return
        voltage = device.set_voltage if is_set else device.reset_voltage
        watched = self._watched(strokes)
        if not (unit.cells.moves or unit.cells.wears):
            # A SET's current is limited by the conductance that it leaves; a RESET's flows through the one it finds.
            before = unit.tile.conductance.copy() if watched else unit.tile.conductance
            if is_set:
                self._change(strokes, *unit.tile.change())
            driven = unit.tile.effective_conductance.copy() if watched else unit.tile.effective_conductance
            array = self._energy(strokes, driven, voltage)
            if not is_set:
                self._change(strokes, *unit.tile.change())
            self._book(strokes, array, slices)
            self._show(watched, is_set, voltage, driven, before, unit.tile.conductance)
            return
        when = self._when(strokes)
        found = unit.cells.found(when) if unit.cells.moves else unit.tile.conductance
        effective, left = unit.tile.defects.conductance(found.copy()), found.copy()
        self._change(strokes, left, left)
        if not unit.cells.moves:
            unit.tile.program(left)
        worn = unit.cells.write(strokes.cells, left, when)
        if worn.any():
            wear_out(unit, worn, left)
        driven = unit.tile.defects.conductance(left) if is_set else effective
        if unit.cells.warms:
            driven = driven * unit.cells.factor(when)
        self._book(strokes, self._energy(strokes, driven, voltage), slices)
        self._show(watched, is_set, voltage, driven, found, left)

    def _drive(self, strokes: Strokes, slices: dict[str, _Slice]) -> None:
        """Give one pulse, of one beat, to ODE devices: the engine computes the response of the whole tile."""
        unit, devices = self.unit, self.unit.devices
        assert isinstance(devices, OdeCells)
        assert self.noise is not None
        pulse = PulseGroup(strokes.is_set, strokes.number, strokes.cells, self.wanted, strokes.width)
        on_lines = devices.line_pulse(pulse)
        before = unit.tile.conductance.copy()
        left, energy = self.context.electrics.drive(unit, on_lines)
        if isinstance(self.watch, StateWatch) and int(strokes.beats[0]) in self.watch.beats:
            states = unchangeable(before), unchangeable(left), energy
            self.watch.see(SeenStatePulse(devices.model, on_lines, *states, unit.tile.defects, unit.tile.stuck))
        unit.tile.program(left)
        devices.give(pulse, CellState(left, left, unit.tile.stuck, unit.asked), self.noise)
        if unit.cells.wears:
            worn = unit.cells.write(strokes.cells, left, self._when(strokes))
            if worn.any():
                wear_out(unit, worn, left)
        self._book(strokes, attojoules(energy), slices)

    def _watched(self, strokes: Strokes) -> list[Mask]:
        """Return, for each of these pulses that the audit looks at, its cells."""
        if not isinstance(self.watch, PulseWatch):
            return []
        beats = self.watch.beats.intersection(strokes.beats.tolist())
        return [_driven(strokes, np.flatnonzero(strokes.beats == beat)) for beat in sorted(beats)]

    def _show(
        self, watched: list[Mask], is_set: bool, voltage: float, driven: Floats, before: Floats, after: Floats
    ) -> None:
        for cells in watched:
            assert isinstance(self.watch, PulseWatch)
            power = self._power(cells, driven, voltage)
            self.watch.see(
                SeenPulse(
                    is_set,
                    cells,
                    voltage,
                    power,
                    driven=unchangeable(np.where(cells, driven, 0.0)),
                    before=unchangeable(np.where(cells, before, 0.0)),
                    after=unchangeable(np.where(cells, after, 0.0)),
                    defects=self.unit.wire_defects,
                )
            )

    def _when(self, strokes: Strokes) -> Floats:
        """Return when each cell's pulse ends [ps], (rows, columns); for cells without one, when the train ends."""
        ends = np.array([float(self.origin + self.ends[beat]) for beat in strokes.beats.tolist()])
        when = np.full(strokes.cells.shape, float(self.origin + self.ends[-1]))
        if strokes.columns is None:
            when[strokes.rows] = ends[:, None]
        else:
            when[strokes.rows, strokes.columns] = ends
        return when

    def _energy(self, strokes: Strokes, conductance: Floats, voltage: float) -> int:
        """Return the energy that the pulses take from the array's drivers [aJ]."""
        time = strokes.width * OPERATIONS[self.kinds[strokes.is_set]].beat(self.unit.spec) * PICOSECOND
        unit = self.unit
        if not self.context.electrics.pulses_are_ladders:
            beats = (_driven(strokes, group) for group in _apart(strokes.beats))
            return sum(attojoules(self._power(cells, conductance, voltage) * time) for cells in beats)
        if strokes.columns is None:
            return attojoules(unit.row_power(conductance, strokes.cells, voltage) * time)
        # Rows are driven alone: cells of different rows can share a call, cells of one row cannot.
        groups = (_driven(strokes, group) for group in _apart(strokes.columns))
        return sum(attojoules(unit.row_power(conductance, cells, voltage) * time) for cells in groups)

    def _power(self, cells: Mask, conductance: Floats, voltage: float) -> float:
        """Return the power that the drivers deliver to ``cells`` in one beat [W]."""
        return self.context.electrics.pulse_power(self.unit, conductance, cells, voltage)

    def _book(self, strokes: Strokes, array: int, slices: dict[str, _Slice]) -> None:
        kind, unit = self.kinds[strokes.is_set], self.unit
        first, last = int(strokes.beats[0]), int(strokes.beats[-1])
        count = 1 + int(np.count_nonzero(np.diff(strokes.beats)))
        booked = self.context.ledger.add(
            kind,
            operations=count,
            busy=count * strokes.width * OPERATIONS[kind].beat(unit.spec),
            energy={"array": array, "driver": len(strokes.rows) * unit.stroke_energy},
            pulses=int(np.count_nonzero(strokes.cells)),
            tile=unit.index,
            phase=self.phase,
        )
        self.pulses_given += booked.pulses
        begin = self.origin + (self.ends[first - 1] if first else 0)
        slices.setdefault(kind, _Slice(begin, begin)).add(begin, self.origin + self.ends[last], count, booked)

    def pause(self, now: int) -> None:
        """Do nothing: each pulse is booked when it is given."""

    def result(self) -> int:
        """Return how many cell pulses were given."""
        return self.pulses_given


def _between(strokes: Strokes, first: int, last: int) -> Strokes:
    """Return the pulses of the beats from ``first`` to before ``last``."""
    some = slice(*np.searchsorted(strokes.beats, (first, last)))
    rows, cells = strokes.rows[some], np.zeros_like(strokes.cells)
    if strokes.columns is None:
        cells[rows] = strokes.cells[rows]
        return strokes._replace(cells=cells, rows=rows, beats=strokes.beats[some])
    columns = strokes.columns[some]
    cells[rows, columns] = True
    return strokes._replace(cells=cells, rows=rows, columns=columns, beats=strokes.beats[some])


def _driven(strokes: Strokes, group: Places) -> Mask:
    """Return the cells that a group of pulses reaches, (rows, columns)."""
    cells, rows = np.zeros_like(strokes.cells), strokes.rows[group]
    if strokes.columns is None:
        cells[rows] = strokes.cells[rows]
    else:
        cells[rows, strokes.columns[group]] = True
    return cells


def _apart(key: Places) -> list[Places]:
    """Split the places of ``key`` into groups with equal values."""
    order = np.argsort(key, kind="stable")
    return list(np.split(order, np.flatnonzero(np.diff(key[order])) + 1))
