"""Accounts of a chip: how often each kind of operation ran, where and when, for how long, and what it cost.

Times are integer picoseconds and energies integer attojoules, so that sums do not depend on the order of events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from operator import itemgetter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from circuitmem.config.quantity import CLOCK_LIMIT, LONGEST_JOB
from circuitmem.errors import ValidationError

__all__ = [
    "ATTOJOULE",
    "PICOSECOND",
    "Account",
    "Ledger",
    "attojoules",
    "attojoules_each",
    "attojoules_of_groups",
    "on_clock",
    "picoseconds",
]

Amounts = Sequence[int] | NDArray[np.int64]
"""One integer for each tile."""

FIELDS = "operations", "busy", "energy", "pulses", "saturated"
"""Fields of an :class:`Account`."""

PICOSECOND = 1e-12
ATTOJOULE = 1e-18
EXACT = 2.0**62
"""Sums below this many attojoules use 64-bit integers, larger ones Python's integers."""


def picoseconds(seconds: float, least: int = 1) -> int:
    """Return a duration [s] as an integer number of picoseconds, at least ``least``: by default, it is never 0.

    Raises
    ------
    ValidationError
        If it is not finite.
    """
    steps = seconds / PICOSECOND
    if not isfinite(steps):
        raise ValidationError("simulated time", "must be finite", seconds)
    return max(least, round(steps))


def on_clock(time: int, begin: int | None = None) -> int:
    """Return ``time`` [ps] if the clock reaches it, and if an operation that begins at ``begin`` can last so long.

    Raises
    ------
    ValidationError
        If it lies beyond the end of the clock, or if the duration exceeds the 64 bits that arrays of durations have.
    """
    if begin is not None and time - begin > LONGEST_JOB:
        rule = f"must stay below {LONGEST_JOB * PICOSECOND:.4g} s from the beginning of an operation to its end"
        raise ValidationError("simulated time", rule, float(f"{(time - begin) * PICOSECOND:.4g}"))
    if time > CLOCK_LIMIT:
        rule = f"must stay below {CLOCK_LIMIT * PICOSECOND:.4g} s, where the clock of the chip ends"
        raise ValidationError("simulated time", rule, float(f"{time * PICOSECOND:.4g}"))
    return time


def attojoules(joules: float | NDArray[np.float64]) -> int:
    """Return the sum of energies [J], each rounded to an integer number of attojoules; it is exact, however large.

    Raises
    ------
    ValidationError
        If one is not finite.
    """
    with np.errstate(over="ignore"):  # what is not finite is refused below
        steps = np.rint(np.asarray(joules) / ATTOJOULE)
    largest = float(np.abs(steps).max(initial=0.0))
    if largest * steps.size < EXACT:  # then the sum fits too; comparisons with NaN are false
        return int(steps.astype(np.int64).sum())
    if not isfinite(largest):
        raise ValidationError("energy", "must be finite, that of each operation", float(np.asarray(joules).max()))
    return sum(int(step) for step in steps.ravel())


def attojoules_each(joules: NDArray[np.float64]) -> list[int]:
    """Return the sum of each row of energies, (things, each) J, in attojoules, (things,): see :func:`attojoules`."""
    with np.errstate(over="ignore"):
        steps = np.rint(joules / ATTOJOULE)
    if steps.size and float(np.abs(steps).max()) * steps.shape[1] < EXACT:
        return list(steps.astype(np.int64).sum(axis=1).tolist())
    return [attojoules(row) for row in joules]


def attojoules_of_groups(joules: NDArray[np.float64], sizes: NDArray[np.int64]) -> list[int]:
    """Return the sums of consecutive groups of energies [J], of these sizes, in attojoules: see :func:`attojoules`."""
    with np.errstate(over="ignore"):
        steps = np.rint(joules / ATTOJOULE)
    ends = np.cumsum(sizes)
    if float(np.abs(steps).max(initial=0.0)) * steps.size < EXACT:
        sums = np.concatenate([[0], np.cumsum(steps.astype(np.int64))])
        return [int(each) for each in sums[ends] - sums[ends - sizes]]
    return [attojoules(joules[end - size : end]) for end, size in zip(ends.tolist(), sizes.tolist(), strict=True)]


@dataclass
class Account:
    """Sums over operations: times in ps, energy in aJ."""

    operations: int = 0
    busy: int = 0
    energy: int = 0
    pulses: int = 0
    saturated: int = 0

    def add(self, other: Account) -> None:
        """Add what another account holds."""
        self.operations += other.operations
        self.busy += other.busy
        self.energy += other.energy
        self.pulses += other.pulses
        self.saturated += other.saturated


class _Sums:
    """Sums of one phase and kind that are not in the accounts yet, in 64-bit integers: one column for each tile."""

    def __init__(self) -> None:
        self.values = np.zeros((len(FIELDS), 0), dtype=np.int64)
        self.bound = 0  # no sum is larger

    def add(self, tiles: NDArray[np.int64], values: NDArray[np.int64]) -> None:
        """Add values, (fields, tiles), to the sums of different tiles."""
        missing = int(tiles.max()) + 1 - self.values.shape[1]
        if missing > 0:
            self.values = np.pad(self.values, ((0, 0), (0, missing)))
        self.values[:, tiles] += values
        self.bound += int(values.max())

    def drain(self) -> list[tuple[int, Account]]:
        """Return the sums of the tiles that have any, and begin again."""
        some = np.flatnonzero(self.values.any(axis=0))
        found = [Account(*own) for own in self.values[:, some].T.tolist()]
        self.values[:], self.bound = 0, 0
        return list(zip(some.tolist(), found, strict=True))


