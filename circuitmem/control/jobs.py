"""Operations on many tiles at once, where nothing can come between them: when each ends is known beforehand.

A chip on which nothing runs, waits or is due before they end needs no events for them. Reads of tiles with converters
of their own begin and end together. Programming trains take the drivers in the order of their numbers, each the one
that is free first: the times come from a queue of the drivers' ends. All that a train does it does as with the arbiter
(:mod:`circuitmem.control.arbiter`), in the same order and at the same times; nothing but events is left out.
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
from circuitmem.control.ledger import PICOSECOND, attojoules_each, on_clock
from circuitmem.control.pulse_stack import PulseStack
from circuitmem.control.pulses import PulseTrain
from circuitmem.control.trains import ReadTrain
from circuitmem.control.unit import Unit

__all__ = ["LayerCodes", "LayerSums", "program_at_once", "read_at_once", "read_layer_at_once"]


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
            context.auditor.read(train.unit, train.drives, train.kind, now)
        if train.unit.cells.disturbed:
            train.unit.cells.read(np.count_nonzero(train.codes, axis=0), train.unit.read_time)
    _book_reads(context, units, first.kind, first.phase, power, saturated)
    return True


class LayerCodes(NamedTuple):
    """What the tiles of a layer are read for."""

    codes: NDArray[np.int64]
    """DAC codes of the layer's inputs, (batch, inputs)."""
    lines: Tiling
    """Which tiles' lines have which inputs and outputs."""
    groups: int
    """Groups of word lines that are read one after another."""
    drives: Callable[[int], NDArray[np.int64]]
    """Gives the codes of each single read of one tile, (reads, rows)."""

    @property
    def reads(self) -> int:
        """Reads of each tile."""
        return self.groups * len(self.codes)


def read_layer_at_once(
    context: Context, units: Sequence[Unit], layer: LayerCodes, sums: LayerSums, kind: str
) -> tuple[int, NDArray[np.float64]] | None:
    """Read the tiles of a layer now and add up what their codes mean; returns the time [ps] and sums (batch, outputs).

    None, and nothing is done, if something can come between them, or if they wait for one another.
    """
    first, now = units[0], context.clock.clock
    duration = layer.reads * first.read_time
    resources = [resource for unit in units for resource in (unit.array, unit.dacs, unit.adcs)]
    alone = len(set(resources)) == len(resources) and not first.cells.disturbed
    if not (alone and layer.reads and _is_certain(context, duration)):
        return None
    for unit in units:
        unit.meet(now)
    noise = [unit.at_read(context.noise_seed) for unit in units]
    found = context.electrics.read_layer(units, layer.codes, layer.lines, layer.groups, sums, noise)
    if found is None:
        return None
    context.clock.arbiter.numbered += len(units)
    for index, unit in enumerate(units):
        unit.reads += 1
        if context.auditor is not None:
            context.auditor.read(unit, partial(layer.drives, index), kind, now)
    for resource in resources:
        resource.busy += duration
    _book_reads(context, units, kind, context.clock.phase, found.power, found.saturated)
    assert found.sums is not None
    return duration, found.sums


def _book_reads(
    context: Context,
    units: Sequence[Unit],
    kind: str,
    phase: str,
    power: NDArray[np.float64],
    saturated: NDArray[np.int64],
) -> None:
    """Book as many reads of each tile as there are powers, (tiles, reads) W."""
    unit, (tiles, count) = units[0], power.shape
    energy = {part: [count * each] * tiles for part, each in unit.read_energy.items()}
    energy["array"] = attojoules_each(power * (unit.read_time * PICOSECOND))
    context.ledger.add_all(
        kind,
        [own.index for own in units],
        operations=[count] * tiles,
        busy=[count * unit.read_time] * tiles,
        energy=energy,
        saturated=saturated.tolist(),
        phase=phase,
    )


def program_at_once(
    context: Context,
    trains: Sequence[PulseTrain],
    wanted: Sequence[NDArray[np.float64]] | NDArray[np.float64],
) -> int | None:
    """Program different tiles, as many at a time as there are drivers; returns the time that all take [ps].

    ``wanted`` is what the trains want, (tiles, rows, columns) S.

    None, and nothing is done, if something can come between them.
    """
    longest = sum(train.longest for train in trains)
    units = {train.unit.index for train in trains}
    if not (len(units) == len(trains) and _is_certain(context, longest)):
        return None
    drivers, now = context.drivers, context.clock.clock
    stack = PulseStack.planned(context, trains, wanted)
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
            _hold(context, train)
            end = on_clock(time + planned[place])
        heappush(running, (end, train.number, slot, train))
        last = max(last, end)
    while running:
        release()
    if stack is not None:
        stack.give([place for place, train in enumerate(trains) if train.strokes is not None])
        for train in trains:
            context.clock.arbiter.running.pop(train.number, None)
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


def _begin(context: Context, train: Train, time: int) -> None:
    _number(context, train, time)
    _hold(context, train)
    train.begin(time)
    train.stop = len(train.ends)


def _hold(context: Context, train: Train) -> None:
    """Let who is stopped before the train ends find it running."""
    context.clock.arbiter.running[train.number] = train


def _end(context: Context, train: Train, time: int) -> None:
    train.settle(train.stop)
    train.pause(time)
    del context.clock.arbiter.running[train.number]
