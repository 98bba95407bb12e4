"""Operations on many tiles at once, where nothing can come between them: when each ends is known beforehand.

A chip on which nothing runs, waits or is due before they end needs no events for them. Reads of tiles with converters
of their own begin and end together. Programming trains take the drivers in the order of their numbers, each the one
that is free first: the times come from a queue of the drivers' ends. All that a train does it does as with the arbiter
(:mod:`circuitmem.control.arbiter`), in the same order and at the same times; nothing but events is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from circuitmem.control.arbiter import Train
from circuitmem.control.context import Context
from circuitmem.control.ledger import on_clock
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
    for train in trains:
        _begin(context, train, now)
    for train in trains:
        _end(context, train, now + duration)
    for resource in resources:
        resource.busy += duration
    return duration


def program_at_once(context: Context, trains: Sequence[PulseTrain]) -> int | None:
    """Program different tiles, as many at a time as there are drivers; returns the time that all take [ps].

    None, and nothing is done, if something can come between them.
    """
    longest = sum(train.longest for train in trains)
    units = {train.unit.index for train in trains}
    if not (len(units) == len(trains) and _is_certain(context, longest)):
        return None
    drivers, now = context.drivers, context.clock.clock
    time = last = now
    running: list[tuple[int, int, int, PulseTrain]] = []

    def release() -> None:
        end, _, slot, train = heappop(running)
        _end(context, train, end)
        drivers.free.append(slot)
        for resource in train.resources:
            resource.busy += end - train.begun

    for train in trains:
        if not drivers.free:
            time = running[0][0]
            while running and running[0][0] == time:
                release()
        slot = drivers.free.pop()
        drivers.waited += time - now
        _begin(context, train, time)
        end = on_clock(time + train.ends[-1]) if train.ends else time
        heappush(running, (end, train.number, slot, train))
        last = max(last, end)
    while running:
        release()
    return last - now


def _is_certain(context: Context, duration: int) -> bool:
    """Say whether nothing can happen for so long [ps], and nobody wants to see single operations."""
    clock = context.clock
    watched = context.trace is not None or clock.arbiter.observer is not None or clock.granularity == "pulse"
    return not watched and clock.arbiter.idle and clock.environment.peek() > clock.clock + duration


def _begin(context: Context, train: Train, time: int) -> None:
    train.number = context.clock.arbiter.numbered
    context.clock.arbiter.numbered += 1
    train.origin = train.begun = time
    context.clock.arbiter.running[train.number] = train  # whoever is stopped meanwhile leaves it there
    train.begin(time)
    train.stop = len(train.ends)


def _end(context: Context, train: Train, time: int) -> None:
    train.settle(train.stop)
    train.pause(time)
    del context.clock.arbiter.running[train.number]
