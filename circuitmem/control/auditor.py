"""The random sample of a chip's operations that another engine computes again, chosen while the chip works.

A number is drawn for each operation, at the address of the operation: so the choice does not depend on the order of
events, and a run that is resumed makes it again. The sample is made of the operations whose number is below a
fraction, or of the few with the smallest numbers if there are fewer of the former; either way all operations had the
same chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels import kernel_info
from circuitmem.config import PulseTrain
from circuitmem.control.observe import SeenPulse, SeenReads, SeenStatePulse, SeenTrain
from circuitmem.device import state_of
from circuitmem.engine import AuditedEngine, PulseCase, ReadCase, StateCase, case_from_arrays
from circuitmem.rng import Purpose, stream
from circuitmem.tile import Tile

__all__ = ["ChipAuditor", "PulseWatch", "Sample", "StateWatch", "auditor_of"]

Floats = NDArray[np.float64]

_KINDS = ("read", "pulse_train")
_BLOCK = 1024
"""Numbers that are drawn at once."""
_NO_BLOCK = -1, np.zeros(0)


class Sample(NamedTuple):
    """An operation that was chosen for the audit, or may be chosen."""

    draw: float
    tile: int
    number: int
    """Its number among the tile's operations of this kind."""
    time: int
    """When it began [ps]."""
    operation: str
    case: ReadCase | PulseCase | StateCase

    @property
    def name(self) -> str:
        """A name among the operations of its kind on its chip."""
        return f"tile{self.tile}_{self.number}"

    @property
    def provenance(self) -> dict[str, Any]:
        """Where it came from, as plain values."""
        place = {"tile": self.tile, "number": self.number, "time_ps": self.time, "operation": self.operation}
        return place | {"kernels": kernel_info()}

    def plain(self) -> dict[str, Any]:
        """Return plain values and arrays, for a file or another process."""
        return {**self._asdict(), "case": self.case.arrays()}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Sample:
        """Make a sample of what :meth:`plain` gave."""
        return cls(**{**plain, "case": case_from_arrays(plain["case"])})