class Ledger:
    """One account for each phase, kind of operation and tile, and the energy by part of the chip.

    Attributes
    ----------
    parts : dict
        Energy [aJ] by (kind, part): ``"array"``, ``"dac"``, ``"amplifier"``, ``"adc"``, ``"driver"``, ``"core"``,
        ``"bus"``.
    total : Account
        Sum of all accounts.
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str, int], Account] = {}
        self._sums: dict[tuple[str, str], _Sums] = {}
        self.parts: dict[tuple[str, str], int] = {}
        self.total = Account()

    @property
    def entries(self) -> dict[tuple[str, str, int], Account]:
        """Account by (phase, kind, tile); the tile is -1 where an operation belongs to none."""
        for (phase, kind), sums in self._sums.items():
            for tile, booked in sums.drain():
                self._entries.setdefault((phase, kind, tile), Account()).add(booked)
        return self._entries

    def add(
        self,
        kind: str,
        *,
        operations: int,
        busy: int,
        energy: Mapping[str, int],
        pulses: int = 0,
        saturated: int = 0,
        tile: int = -1,
        phase: str = "",
    ) -> Account:
        """Book finished operations of one kind; returns what was booked.

        Parameters
        ----------
        kind : str
            The account.
        operations : int
            How many of them.
        busy : int
            Their durations, added up [ps].
        energy : mapping
            Energy by part of the chip [aJ].
        pulses : int
            Programming pulses given to single cells.
        saturated : int
            Codes at the end of a converter's range.
        tile : int
            Number of the tile that did them; -1 if it was none.
        phase : str
            Part of the run that they belong to.
        """
        booked = Account(operations, busy, sum(energy.values()), pulses, saturated)
        self._entries.setdefault((phase, kind, tile), Account()).add(booked)
        self.total.add(booked)
        for part, joules in energy.items():
            self.parts[kind, part] = self.parts.get((kind, part), 0) + joules
        return booked

    def add_all(
        self,
        kind: str,
        tiles: Amounts,
        *,
        operations: Amounts | int,
        busy: Amounts | int,
        energy: Mapping[str, Amounts | int],
        pulses: Amounts | int = 0,
        saturated: Amounts | int = 0,
        phase: str = "",
    ) -> None:
        """Book finished operations of one kind on different tiles, with one value for each tile: see :meth:`add`."""
        count = len(tiles)
        given = [operations, busy, pulses, saturated, *energy.values()]
        amounts = [[each] * count if isinstance(each, int) else each for each in given]
        try:
            values = np.array(amounts, dtype=np.int64)
        except OverflowError:
            values = None
        if not count:
            return
        if values is None or int(values.max()) * values.size >= EXACT:
            self._add_each(kind, tiles, amounts, list(energy), phase)
            return
        parts = values[4:].sum(axis=1).tolist()
        fields = np.stack([values[0], values[1], values[4:].sum(axis=0), values[2], values[3]])
        own = self._sums.setdefault((phase, kind), _Sums())
        if own.bound + int(fields.max()) >= EXACT:
            _ = self.entries  # makes room in the sums
        own.add(np.asarray(tiles), fields)
        self.total.add(Account(*fields.sum(axis=1).tolist()))
        for part, joules in zip(energy, parts, strict=True):
            self.parts[kind, part] = self.parts.get((kind, part), 0) + joules

    def _add_each(
        self, kind: str, tiles: Amounts, amounts: Sequence[Amounts], parts: Sequence[str], phase: str
    ) -> None:
        """Book amounts too large for sums of 64 bits, tile by tile."""
        for tile, *own in zip(tiles, *amounts, strict=True):
            operations, busy, pulses, saturated, *spent = map(int, own)
            energy = dict(zip(parts, spent, strict=True))
            self.add(
                kind,
                operations=operations,
                busy=busy,
                energy=energy,
                pulses=pulses,
                saturated=saturated,
                tile=int(tile),
                phase=phase,
            )

    def by(self, what: Literal["phase", "kind", "tile"]) -> dict[Any, Account]:
        """Return the accounts added up by phase, kind or tile, in order."""
        place = ("phase", "kind", "tile").index(what)
        sums: dict[Any, Account] = {}
        for key, account in self.entries.items():
            sums.setdefault(key[place], Account()).add(account)
        return dict(sorted(sums.items()))

    @property
    def accounts(self) -> dict[str, Account]:
        """The accounts by kind of operation."""
        return self.by("kind")

    @property
    def energy(self) -> float:
        """Energy of all operations [J]."""
        return self.total.energy * ATTOJOULE

    @property
    def pulses(self) -> int:
        """Programming pulses given to single cells."""
        return self.total.pulses

    def energy_by_part(self) -> dict[str, int]:
        """Return the energy [aJ] by part of the chip."""
        sums: dict[str, int] = {}
        for (_, part), energy in sorted(self.parts.items()):
            sums[part] = sums.get(part, 0) + energy
        return sums

    def state(self) -> dict[str, Any]:
        """Return everything as plain values, for a checkpoint."""
        return {
            "entries": [
                [*key, dict(vars(account))] for key, account in sorted(self.entries.items(), key=itemgetter(0))
            ],
            "parts": [[*key, energy] for key, energy in self.parts.items()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned."""
        self._entries = {(phase, kind, tile): Account(**booked) for phase, kind, tile, booked in state["entries"]}
        self._sums.clear()
        self.parts = {(kind, part): energy for kind, part, energy in state["parts"]}
        self.total = Account()
        for account in self._entries.values():
            self.total.add(account)

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Return the accounts by kind as plain numbers, for a file."""
        return {kind: asdict(account) for kind, account in self.accounts.items()}
