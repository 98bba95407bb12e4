"""Operations on many tiles at once, for when nothing can come between them: their ends are known beforehand.

If nothing else runs, waits or is due before they end, they need no events. Reads of tiles with their own converters
begin and end together. Programming trains take the drivers in the order of their numbers, each the driver that is free
first: the times come from a queue of the drivers' ends. A train does all that it does with the arbiter
(:mod:`circuitmem.control.arbiter`), in the same order and at the same times; only the events are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.stack_reads import StackCorrection as LayerSums
from circuitmem._kernels.tiling import Tiling
from circuitmem.control.arbiter import Train
from circuitmem.control.context import Context
from circuitmem.control.count_stack import CountStack
from circuitmem.control.ledger import PICOSECOND, Amounts, attojoules_each, on_clock
from circuitmem.control.programming import Programming
from circuitmem.control.pulse_stack import PulseStack
from circuitmem.control.pulses import ProgrammingTrain
from circuitmem.control.round_stack import RoundStack
from circuitmem.control.trains import ReadTrain
from circuitmem.control.two_pulse_stack import TwoPulseStack
from circuitmem.control.unit import Unit
from circuitmem.control.used_lines import ReadCost, UsedLines
from circuitmem.rng import Purpose

__all__ = ["LayerCodes", "LayerSums", "program_at_once", "read_at_once", "read_layer_at_once"]

Floats = NDArray[np.float64]


def read_at_once(context: Context, trains: Sequence[ReadTrain]) -> int | None:
    """Do reads of different tiles that begin now and last equally long; returns their duration [ps].

    Returns None and does nothing if they last unequally long, if something can come between them, or if they share a
    resource.
    """
    duration = max((train.ends[-1] for train in trains if train.ends), default=0)
    resources = [resource for train in trains for resource in train.resources]
    alike = all(train.ends == trains[0].ends for train in trains)
    if not (alike and len(set(resources)) == len(resources) and _is_certain(context, duration)):
        return None
    now = context.clock.clock
    if not _read_in_one_call(context, trains, now):
        context.electrics.refresh([train.unit for train in trains])
        for train in trains:
            _begin(context, train, now)
        for train in trains:
            _end(context, train, now + duration)
    context.hold(resources, now, duration)
    return duration


def _read_in_one_call(context: Context, trains: Sequence[ReadTrain], now: int) -> bool:
    """Read tiles in one call, as they are ``now`` [ps], and book the reads; returns False if that is not possible."""
    first = trains[0]
    units = [train.unit for train in trains]
    with ExitStack() as gains:
        for unit in units:
            unit.meet(now, context.noise_seed)
            gains.enter_context(unit.readout.adc.at_gain(first.gain))
        noise = [unit.at_read(context.noise_seed) for unit in units]
        used = [train.used for train in trains]
        found = context.electrics.read_all(units, [train.codes for train in trains], noise, used)
    if found is None:
        return False
    codes, power, saturated = found
    for train, answer in zip(trains, codes, strict=True):
        _number(context, train, now)
        train.answer = answer
        train.unit.reads += 1
        context.let_audit(train.unit, train.drives, train.kind, now)
        if train.unit.cells.disturbed:
            train.unit.cells.read(np.count_nonzero(train.codes, axis=0), train.cost.time)
    numbers = np.array([unit.index for unit in units])
    _book_reads(context, numbers, [train.cost for train in trains], first.kind, first.phase, power, saturated)
    return True


class LayerCodes(NamedTuple):
    """The codes with which the tiles of a layer are read."""

    codes: NDArray[np.int64]
    """DAC codes of the layer's inputs, (batch, inputs)."""
    lines: Tiling
    """Which lines of the tiles carry which inputs and outputs."""
    groups: int
    """Groups of word lines that are read one after another."""
    drives: Callable[[int], NDArray[np.int64]]
    """Returns the codes of each single read of one tile, (reads, rows)."""
    used: list[UsedLines | None]
    """The lines of each tile that are read; None for all."""

    @property
    def reads(self) -> int:
        """Reads of each tile."""
        return self.groups * len(self.codes)


def read_layer_at_once(
    context: Context, units: Sequence[Unit], layer: LayerCodes, sums: LayerSums, kind: str
) -> tuple[int, Floats] | None:
    """Read a layer's tiles now and add up their corrected codes; returns the duration [ps] and sums (batch, outputs).

    Returns None and books nothing if something can come between the reads, if tiles share converters, or if the tiles
    have to be read one by one (when reads disturb their cells, for example).
    """
    cells, now, state = units[0].cells, context.clock.clock, context.electrics.state
    part = None if state is None else state.part(units)
    if state is None or part is None:
        return None
    group = state.group(part)
    costs = [group.cost] if layer.used.count(None) == len(units) else [*map(Unit.read_cost, units, layer.used)]
    duration = layer.reads * costs[0].time
    if not (group.is_apart and not cells.disturbed and layer.reads and _is_certain(context, duration)):
        return None
    if cells.moves:
        for unit in units:
            unit.meet(now, context.noise_seed)
    noise = state.noise_of(part, Purpose.READ_NOISE, context.noise_seed)
    found = context.electrics.read_layer(units, layer.codes, layer.lines, layer.groups, sums, noise, layer.used)
    if found is None:
        return None
    context.clock.arbiter.numbered += len(units)
    state.counts[part, 0] += 1
    if context.auditor is not None:
        for index, unit in enumerate(units):
            context.let_audit(unit, partial(layer.drives, index), kind, now)
    context.hold(group.resources, now, duration)
    _book_reads(context, group.numbers, costs, kind, context.clock.phase, found.power, found.saturated)
    assert found.sums is not None
    return duration, found.sums