class ChipAuditor:
    """Chooses operations of a chip for the audit and passes them on.

    Parameters
    ----------
    take : callable
        Called with a :class:`Sample` as soon as it is certain that it belongs to the sample.
    fraction : float
        Fraction of the operations that is chosen, in [0, 1].
    least : int
        Operations of each kind that are chosen at least, if there are so many, >= 0.
    reads, pulses : int
        Reads of a chosen operation, and pulses of a chosen train, that are looked at, >= 1.
    seed : int
        Seed of the choice.
    key : tuple of int
        Further coordinates of the choice.

    Attributes
    ----------
    seen : dict
        Operations so far, by kind.
    samples : dict
        Those chosen so far, by kind.
    """

    def __init__(
        self,
        take: Callable[[Sample], None],
        *,
        fraction: float,
        least: int = 0,
        reads: int = 4,
        pulses: int = 4,
        seed: int = 0,
        key: tuple[int, ...] = (),
    ) -> None:
        self._take = take
        self.fraction, self.least, self.reads, self.pulses = fraction, least, reads, pulses
        self._seed, self._key = seed, key
        self._blocks: dict[tuple[str, int], tuple[int, Floats]] = {}
        self.seen = dict.fromkeys(_KINDS, 0)
        self.samples: dict[str, list[Sample]] = {kind: [] for kind in _KINDS}
        self._kept: dict[str, list[Sample]] = {kind: [] for kind in _KINDS}

    def wants_reads(self, tile: int, number: int) -> bool:
        """Say whether reads of a tile that were just answered, its operation of this number, are looked at."""
        return self._draw("read", tile, number) is not None

    def some_reads(self, tile: int, number: int, count: int) -> NDArray[np.intp]:
        """Return which of the reads of an operation are looked at, rising.

        Parameters
        ----------
        tile, number : int
            The tile, and which of its reads.
        count : int
            How many single reads it has.

        Returns
        -------
        chosen : (some,) ndarray of int
            Numbers from 0.
        """
        rng = stream(self._seed, Purpose.AUDIT, *self._key, len(_KINDS), tile, number)
        return np.sort(rng.permutation(count)[: self.reads])

    def read(self, seen: SeenReads) -> None:
        """Look at reads that :meth:`wants_reads`; perhaps keep them."""
        draw = self._peek("read", seen.tile, seen.number)
        assert draw is not None
        case = ReadCase(Tile(seen.spec, seen.conductance, seen.defects), seen.voltages, seen.currents)
        self._keep("read", Sample(draw, seen.tile, seen.number, seen.time, seen.operation, case))

    def some_beats(self, tile: int, number: int, beats: NDArray[np.intp]) -> frozenset[int] | None:
        """Return which beats of a programming train that begins are looked at; None if it is not.

        Parameters
        ----------
        tile, number : int
            The tile, and which of its trains.
        beats : ndarray of int
            Those that the train has.

        Returns
        -------
        chosen : set of int, or None
        """
        if self._draw("pulse_train", tile, number) is None:
            return None
        rng = stream(self._seed, Purpose.AUDIT, *self._key, len(_KINDS) + 1, tile, number)
        return frozenset(rng.permutation(beats)[: self.pulses].tolist())

    def train(self, seen: SeenTrain, beats: frozenset[int]) -> PulseWatch | StateWatch:
        """Return what looks at these beats of a train."""
        draw = self._peek("pulse_train", seen.tile, seen.number)
        assert draw is not None

        def done(case: PulseCase | StateCase) -> None:
            self._keep("pulse_train", Sample(draw, *seen[:2], seen.time, seen.operation, case))

        return StateWatch(seen, beats, done) if seen.stateful else PulseWatch(seen, beats, done)

    def finish(self) -> None:
        """Hand on what is needed to make up the least number of each kind."""
        for kind in _KINDS:
            missing = self.least - len(self.samples[kind])
            for sample in self._kept[kind][: max(0, missing)]:
                self._choose(kind, sample)
            self._kept[kind] = []

    def _draw(self, kind: str, tile: int, number: int) -> float | None:
        """Draw the number of the next operation, and count it; None if it is certain not to be chosen."""
        self.seen[kind] += 1
        return self._peek(kind, tile, number)

    def wants_train(self, tile: int, number: int) -> bool:
        """Say whether a train that begins, with this number among its tile's, may be chosen; if not, it is counted."""
        wanted = self._peek("pulse_train", tile, number) is not None
        if not wanted:
            self.seen["pulse_train"] += 1
        return wanted

    def _peek(self, kind: str, tile: int, number: int) -> float | None:
        block, numbers = self._blocks.get((kind, tile), _NO_BLOCK)
        if block != number // _BLOCK:
            block = number // _BLOCK
            place = _KINDS.index(kind), tile
            numbers = stream(self._seed, Purpose.AUDIT, *self._key, *place, block).random(_BLOCK)
            self._blocks[kind, tile] = block, numbers
        draw = numbers.item(number % _BLOCK)
        if draw < self.fraction:
            return draw
        if len(self.samples[kind]) < self.least:
            kept = self._kept[kind]
            if len(kept) < self.least or draw < kept[-1].draw:
                return draw
        return None

    def _keep(self, kind: str, sample: Sample) -> None:
        if sample.draw < self.fraction:
            self._choose(kind, sample)
        else:
            kept = sorted([*self._kept[kind], sample], key=lambda one: one[:3])
            self._kept[kind] = kept[: self.least]

    def _choose(self, kind: str, sample: Sample) -> None:
        self.samples[kind].append(sample)
        self._take(sample)

    def state(self) -> dict[str, Any]:
        """Return the sample so far, for a checkpoint or a file."""
        return {
            "seen": dict(self.seen),
            "samples": {kind: [sample.plain() for sample in self.samples[kind]] for kind in _KINDS},
            "kept": {kind: [sample.plain() for sample in self._kept[kind]] for kind in _KINDS},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned, and hand on again what had been chosen."""
        self.seen = dict(state["seen"])
        self._kept = {kind: [Sample.of(plain) for plain in state["kept"][kind]] for kind in _KINDS}
        for kind in _KINDS:
            for plain in state["samples"][kind]:
                self._choose(kind, Sample.of(plain))


class PulseWatch:
    """Looks at some pulses of one train while they are given.

    Parameters
    ----------
    train : SeenTrain
        The train.
    beats : set of int
        The pulses that are looked at, by their beats.
    done : callable
        Called with the case, when all of them have been given.
    """

    def __init__(self, train: SeenTrain, beats: frozenset[int], done: Callable[[PulseCase], None]) -> None:
        self._train, self.beats, self._done = train, beats, done
        self._left = len(beats)
        self._seen: list[SeenPulse] = []

    def want(self, wanted: Floats) -> None:
        """Note that something else is wanted from now on: a train that was interrupted goes on."""
        self._train = self._train._replace(wanted=wanted)

    def see(self, pulse: SeenPulse) -> None:
        """Note one pulse of the train."""
        # A line that breaks in the middle of a train makes another circuit of the rest.
        if not self._seen or pulse.defects == self._seen[0].defects:
            self._seen.append(pulse)
        self._left -= 1
        if self._left == 0:
            self._finish()

    def _finish(self) -> None:
        # RESETs first, whatever came first in time: that depends on the granularity.
        seen = sorted(self._seen, key=lambda pulse: (pulse.is_set, int(np.flatnonzero(pulse.cells)[0])))
        names = ("is_set", "cells", "voltage", "power", "driven", "before", "after")
        pulses: dict[str, Any] = {name: np.array([getattr(pulse, name) for pulse in seen]) for name in names}
        train: dict[str, Any] = {
            name: getattr(self._train, name) for name in ("spec", "wanted", "slope", "law", "noise")
        }
        self._done(PulseCase(defects=seen[0].defects, **train, **pulses))


class StateWatch:
    """Looks at some pulses of one train on ODE devices while they are given.

    Parameters are those of :class:`PulseWatch`.
    """

    def __init__(self, train: SeenTrain, beats: frozenset[int], done: Callable[[StateCase], None]) -> None:
        self._train, self.beats, self._done = train, beats, done
        self._left = len(beats)
        self._seen: list[tuple[SeenStatePulse, Floats]] = []

    def see(self, pulse: SeenStatePulse) -> None:
        """Note one pulse of the train."""
        # A line that breaks in between makes another circuit of the rest.
        if not self._seen or pulse.defects == self._seen[0][0].defects:
            # Stuck cells may have been left anywhere; what they conduct is in the defects.
            state = np.zeros(pulse.before.shape)
            free = ~pulse.stuck
            state[free] = state_of(pulse.model, pulse.after[free])
            self._seen.append((pulse, state))
        self._left -= 1
        if self._left == 0:
            pulses, states = zip(*self._seen, strict=True)
            trains = tuple(PulseTrain(device=each.model, pulses=(each.pulse,)) for each in pulses)
            before, energy = np.array([each.before for each in pulses]), np.array([each.energy for each in pulses])
            self._done(StateCase(self._train.spec, pulses[0].defects, trains, before, np.array(states), energy))


def auditor_of(engine: object) -> ChipAuditor | None:
    """Return what chooses operations for an audited engine; None for another."""
    if not isinstance(engine, AuditedEngine):
        return None

    def take(sample: Sample) -> None:
        engine.audit(sample.case, name=sample.name, provenance=sample.provenance)

    return ChipAuditor(take, fraction=engine.fraction, seed=engine.seed)
