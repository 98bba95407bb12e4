"""Allocation of shared resources to operations, as trains of beats.

A *beat* is the smallest step that nothing may interrupt: one read, or one pulse. A *train* is a sequence of beats
during which an operation holds the same resources. A train gets all its resources at once or waits, so that no resource
is held idle and there are no deadlocks; a waiting train reserves its resources against the trains behind it, so that no
train starves.

Everything that happens at one instant is decided at the end of that instant, in an order that depends on what was
requested and never on how many events led there: finished trains are delivered in the order of their numbers, the
processes that waited for them run, and then free resources are granted by priority and number. SimPy's own resources
are granted in the order of events: a loop of many events and the same loop as a single event would end differently.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right, insort
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, Literal

import simpy
from simpy.events import NORMAL, EventPriority

from circuitmem.control.ledger import on_clock
from circuitmem.control.observe import Held, Holding, Observer
from circuitmem.errors import CircuitmemError

__all__ = ["Arbiter", "Priority", "Resource", "Train"]

_DELIVER = EventPriority(2)
_GRANT = EventPriority(3)
"""SimPy runs the events of an instant by priority: its own are 0 and 1."""


class Priority(IntEnum):
    """Priority of a train; a background train yields to others between two beats."""

    INFERENCE = 0
    NORMAL = 1
    BACKGROUND = 2


class Resource:
    """A number of identical things, each held by one train at a time.

    Parameters
    ----------
    name : str
        For traces.
    capacity : int
        How many there are, >= 1.
    kind : str, optional
        Name under which tables list it; ``name`` if left out.

    Attributes
    ----------
    busy : int
        Time for which its things were held, added up [ps].
    waited : int
        Time for which trains waited because this resource was taken, added up [ps].
    until : int
        End of the latest operation that took it without a train [ps]; may lie far in the past.
    """

    __slots__ = ("busy", "capacity", "claimed", "free", "kind", "name", "until", "users", "waited")

    def __init__(self, name: str, capacity: int = 1, kind: str | None = None) -> None:
        self.name = name
        self.kind = kind or name
        self.capacity = capacity
        self.users: list[Train] = []
        self.reset()
        self.busy = 0
        self.waited = 0

    def reset(self) -> None:
        """Release everything, whoever holds it."""
        self.users.clear()
        self.free = list(range(self.capacity - 1, -1, -1))
        self.claimed = 0
        self.until = 0


class Train(ABC):
    """A sequence of beats during which the same resources are held.

    Parameters
    ----------
    resources : tuple of Resource
        What it holds while it runs.
    ends : sequence of int
        End of each beat, counted from the beginning of the first and without interruptions [ps]; rising. A train may
        set it in its first :meth:`begin`.
    priority : Priority
        ``BACKGROUND`` trains are interrupted by others between two beats.

    Attributes
    ----------
    kind : str
        What it does.
    done : int
        Beats whose effects have been applied.
    origin : int
        When the first beat would have begun had the train never been interrupted [ps].
    slots : tuple of int
        Which thing of each resource it holds.
    """

    kind: str

    def __init__(self, resources: tuple[Resource, ...], ends: Sequence[int], priority: Priority) -> None:
        self.resources = resources
        self.ends = ends
        self.priority = priority
        self.number = -1
        self.done = 0
        self.stop = len(ends)
        self.passed = 0
        self.origin = 0
        self.since = 0
        self.begun = 0
        self.asked_at: int | None = None
        self.slots: tuple[int, ...] = ()
        self.blocked_by: Resource | None = None
        self.timer: simpy.Event | None = None
        self.over: simpy.Event | None = None

    @property
    def order(self) -> tuple[int, int]:
        """Place in every queue."""
        return self.priority, self.number

    @property
    def held(self) -> tuple[Held, ...]:
        """What it holds, as records for observers."""
        return tuple(
            Held(resource.name, slot, resource.name if resource.capacity == 1 else f"{resource.name} {slot}")
            for resource, slot in zip(self.resources, self.slots, strict=True)
        )

    def holding(self, now: int) -> Holding:
        """Return the record that observers get at ``now`` [ps]."""
        return Holding(self.number, self.kind, self.held, now)

    def finished(self, now: int) -> int:
        """Return how many beats have ended at ``now`` [ps] or before, if it runs."""
        return bisect_right(self.ends, now - self.origin)

    @abstractmethod
    def begin(self, now: int) -> None:
        """Start or continue with the circuit as it is at ``now`` [ps]; the resources are held from here on."""

    @abstractmethod
    def settle(self, beats: int) -> None:
        """Apply the effects of all beats before number ``beats``; may be called again with the same number."""

    @abstractmethod
    def pause(self, now: int) -> None:
        """Book what was done since :meth:`begin`; the resources are released at ``now`` [ps]."""

    @abstractmethod
    def result(self) -> Any:
        """Return the result of the whole train."""


class Arbiter:
    """Assigns resources to trains, and runs their beats.

    Parameters
    ----------
    environment : simpy.Environment
        The clock.
    granularity : {"burst", "pulse"}
        Whether consecutive beats are one event, or one event each; the results are the same.
    """

    def __init__(self, environment: simpy.Environment, granularity: Literal["burst", "pulse"]) -> None:
        self.environment = environment
        self.by_pulse = granularity == "pulse"
        self.waiting: list[Train] = []
        self.running: dict[int, Train] = {}
        #: Told when a train begins to hold its resources, and when it gives them back.
        self.observer: Observer | None = None
        self.numbered = 0
        self._ended: list[Train] = []
        self._background = 0
        self._delivering = False
        self._granting = False
        self._beats: list[Callable[[Any], None]] = [self._beat]

    @property
    def idle(self) -> bool:
        """Whether no train runs, waits, or is about to be delivered."""
        return not (self.running or self.waiting or self._ended)

    def perform(self, train: Train) -> simpy.Event:
        """Queue a train; returns an event that fires, with the train's result, when the last beat has ended."""
        train.number = self.numbered
        self.numbered += 1
        train.over = simpy.Event(self.environment)
        self._wait(train)
        return train.over

    def _wait(self, train: Train) -> None:
        train.since = int(self.environment.now)
        train.asked_at = None
        insort(self.waiting, train, key=lambda queued: queued.order)
        self._call_grant()

    def _call(self, action: Callable[[simpy.Event], None], priority: EventPriority) -> None:
        event = simpy.Event(self.environment)
        event._ok, event._value = True, None
        event.callbacks.append(action)
        self.environment.schedule(event, priority)

    def _call_grant(self) -> None:
        if not self._granting:
            self._granting = True
            self._call(self._grant, _GRANT)

    def _grant(self, _: simpy.Event) -> None:
        """Grant free resources to the waiting trains in order; none overtakes another that needs the same resource."""
        self._granting = False
        if not self.waiting:
            return
        queue, self.waiting = self.waiting, []
        claimed: list[Resource] = []
        for train in queue:
            taken = None
            for resource in train.resources:
                if len(resource.users) + resource.claimed >= resource.capacity:
                    taken = resource
                    break
            if taken is None:
                self._start(train)
                continue
            train.blocked_by = taken
            self.waiting.append(train)
            for resource in train.resources:
                resource.claimed += 1
                claimed.append(resource)
        for resource in claimed:
            resource.claimed = 0
        if self._background:
            self._interrupt_background()

    def _interrupt_background(self) -> None:
        """Interrupt as many background trains on each resource as trains of higher priority are waiting for it."""
        wanted: dict[str, int] = {}
        for train in self.waiting:
            for resource in train.resources:
                if len(resource.users) < resource.capacity:
                    continue
                lower = [user for user in resource.users if user.priority == Priority.BACKGROUND > train.priority]
                wanted[resource.name] = wanted.get(resource.name, 0) + 1
                if lower and sum(user.asked_at is not None for user in resource.users) < wanted[resource.name]:
                    willing = [user for user in lower if user.asked_at is None]
                    if willing:
                        self._interrupt(max(willing, key=lambda user: user.order))

    def _interrupt(self, train: Train) -> None:
        """End a train after the current beat; a beat that begins at this very instant is the current one."""
        now = train.asked_at = int(self.environment.now)
        if self.by_pulse:
            return
        beat = train.finished(now)
        if beat + 1 < train.stop:
            train.stop = beat + 1
            self._set_timer(train, train.origin + train.ends[beat] - now)

    def _start(self, train: Train) -> None:
        now = int(self.environment.now)
        slots = []
        for resource in train.resources:
            resource.users.append(train)
            slots.append(resource.free.pop())
        if train.blocked_by is not None:
            train.blocked_by.waited += now - train.since
            train.blocked_by = None
        train.slots = tuple(slots)
        train.begun = now
        self.running[train.number] = train
        if train.priority == Priority.BACKGROUND:
            self._background += 1
        if self.observer is not None:
            self.observer.began(train.holding(now))
        passed = train.ends[train.done - 1] if train.done else 0
        train.origin = now - passed
        try:
            train.begin(now)
            if train.ends:
                on_clock(train.origin + train.ends[-1], train.origin)
        except CircuitmemError as error:
            # The error is raised in the process that waits for this train.
            self._release(train, now)
            assert train.over is not None
            train.over.fail(error)
            self._call_grant()
            return
        train.stop = len(train.ends)
        if train.done == train.stop:
            self._finish(train)
        elif self.by_pulse:
            train.passed = train.done
            train.timer = event = simpy.Event(self.environment)
            event._ok, event._value = True, train
            event.callbacks = self._beats
            self.environment.schedule(event, NORMAL, train.ends[train.done] - passed)
        else:
            self._set_timer(train, train.ends[-1] - passed)

    def _set_timer(self, train: Train, delay: int) -> None:
        timer = simpy.Timeout(self.environment, delay, train)
        timer.callbacks.append(self._end)
        train.timer = timer

    def _beat(self, event: simpy.Event) -> None:
        """End one beat, with granularity ``"pulse"``: a train's only event is scheduled again for each beat."""
        train: Train = event._value
        beats = train.passed = train.passed + 1
        train.settle(beats)
        if beats == train.stop or (train.asked_at is not None and train.asked_at < self.environment.now):
            train.stop = beats
            self._finish(train)
        else:
            event.callbacks = self._beats  # SimPy detaches the list from a processed event, but does not change it
            self.environment.schedule(event, NORMAL, train.ends[beats] - train.ends[beats - 1])

    def _end(self, event: simpy.Event) -> None:
        """End a train, or its part before an interruption, with its last beat."""
        train: Train = event._value
        if train.timer is event:  # not if an interruption has replaced it
            self._finish(train)

    def _finish(self, train: Train) -> None:
        self._ended.append(train)
        if not self._delivering:
            self._delivering = True
            self._call(self._deliver, _DELIVER)

    def _deliver(self, _: simpy.Event) -> None:
        self._delivering = False
        now = int(self.environment.now)
        ended, self._ended = self._ended, []
        ended.sort(key=lambda train: train.number)
        for train in ended:
            train.settle(train.stop)
            train.pause(now)
            self._release(train, now)
            if train.done < len(train.ends):
                self._wait(train)
            else:
                assert train.over is not None
                train.over.succeed(train.result())
        if self.waiting:
            self._call_grant()

    def _release(self, train: Train, now: int) -> None:
        if self.observer is not None:
            self.observer.ended(train.holding(now))
        train.timer = None
        del self.running[train.number]
        if train.priority == Priority.BACKGROUND:
            self._background -= 1
        for resource, slot in zip(train.resources, train.slots, strict=True):
            resource.users.remove(train)
            resource.free.append(slot)
            resource.busy += now - train.begun
