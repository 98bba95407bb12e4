"""Accounts of a chip: how often each kind of operation ran, where and when, for how long, and what it cost.

Times are integer picoseconds and energies integer attojoules, so that sums do not depend on the order of events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["ATTOJOULE", "PICOSECOND", "Account", "Ledger", "attojoules", "picoseconds"]

PICOSECOND = 1e-12
ATTOJOULE = 1e-18


def picoseconds(seconds: float) -> int:
    """Return a duration [s] as an integer number of picoseconds, at least 1."""
    return max(1, round(seconds / PICOSECOND))


def attojoules(joules: float | NDArray[np.float64]) -> int:
    """Return the sum of energies [J], each rounded to an integer number of attojoules."""
    return int(np.rint(np.asarray(joules) / ATTOJOULE).astype(np.int64).sum())


@dataclass
class Account:
    """What operations added up to: times in ps, energy in aJ."""

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


class Ledger:
    """One account for each phase, kind of operation and tile, and the energy by what used it.

    Attributes
    ----------
    entries : dict
        Account by (phase, kind, tile); the tile is -1 where an operation belongs to none.
    parts : dict
        Energy [aJ] by (kind, part): ``"array"``, ``"dac"``, ``"amplifier"``, ``"adc"``, ``"driver"``, ``"core"``,
        ``"bus"``.
    total : Account
        Everything.
    """

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str, int], Account] = {}
        self.parts: dict[tuple[str, str], int] = {}
        self.total = Account()

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
        """Book finished operations of one kind, their energy [aJ] given by part; returns what was booked."""
        booked = Account(operations, busy, sum(energy.values()), pulses, saturated)
        self.entries.setdefault((phase, kind, tile), Account()).add(booked)
        self.total.add(booked)
        for part, joules in energy.items():
            self.parts[kind, part] = self.parts.get((kind, part), 0) + joules
        return booked

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
        """Return the energy [aJ] by what used it."""
        sums: dict[str, int] = {}
        for (_, part), energy in sorted(self.parts.items()):
            sums[part] = sums.get(part, 0) + energy
        return sums

    def state(self) -> dict[str, Any]:
        """Return everything as plain values, for a checkpoint."""
        return {
            "entries": [[*key, asdict(account)] for key, account in self.entries.items()],
            "parts": [[*key, energy] for key, energy in self.parts.items()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what :meth:`state` returned."""
        self.entries = {(phase, kind, tile): Account(**booked) for phase, kind, tile, booked in state["entries"]}
        self.parts = {(kind, part): energy for kind, part, energy in state["parts"]}
        self.total = Account()
        for account in self.entries.values():
            self.total.add(account)

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Return the accounts by kind as plain numbers, for a file."""
        return {kind: asdict(account) for kind, account in self.accounts.items()}
