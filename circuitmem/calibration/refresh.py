"""A periodic refresh: read cells back in the background, and rewrite those that have drifted.

Cost: one read for each row of every tile; for each rewritten cell a SET pulse, after a RESET pulse if it read too high.
Limit: reads carry the errors of the converters, so the tolerance cannot be much below a step of the ADC; stuck cells
are rewritten in vain each time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuitmem.control import PICOSECOND, Priority, Process
from circuitmem.network import HardwareNetwork

__all__ = ["Refresh", "refresh", "refresh_periodically"]


@dataclass
class Refresh:
    """One refresh: when it ended [s], how many cells were out of tolerance, and how many pulses they got."""

    time_s: float
    cells: int
    pulses: int


def refresh_periodically(
    network: HardwareNetwork, period: int, tolerance: float, until: int, record: list[Refresh]
) -> Process:
    """Refresh all cells of a network every ``period`` until ``until`` [ps].

    Parameters
    ----------
    network : HardwareNetwork
        The network.
    period : int
        Time from the end of one refresh to the next [ps].
    tolerance : float
        A cell is rewritten if its read differs by more than this from the conductance that was asked of it [S].
    until : int
        When to stop [ps].
    record : list of Refresh
        Each refresh is appended.

    Returns
    -------
    Process
        For the chip's clock; it returns nothing.
    """
    chip = network.chip
    while chip.clock + period <= until:
        yield from chip.wait_until(chip.clock + period)
        record.append((yield from refresh(network, tolerance)))


def refresh(network: HardwareNetwork, tolerance: float) -> Process:
    """Rewrite all cells of a network whose reads are more than ``tolerance`` [S] away from their targets."""
    chip, cells, pulses = network.chip, 0, 0
    with chip.during("refresh"):
        for layer in network.layers:
            conductances = yield from layer.read_back("one_hot_read", Priority.BACKGROUND)
            processes = []
            for unit, found in zip(layer.units, conductances, strict=True):
                off = np.abs(found - unit.asked) > tolerance
                cells += int(off.sum())
                processes.append(chip.rewrite(unit, off, off & (found > unit.asked)))
            pulses += sum((yield from chip.together(processes)))
    return Refresh(chip.clock * PICOSECOND, cells, pulses)
