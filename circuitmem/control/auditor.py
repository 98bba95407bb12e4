"""Which operations of a chip are done again by another engine: a random sample, chosen while the chip works.

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
from circuitmem._kernels.noise import Address
from circuitmem.config import OdeDevice, PulseTrain
from circuitmem.config import Pulse as LinePulse
from circuitmem.control.electrics import Electrics
from circuitmem.control.unit import Unit
from circuitmem.device import state_of
from circuitmem.engine import AuditedEngine, PulseCase, ReadCase, StateCase, case_from_arrays
from circuitmem.rng import Purpose, stream
from circuitmem.tile import DefectMap, Tile

__all__ = ["ChipAuditor", "Pulse", "PulseWatch", "Sample", "auditor_of"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_KINDS = ("read", "pulse_train")
_BLOCK = 1024
"""Numbers that are drawn at once."""


class Pulse(NamedTuple):
    """One pulse of a programming train."""

    is_set: bool
    cells: Mask
    voltage: float
    """V."""
    power: float
    """What the drivers deliver [W]."""
    driven: Floats
    """What the cells conduct [S]."""
    before: Floats
    """As programmed before it [S]."""
    after: Floats
    """As programmed after it [S]."""


class Sample(NamedTuple):
    """An operation that was chosen, or may be."""

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
    """Chooses operations of a chip and hands them on.

    Parameters
    ----------
    electrics : Electrics
        What computes the circuits of the chip.
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
        electrics: Electrics,
        take: Callable[[Sample], None],
        *,
        fraction: float,
        least: int = 0,
        reads: int = 4,
        pulses: int = 4,
        seed: int = 0,
        key: tuple[int, ...] = (),
    ) -> None:
        self._electrics, self._take = electrics, take
        self.fraction, self.least, self.reads, self.pulses = fraction, least, reads, pulses
        self._seed, self._key = seed, key
        self._blocks: dict[tuple[int, int], tuple[int, Floats]] = {}
        self.seen = dict.fromkeys(_KINDS, 0)
        self.samples: dict[str, list[Sample]] = {kind: [] for kind in _KINDS}
        self._kept: dict[str, list[Sample]] = {kind: [] for kind in _KINDS}

    def read(self, unit: Unit, drives: Callable[[], NDArray[np.int64]], operation: str, now: int) -> None:
        """Look at reads of a tile that were just answered, and begin at ``now`` [ps]; perhaps keep some of them.

        Parameters
        ----------
        unit : Unit
            The tile.
        drives : callable
            Gives their DAC codes, (batch, rows); asked only if they are looked at.
        operation : str
            What they were booked as.
        now : int
            When they begin [ps].
        """
        draw = self._draw("read", unit.index, unit.reads)
        if draw is None:
            return
        rng = stream(self._seed, Purpose.AUDIT, *self._key, len(_KINDS), unit.index, unit.reads)
        codes = drives()
        chosen = np.sort(rng.permutation(len(codes))[: self.reads])
        voltages = unit.readout.dac.voltages(codes[chosen])
        currents, _ = self._electrics.currents(unit, voltages)
        # A copy, with what was broken then: a chip changes, wears and fails while it works.
        tile = Tile(unit.tile.spec, unit.tile.conductance, unit.tile.defects)
        case = ReadCase(tile, voltages, np.array(currents))
        self._keep("read", Sample(draw, unit.index, unit.reads, now, operation, case))

    def train(
        self, unit: Unit, wanted: Floats, noise: Address, beats: NDArray[np.intp], operation: str, now: int
    ) -> PulseWatch | StateWatch | None:
        """Say whether a programming train that begins at ``now`` [ps], with these beats, is looked at, and which.

        Parameters
        ----------
        unit : Unit
            The tile.
        wanted : (rows, columns) ndarray
            Target conductances [S].
        noise : Address
            Where the noise of its pulses is drawn.
        beats : ndarray of int
            Rows that get pulses, in their order.
        operation : str
            What the train is booked as.
        now : int
            When it begins [ps].
        """
        draw = self._draw("pulse_train", unit.index, unit.updates)
        if draw is None:
            return None
        rng = stream(self._seed, Purpose.AUDIT, *self._key, len(_KINDS) + 1, unit.index, unit.updates)
        chosen = frozenset(rng.permutation(beats)[: self.pulses].tolist())
        place = unit.index, unit.updates, now, operation

        def done(case: PulseCase | StateCase) -> None:
            self._keep("pulse_train", Sample(draw, *place, case))

        if unit.spec.device.stateful:
            return StateWatch(unit, chosen, done)
        return PulseWatch(unit, wanted, noise, chosen, done)

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

    def wants_train(self, unit: Unit, number: int) -> bool:
        """Say whether a train that begins, with this number among its tile's, may be chosen; if not, it is counted."""
        wanted = self._peek("pulse_train", unit.index, number) is not None
        if not wanted:
            self.seen["pulse_train"] += 1
        return wanted

    def _peek(self, kind: str, tile: int, number: int) -> float | None:
        place = _KINDS.index(kind), tile
        block, numbers = self._blocks.get(place, (-1, np.zeros(0)))
        if block != number // _BLOCK:
            block = number // _BLOCK
            numbers = stream(self._seed, Purpose.AUDIT, *self._key, *place, block).random(_BLOCK)
            self._blocks[place] = block, numbers
        draw = float(numbers[number % _BLOCK])
        kept = self._kept[kind]
        if draw < self.fraction or (
            len(self.samples[kind]) < self.least and (len(kept) < self.least or draw < kept[-1].draw)
        ):
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
    unit : Unit
        The tile.
    wanted : (rows, columns) ndarray
        Wanted conductance [S].
    noise : Address
        Where the noise of the train is found.
    beats : set of int
        The pulses that are looked at, by their beats.
    done : callable
        Called with the case, when all of them have been given.
    """

    def __init__(
        self, unit: Unit, wanted: Floats, noise: Address, beats: frozenset[int], done: Callable[[PulseCase], None]
    ) -> None:
        self._unit, self.wanted, self._noise = unit, wanted, noise
        self.beats = beats
        self._done = done
        self._left = len(beats)
        self._defects: DefectMap | None = None
        self._seen: list[tuple[Any, ...]] = []

    def see(self, pulse: Pulse) -> None:
        """Note one pulse of the train."""
        defects = self._unit.wire_defects
        self._defects = self._defects or defects
        if defects == self._defects:  # a line that breaks in the middle of a train makes another circuit of the rest
            driven, before, after = (np.where(pulse.cells, array, 0.0) for array in pulse[4:])
            self._seen.append((*pulse[:4], driven, before, after))
        self._left -= 1
        if self._left == 0:
            self._finish()

    def _finish(self) -> None:
        # RESETs first, whatever came first in time: that depends on the granularity.
        seen = sorted(self._seen, key=lambda pulse: (pulse[0], int(np.flatnonzero(pulse[1])[0])))
        is_set, cells, voltage, power, driven, before, after = (np.array(c) for c in zip(*seen, strict=True))
        unit, devices = self._unit, self._unit.devices
        assert self._defects is not None
        case = PulseCase(
            spec=unit.tile.spec,
            defects=self._defects,
            is_set=is_set,
            cells=cells,
            voltage=voltage,
            driven=driven,
            power=power,
            before=before,
            after=after,
            wanted=np.array(self.wanted),
            slope=devices.slope,
            law=devices.law,
            noise=self._noise,
        )
        self._done(case)


class StateWatch:
    """Looks at some pulses of one train on ODE devices while they are given.

    Parameters
    ----------
    unit : Unit
        The tile.
    beats : set of int
        The pulses that are looked at, by their beats.
    done : callable
        Called with the case, when all of them have been given.
    """

    def __init__(self, unit: Unit, beats: frozenset[int], done: Callable[[StateCase], None]) -> None:
        self._unit, self.beats, self._done = unit, beats, done
        self._left = len(beats)
        self._defects: DefectMap | None = None
        self._seen: list[tuple[PulseTrain, Floats, Floats, float]] = []

    def see(self, model: OdeDevice, pulse: LinePulse, before: Floats, after: Floats, energy: float) -> None:
        """Note one pulse of the train: what was programmed before and after it [S], and its energy [J]."""
        unit = self._unit
        self._defects = self._defects or unit.tile.defects
        if unit.tile.defects == self._defects:  # a line that breaks in between makes another circuit of the rest
            # Stuck cells may have been left anywhere; what they conduct is in the defects.
            state = np.zeros(before.shape)
            free = ~unit.tile.stuck
            state[free] = state_of(model, after[free])
            self._seen.append((PulseTrain(device=model, pulses=(pulse,)), before, state, energy))
        self._left -= 1
        if self._left == 0:
            trains, befores, states, energies = zip(*self._seen, strict=True)
            arrays = (np.array(each) for each in (befores, states, energies))
            self._done(StateCase(unit.tile.spec, self._defects, tuple(trains), *arrays))


def auditor_of(engine: object, electrics: Electrics) -> ChipAuditor | None:
    """Return what chooses operations for an audited engine; None for another."""
    if not isinstance(engine, AuditedEngine):
        return None

    def take(sample: Sample) -> None:
        engine.audit(sample.case, name=sample.name, provenance=sample.provenance)

    return ChipAuditor(electrics, take, fraction=engine.fraction, seed=engine.seed)
