"""The random sample of a chip's operations that another engine computes again, chosen while the chip works.

A random number is drawn for each operation, at an address of its own in the random stream: so the choice does not
depend on the order of events, and a resumed run makes the same choice. The sample consists of the operations whose
number is below ``fraction``. If they are fewer than ``least``, those with the next smallest numbers fill it up; either
way all operations have the same chance.
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
        Called with each :class:`Sample` as soon as it is certain to be part of the audit.
    fraction : float
        Fraction of the operations that is chosen, in [0, 1].
    least : int
        Least number of operations of each kind that are chosen, if there are so many, >= 0.
    reads, pulses : int
        Most reads of a chosen operation, and pulses of a chosen train, that are looked at, >= 1.
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
        """Count read operation ``number`` of a tile, just done, and return whether the audit looks at it."""
        return self._draw("read", tile, number) is not None

    def some_reads(self, tile: int, number: int, count: int) -> NDArray[np.intp]:
        """Return which of the reads of an operation are looked at, rising.

        Parameters
        ----------
        tile, number : int
            The tile, and the number of the operation among its reads.
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
        """Take reads that :meth:`wants_reads` asked for, as part of the sample or as candidates for it."""
        draw = self._peek("read", seen.tile, seen.number)
        assert draw is not None
        case = ReadCase(Tile(seen.spec, seen.conductance, seen.defects), seen.voltages, seen.currents)
        self._keep("read", Sample(draw, seen.tile, seen.number, seen.time, seen.operation, case))

    def some_beats(self, tile: int, number: int, beats: NDArray[np.intp]) -> frozenset[int] | None:
        """Count a programming train that begins, and return its beats that are looked at; None if it is not chosen.

        Parameters
        ----------
        tile, number : int
            The tile, and the number of the train among its trains.
        beats : ndarray of int
            All beats of the train.

        Returns
        -------
        chosen : set of int, or None
        """
        if self._draw("pulse_train", tile, number) is None:
            return None
        rng = stream(self._seed, Purpose.AUDIT, *self._key, len(_KINDS) + 1, tile, number)
        return frozenset(rng.permutation(beats)[: self.pulses].tolist())

    def train(self, seen: SeenTrain, beats: frozenset[int]) -> PulseWatch | StateWatch:
        """Return the watch that looks at these beats of a train."""
        draw = self._peek("pulse_train", seen.tile, seen.number)
        assert draw is not None

        def done(case: PulseCase | StateCase) -> None:
            self._keep("pulse_train", Sample(draw, *seen[:2], seen.time, seen.operation, case))

        return StateWatch(seen, beats, done) if seen.stateful else PulseWatch(seen, beats, done)

    def finish(self) -> None:
        """Choose as many candidates of each kind as are missing to the least number."""
        for kind in _KINDS:
            missing = self.least - len(self.samples[kind])
            for sample in self._kept[kind][: max(0, missing)]:
                self._choose(kind, sample)
            self._kept[kind] = []

    def _draw(self, kind: str, tile: int, number: int) -> float | None:
        """Count an operation and return its random number; None if it certainly will not be chosen."""
        self.seen[kind] += 1
        return self._peek(kind, tile, number)

    def wants_train(self, tile: int, number: int) -> bool:
        """Return whether train ``number`` of a tile may be chosen; if not, count it (else :meth:`some_beats` does)."""
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
        """Go back to what :meth:`state` returned, and pass on the chosen operations again."""
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
        """Note the conductances, (rows, columns) S, that an interrupted train aims at when it continues."""
        self._train = self._train._replace(wanted=wanted)

    def see(self, pulse: SeenPulse) -> None:
        """Note one pulse of the train."""
        # After a line breaks in the middle of a train, the remaining pulses belong to another circuit.
        if not self._seen or pulse.defects == self._seen[0].defects:
            self._seen.append(pulse)
        self._left -= 1
        if self._left == 0:
            self._finish()

    def _finish(self) -> None:
        # RESETs first: the order in time depends on the granularity.
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
        # After a line breaks in between, the remaining pulses belong to another circuit.
        if not self._seen or pulse.defects == self._seen[0][0].defects:
            # The programmed value of a stuck cell may be anything; what it conducts is in the defects.
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
    """Return the auditor of an audited engine; None for any other engine."""
    if not isinstance(engine, AuditedEngine):
        return None

    def take(sample: Sample) -> None:
        engine.audit(sample.case, name=sample.name, provenance=sample.provenance)

    return ChipAuditor(take, fraction=engine.fraction, seed=engine.seed)
