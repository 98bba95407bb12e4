"""The state of all tiles of a chip in stacks, one part for each tile, so that whole layers are computed at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.stack_pulses import PulseWires
from circuitmem._kernels.stack_reads import StackChannels
from circuitmem.control.unit import Unit
from circuitmem.tile import DefectMap

__all__ = ["ChipState"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class ChipState:
    """What the cells of a chip were asked for and conduct, with a leading axis of tiles.

    The arrays are the state itself: tiles passed to :meth:`take` keep their own state in them.

    Parameters
    ----------
    count, rows, columns : int
        Number of tiles to come, and their size.

    Attributes
    ----------
    units : list of Unit
        All tiles, in order.
    asked : (tiles, rows, columns) ndarray
        Conductance that each cell was last programmed towards [S].
    conductance, effective : (tiles, rows, columns) ndarray
        As programmed, and as the circuit has it [S].
    """

    def __init__(self, count: int, rows: int, columns: int) -> None:
        self.units: list[Unit] = []
        shape = count, rows, columns
        self.asked, self.conductance, self.effective = (np.empty(shape) for _ in range(3))
        self._stuck = np.zeros(shape, dtype=bool)
        self._dead = np.zeros(shape[:2], dtype=bool)
        self._defects: list[DefectMap | None] = [None] * count
        self._channels: dict[tuple[int, int], tuple[list[tuple[Floats, Mask, float]], StackChannels]] = {}

    def take(self, unit: Unit) -> Unit:
        """Keep the state of a tile in its place from now on, and return the tile."""
        place = unit.index
        unit.keep_in(self.asked[place], self.conductance[place], self.effective[place])
        return unit

    def part(self, units: Sequence[Unit]) -> slice | None:
        """Return where consecutive tiles lie in the stacks; None if the tiles are not consecutive."""
        first = units[0].index
        alike = all(unit.index == first + place for place, unit in enumerate(units))
        return slice(first, first + len(units)) if alike else None

    def channels(self, part: slice) -> StackChannels:
        """Return the converters of consecutive tiles at the present gains of their amplifiers, without offset currents.

        They are assembled again only if a gain, a working channel or the ADC noise has changed since the last call.
        What they have in common, such as the ADC noise, must be equal for all tiles.
        """
        key = part.start, part.stop
        banks = [unit.readout.adc for unit in self.units[part]]
        kept = self._channels.get(key)
        if kept is not None:
            seen = zip(banks, kept[0], strict=True)
            if all(bank.pga_gain is g and bank.alive is a and bank.noise == n for bank, (g, a, n) in seen):
                return kept[1]
        each = [unit.readout.channels() for unit in self.units[part]]
        found = StackChannels.of(each, banks[0].spec.highest_code)
        self._channels[key] = [(bank.pga_gain, bank.alive, bank.noise) for bank in banks], found
        return found

    def stuck(self, part: slice) -> Mask:
        """Return which cells of consecutive tiles ignore pulses, (tiles, rows, columns)."""
        self._look(part)
        return self._stuck[part]

    def dead_drivers(self, part: slice) -> Mask:
        """Return which drivers of consecutive tiles are dead, (tiles, rows)."""
        self._look(part)
        return self._dead[part]

    def _look(self, part: slice) -> None:
        """Bring the masks up to date with new defects."""
        for place, unit in enumerate(self.units[part], part.start):
            defects = unit.tile.defects
            if defects is not self._defects[place]:
                self._defects[place] = defects
                self._stuck[place] = unit.tile.stuck
                self._dead[place] = False if defects.dead_drivers is None else defects.dead_drivers

    def wires(self, part: slice) -> PulseWires:
        """Return the wires and drivers through which the rows of consecutive tiles are programmed."""
        units = self.units[part]
        cell, dead = units[0].spec.tile.cell, self.dead_drivers(part)
        # If no line is cut, all tiles have the wires of the design.
        own = units if any(unit.tile.defects.cuts_lines for unit in units) else units[:1]
        return PulseWires(
            [unit.tile.wires[0] for unit in own],
            [unit.ground_resistance for unit in own],
            dead if dead.any() else None,
            cell.series_resistance,
        )
