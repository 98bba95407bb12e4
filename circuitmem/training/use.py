"""A finished chip over the years: it rests, is checked and refreshed periodically, and is tested."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from circuitmem.calibration import DriftWatch, Refresh, refresh
from circuitmem.config import UseSpec
from circuitmem.control import ATTOJOULE, PICOSECOND, Process, picoseconds
from circuitmem.network import HardwareNetwork

__all__ = ["Upkeep", "check_vectors"]

Floats = np.typing.NDArray[np.float64]

UPKEEP = ("reference", "drift check", "re-calibration", "refresh")
"""Phases of a chip's accounts that belong to upkeep."""


def check_vectors(network: HardwareNetwork, inputs: Floats, spec: UseSpec) -> DriftWatch | None:
    """Return the declared watch over a network; None if no checks are declared."""
    if spec.check_every is None:
        return None
    period = picoseconds(spec.check_every)
    return DriftWatch(network, inputs, spec.vectors, period, spec.limit, spec.correction)


@dataclass
class Upkeep:
    """The upkeep of one network, from now on.

    Parameters
    ----------
    network : HardwareNetwork
        Programmed, and calibrated or trained.
    spec : UseSpec
        The declared upkeep.
    inputs : (samples, inputs) ndarray
        Known inputs, for checks.

    Attributes
    ----------
    refreshes : list of Refresh
        The refreshes so far.
    spent : int
        Time that upkeep has taken [ps].
    """

    network: HardwareNetwork
    spec: UseSpec
    inputs: Floats
    refreshes: list[Refresh] = field(default_factory=list)
    spent: int = 0

    def __post_init__(self) -> None:
        self.watch = check_vectors(self.network, self.inputs, self.spec)
        self._began = self._until = self.network.chip.clock

    def begin(self) -> Process:
        """Measure the reference products; do nothing if no checks are declared."""
        chip = self.network.chip
        began = self._began = self._until = chip.clock
        if self.watch is not None:
            with chip.during("reference"):
                yield from self.watch.begin()
        self.spent += chip.clock - began

    def rest(self, seconds: float) -> Process:
        """Let the chip rest until ``seconds`` after the beginning [s], with all upkeep that falls into this time."""
        chip = self.network.chip
        until = self._began + picoseconds(seconds, least=0)
        tolerance = chip.spec.programming.verify_tolerance
        for when, is_refresh in self._events(until):
            yield from chip.wait_until(when)
            began = chip.clock
            if is_refresh:
                self.refreshes.append((yield from refresh(self.network, tolerance)))
            elif self.watch is not None:
                yield from self.watch.check()
            self.spent += chip.clock - began
        yield from chip.wait_until(until)
        self._until = max(until, self._until)

    def _events(self, until: int) -> list[tuple[int, bool]]:
        """Return the times of upkeep up to ``until`` [ps], and whether each is a refresh; that comes before a check."""
        found = []
        for every, is_refresh in ((self.spec.refresh_every, True), (self.spec.check_every, False)):
            if every is not None:
                period = picoseconds(every)
                first = (self._until - self._began) // period + 1
                last = (until - self._began) // period
                found += [(self._began + k * period, is_refresh) for k in range(first, last + 1)]
        return sorted(found, key=lambda event: (event[0], not event[1]))

    def summary(self) -> dict[str, Any]:
        """Return the upkeep so far: ``time_s``, ``energy_j``, ``checks``, ``calibrations``, ``refreshes``, ...

        ``refresh_pulses`` counts the pulses of all refreshes.
        """
        chip, checks = self.network.chip, self.watch.checks if self.watch is not None else []
        phases = chip.ledger.by("phase")
        energy = sum(phases[name].energy for name in UPKEEP if name in phases)
        return {
            "time_s": self.spent * PICOSECOND,
            "energy_j": energy * ATTOJOULE,
            "checks": len(checks),
            "calibrations": sum(check.recalibrated for check in checks),
            "refreshes": len(self.refreshes),
            "refresh_pulses": sum(each.pulses for each in self.refreshes),
        }
