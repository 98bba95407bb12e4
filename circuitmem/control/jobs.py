"""Operations on many tiles at once, where nothing can come between them: when each ends is known beforehand.

A chip on which nothing runs, waits or is due before they end needs no events for them. Reads of tiles with converters
of their own begin and end together. Programming trains take the drivers in the order of their numbers, each the one
that is free first: the times come from a queue of the drivers' ends. All that a train does it does as with the arbiter
(:mod:`circuitmem.control.arbiter`), in the same order and at the same times; nothing but events is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from heapq import heappop, heappush

import numpy as np

from circuitmem.control.arbiter import Train
from circuitmem.control.context import Context
from circuitmem.control.ledger import PICOSECOND, attojoules_each, on_clock
from circuitmem.control.pulse_stack import PulseStack
from circuitmem.control.pulses import PulseTrain
from circuitmem.control.trains import ReadTrain

__all__ = ["program_at_once", "read_at_once"]


def read_at_once(context: Context, trains: Sequence[ReadTrain]) -> int | None:
    """Do reads of different tiles that begin now and last equally long; returns their time [ps].

    None, and nothing is done, if something can come between them, or if they wait for one another.
    """
    duration = max((train.ends[-1] for train in trains if train.ends), default=0)
    resources = [resource for train in trains for resource in train.resources]
    alike = all(len(train.ends) == len(trains[0].ends) for train in trains)
    if not (alike and len(set(resources)) == len(resources) and _is_certain(context, duration)):
        return None
    now = context.clock.clock
    if not _read_in_one_call(context, trains, now):
        context.electrics.refresh([train.unit for train in trains])
        for train in trains:
            _begin(context, train, now)
        for train in trains:
            _end(context, train, now + duration)
    for resource in resources:
        resource.busy += duration
    return duration


def _read_in_one_call(context: Context, trains: Sequence[ReadTrain], now: int) -> bool:
    """Read tiles at once, as they are ``now`` [ps], and book it; say whether that can be done."""
    first = trains[0]
    units = [train.unit for train in trains]
    with ExitStack() as gains:
        for unit in units:
            unit.meet(now)
            gains.enter_context(unit.readout.adc.at_gain(first.gain))
        noise = [unit.at_read(context.noise_seed) for unit in units]
        found = context.electrics.read_all(units, [train.codes for train in trains], noise)
    if found is None:
        return False
    codes, power, saturated = found
    for train, answer in zip(trains, codes, strict=True):
        _number(context, train, now)
        train.answer = answer
        train.unit.reads += 1
        if context.auditor is not None:
            context.auditor.read(train.unit, train.codes, train.kind, now)
        if train.unit.cells.disturbed:
            train.unit.cells.read(np.count_nonzero(train.codes, axis=0), train.unit.read_time)
    count, time = len(first.codes), first.unit.read_time
    energy = {part: [count * each] * len(units) for part, each in first.unit.read_energy.items()}
    energy["array"] = attojoules_each(power * (time * PICOSECOND))
    context.ledger.add_all(
        first.kind,
        [unit.index for unit in units],
        operations=[count] * len(units),
        busy=[count * time] * len(units),
        energy=energy,
        saturated=saturated.tolist(),
        phase=first.phase,
    )
    return True


def program_at_once(context: Context, trains: Sequence[PulseTrain]) -> int | None:
    """Program different tiles, as many at a time as there are drivers; returns the time that all take [ps].

    None, and nothing is done, if something can come between them.
    """
    longest = sum(train.longest for train in trains)
    units = {train.unit.index for train in trains}
    if not (len(units) == len(trains) and _is_certain(context, longest)):
        return None
    drivers, now = context.drivers, context.clock.clock
    stack = PulseStack.plan(context, trains)
    planned = None if stack is None else stack.durations()
    time = last = now
    running: list[tuple[int, int, int, PulseTrain]] = []

    def release() -> None:
        end, _, slot, train = heappop(running)
        if train.strokes is not None:
            _end(context, train, end)
        drivers.free.append(slot)
        for resource in train.resources:
            resource.busy += end - train.begun

    for place, train in enumerate(trains):
        if not drivers.free:
            time = running[0][0]
            while running and running[0][0] == time:
                release()
        slot = drivers.free.pop()
        drivers.waited += time - now
        if planned is None or (planned[place] and _is_looked_at(context, train)):
            _begin(context, train, time)
            end = on_clock(time + train.ends[-1]) if train.ends else time
        else:
            _number(context, train, time)
            end = on_clock(time + planned[place])
        heappush(running, (end, train.number, slot, train))
        last = max(last, end)
    while running:
        release()
    if stack is not None:
        stack.give([place for place, train in enumerate(trains) if train.strokes is not None])
    return last - now


def _is_looked_at(context: Context, train: PulseTrain) -> bool:
    """Say whether an audit may look at the single pulses of a train."""
    return context.auditor is not None and context.auditor.wants_train(train.unit, train.unit.updates + 1)


def _is_certain(context: Context, duration: int) -> bool:
    """Say whether nothing can happen for so long [ps], and nobody wants to see single operations."""
    clock = context.clock
    watched = context.trace is not None or clock.arbiter.observer is not None or clock.granularity == "pulse"
    return not watched and clock.arbiter.idle and clock.environment.peek() > clock.clock + duration


def _number(context: Context, train: Train, time: int) -> None:
    train.number = context.clock.arbiter.numbered
    context.clock.arbiter.numbered += 1
    train.origin = train.begun = time
    context.clock.arbiter.running[train.number] = train  # whoever is stopped meanwhile leaves it there


def _begin(context: Context, train: Train, time: int) -> None:
    _number(context, train, time)
    train.begin(time)
    train.stop = len(train.ends)


def _end(context: Context, train: Train, time: int) -> None:
    train.settle(train.stop)
    train.pause(time)
    del context.clock.arbiter.running[train.number]
