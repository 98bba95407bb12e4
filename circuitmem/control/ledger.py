"""Accounts of a chip: how often each kind of operation ran, for how long, and what it cost.

Times are integer picoseconds and energies integer attojoules, so that sums do not depend on the order of events.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

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
    """What one kind of operation added up to: times in ps, energy in aJ."""

    operations: int = 0
    busy: int = 0
    energy: int = 0
    pulses: int = 0
    saturated: int = 0


@dataclass
class Ledger:
    """One account for each kind of operation."""

    accounts: dict[str, Account] = field(default_factory=dict)

    def add(self, kind: str, *, operations: int, busy: int, energy: int, pulses: int = 0, saturated: int = 0) -> None:
        """Book finished operations of one kind."""
        account = self.accounts.setdefault(kind, Account())
        account.operations += operations
        account.busy += busy
        account.energy += energy
        account.pulses += pulses
        account.saturated += saturated

    @property
    def energy(self) -> float:
        """Energy of all operations [J]."""
        return sum(account.energy for account in self.accounts.values()) * ATTOJOULE

    @property
    def pulses(self) -> int:
        """Programming pulses given to single cells."""
        return sum(account.pulses for account in self.accounts.values())

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Return plain numbers, for a file."""
        return {kind: asdict(account) for kind, account in sorted(self.accounts.items())}

    @classmethod
    def from_dict(cls, values: dict[str, dict[str, int]]) -> Ledger:
        """Return the ledger that :meth:`as_dict` described."""
        return cls({kind: Account(**account) for kind, account in values.items()})
