"""The state of all tiles of a chip in stacks, one part for each tile, so that whole layers are computed at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Addresses
from circuitmem._kernels.stack_pulses import PulseWires
from circuitmem._kernels.stack_reads import StackChannels
from circuitmem.control.arbiter import Resource
from circuitmem.control.unit import Unit
from circuitmem.control.used_lines import ReadCost
from circuitmem.rng import Purpose, stream_key
from circuitmem.tile import DefectMap, Tile

__all__ = ["ChipState", "TileGroup"]

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class TileGroup(NamedTuple):
    """What never changes about consecutive tiles: it is worked out once for all their operations."""

    numbers: Counts
    """Their numbers on the chip, (tiles,)."""
    resources: list[Resource]
    """Arrays and converters that their reads hold."""
    is_apart: bool
    """Whether no two of them share one of these."""
    cost: ReadCost
    """Cost of one read of all lines of one of them."""


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
    counts : (tiles, 3) ndarray of int
        How many operations have read each tile and programmed it, and how many row pulses it has had.
    slope : (tiles, rows, columns) ndarray, optional
        Conductance per gate voltage of each device [S/V], once the chip keeps it.
    changes : (tiles, 2) ndarray of int
        How often each tile has changed, and how often its defects have.
    """

    def __init__(self, count: int, rows: int, columns: int) -> None:
        self.units: list[Unit] = []
        self._tiles: list[Tile] = []
        shape = count, rows, columns
        self.counts, self.changes = (np.zeros((count, each), dtype=np.int64) for each in (3, 2))
        self.asked, self.conductance, self.effective = (np.empty(shape) for _ in range(3))
        self.slope: Floats | None = None
        self._stuck = np.zeros(shape, dtype=bool)
        self._dead = np.zeros(shape[:2], dtype=bool)
        self._defects: list[DefectMap | None] = [None] * count
        self._seen = -1  # changes of defects that the masks below have followed
        self._cut = self._plain = False
        self._wires: dict[tuple[int, int], PulseWires] = {}
        self._groups: dict[tuple[int, int], TileGroup] = {}
        self._keys: dict[tuple[Purpose, int], NDArray[np.uint64]] = {}
        self._channels: dict[tuple[int, int], tuple[list[tuple[Floats, Mask, float]], StackChannels]] = {}

    def take(self, unit: Unit) -> Unit:
        """Keep the state of a tile in its place from now on, and return the tile."""
        place = unit.index
        cells = self.asked[place], self.conductance[place], self.effective[place]
        unit.keep_in(*cells, self.counts[place], self.changes[place])
        return unit

    @property
    def tiles(self) -> list[Tile]:
        """All tiles, in order: always the same list."""
        if len(self._tiles) != len(self.units):
            self._tiles = [unit.tile for unit in self.units]
        return self._tiles

    def part(self, units: Sequence[Unit]) -> slice | None:
        """Return where consecutive tiles lie in the stacks; None if the tiles are not consecutive."""
        first = units[0].index
        part = slice(first, first + len(units))
        return part if self.units[part] == list(units) else None  # units are equal if they are the same

    def group(self, part: slice) -> TileGroup:
        """Return what never changes about consecutive tiles."""
        key = part.start, part.stop
        if key not in self._groups:
            units = self.units[part]
            resources = [resource for unit in units for resource in (unit.array, unit.dacs, unit.adcs)]
            apart = len(set(resources)) == len(resources)
            self._groups[key] = TileGroup(np.arange(*key), resources, apart, units[0].whole_read)
        return self._groups[key]

    def noise_of(self, part: slice, purpose: Purpose, seed: int) -> Addresses:
        """Return the addresses of the noise of the next reads of consecutive tiles, or of their next updates.

        Parameters
        ----------
        part : slice
            The tiles.
        purpose : Purpose
            ``READ_NOISE`` or ``PULSE_NOISE``.
        seed : int
            Seed of the noise.
        """
        keys = self._keys.get((purpose, seed))
        if keys is None:
            each = [stream_key(seed, purpose, unit.index) for unit in self.units]
            keys = self._keys[purpose, seed] = np.array(each, dtype=np.uint64)
        done = self.counts[part, 0 if purpose is Purpose.READ_NOISE else 1]
        return Addresses(keys[part], done.astype(np.uint64))

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
        self._look()
        return self._stuck[part]

    def dead_drivers(self, part: slice) -> Mask:
        """Return which drivers of consecutive tiles are dead, (tiles, rows)."""
        self._look()
        return self._dead[part]

    @property
    def is_plain(self) -> bool:
        """Whether no tile of the chip has a cut line, a bridge or a dead driver."""
        self._look()
        return self._plain

    def _look(self) -> None:
        """Bring what follows from defects up to date with new ones."""
        changes = int(self.changes[:, 1].sum())
        if changes == self._seen:
            return
        self._wires.clear()
        for place, tile in enumerate(self.tiles):
            defects = tile.defects
            if defects is not self._defects[place]:
                self._defects[place] = defects
                self._stuck[place] = tile.stuck
                self._dead[place] = False if defects.dead_drivers is None else defects.dead_drivers
        each = [tile.defects for tile in self.tiles]
        self._cut = any(own.cuts_lines for own in each)
        self._plain = not self._cut and all(not own.bridges and own.dead_drivers is None for own in each)
        self._seen = changes  # last: if this is interrupted, the next call does it again

    def wires(self, part: slice) -> PulseWires:
        """Return the wires and drivers through which the rows of consecutive tiles are programmed."""
        self._look()
        key = part.start, part.stop
        if key not in self._wires:
            units, dead = self.units[part], self.dead_drivers(part)
            own = units if self._cut else units[:1]  # if no line is cut, all tiles have the wires of the design
            self._wires[key] = PulseWires(
                [unit.tile.wires[0] for unit in own],
                [unit.ground_resistance for unit in own],
                dead if dead.any() else None,
                units[0].spec.tile.cell.series_resistance,
            )
        return self._wires[key]