def _book_reads(
    context: Context,
    tiles: NDArray[np.int64],
    costs: Sequence[ReadCost],
    kind: str,
    phase: str,
    power: Floats,
    saturated: NDArray[np.int64],
) -> None:
    """Book one read for each entry of ``power``, (tiles, reads) W; all of them take equally long.

    There is a cost for each tile, or one for all.
    """
    time, count = costs[0].time, power.shape[1]
    energy: dict[str, Amounts | int] = {
        part: count * joules if len(costs) == 1 else [count * cost.energy[part] for cost in costs]
        for part, joules in costs[0].energy.items()
    }
    energy["array"] = attojoules_each(power * (time * PICOSECOND))
    context.ledger.add_all(
        kind, tiles, operations=count, busy=count * time, energy=energy, saturated=saturated, phase=phase
    )


STACKS: tuple[type[PulseStack], ...] = (TwoPulseStack, CountStack, RoundStack)
"""Classes that give the pulses of many tiles at once; the first that can take a job is used."""


def program_at_once(context: Context, job: Programming) -> tuple[int, list[int]] | None:
    """Program different tiles, as many at a time as there are drivers; returns the time [ps] and each tile's pulses.

    Returns None and does nothing if something can come between them, or if a tile occurs twice.
    """
    units = job.units
    if len({unit.index for unit in units}) != len(units):
        return None
    trains: dict[int, ProgrammingTrain] = {}
    kind = next((each for each in STACKS if each.can_take(context, job)), None)
    stack = None
    if kind is None:
        trains = dict(enumerate(job.trains(context)))
        longest = sum(train.longest for train in trains.values())
    elif job.counts is not None:
        stack = kind(context, job)
        longest = sum(stack.durations())
    else:
        longest = kind.longest(job)
    if not _is_certain(context, longest):
        return None
    if kind is not None and stack is None:
        stack = kind(context, job)
    drivers, now, planned = context.drivers, context.clock.clock, None if stack is None else stack.durations()
    time = last = now
    running: list[tuple[int, int, int, int]] = []
    begins: list[int] = []
    is_audited = context.auditor is not None

    def release() -> None:
        end, place, slot, begun = heappop(running)
        if place in trains:
            _end(context, trains[place], end)
        drivers.free.append(slot)
        drivers.busy += end - begun
        units[place].array.busy += end - begun

    context.pulses_are_given = True  # an error from here on leaves cells with unknown conductances
    for place, unit in enumerate(units):
        if not drivers.free:
            time = running[0][0]
            while running and running[0][0] == time:
                release()
        slot = drivers.free.pop()
        drivers.waited += time - now
        begins.append(time)
        if is_audited and stack is not None and planned is not None and planned[place] and _is_looked_at(context, unit):
            trains[place] = job.train(context, place, stack.wanted(place))
        if place in trains:
            train = trains[place]
            _begin(context, train, time)
            end = on_clock(time + train.ends[-1], time) if train.ends else time
        else:
            assert planned is not None
            context.clock.arbiter.numbered += 1
            end = on_clock(time + planned[place], time)
        heappush(running, (end, place, slot, time))
        last = max(last, end)
    while running:
        release()
    given = [0] * len(units) if stack is None else stack.give(list(trains), begins)
    for place, train in trains.items():
        given[place] = train.result()
    context.pulses_are_given = False
    for unit in units:
        unit.array.until = last
    context.held_until = max(context.held_until, last)
    return last - now, given


def _is_looked_at(context: Context, unit: Unit) -> bool:
    """Say whether an audit may look at the single pulses of a tile."""
    return context.auditor is not None and context.auditor.wants_train(unit.index, unit.updates + 1)


def _is_certain(context: Context, duration: int) -> bool:
    """Return whether nothing else can happen for ``duration`` [ps], and nobody observes single operations."""
    clock = context.clock
    watched = context.trace is not None or clock.arbiter.observer is not None or clock.granularity == "pulse"
    return not watched and clock.arbiter.idle and clock.environment.peek() > clock.clock + duration


def _number(context: Context, train: Train, time: int) -> None:
    train.number = context.clock.arbiter.numbered
    context.clock.arbiter.numbered += 1
    train.origin = train.begun = time


def _begin(context: Context, train: Train, time: int) -> None:
    """Begin a train and list it as running, so that an error before its end finds it there."""
    _number(context, train, time)
    context.clock.arbiter.running[train.number] = train
    train.begin(time)
    train.stop = len(train.ends)


def _end(context: Context, train: Train, time: int) -> None:
    train.settle(train.stop)
    train.pause(time)
    del context.clock.arbiter.running[train.number]
