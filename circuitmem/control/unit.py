"""One tile on a chip: its array, devices and converters, and the resources that an operation holds."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from circuitmem._kernels.noise import Address
from circuitmem._kernels.pulses import ground_resistance, row_power
from circuitmem.config import ChipSpec, FaultSpec
from circuitmem.control.arbiter import Resource
from circuitmem.control.cells import CellHistory
from circuitmem.control.ledger import attojoules
from circuitmem.control.used_lines import ReadCost, UsedLines, read_cost
from circuitmem.converter import Readout
from circuitmem.device import Device, OdeCells
from circuitmem.engine import BehavioralEngine
from circuitmem.errors import ValidationError
from circuitmem.registry import find
from circuitmem.rng import Purpose, stream_key
from circuitmem.tile import DefectMap, Tile

__all__ = ["Unit", "check_devices"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class Unit:
    """A tile as fabricated, from a seed and its place on the chip.

    Cells start in the high-resistance state. ``asked`` is the conductance that each cell was last programmed towards;
    the digital core knows only this. The real conductance belongs to the tile, and only the circuit sees it.

    Parameters
    ----------
    spec : ChipSpec
        The chip.
    seed, index : int
        Seed of the fabrication, and the tile's place on the chip.

    Attributes
    ----------
    sound : bool
        Whether it is fabricated without defects, whatever the specification says.
    array : Resource
        The right to use the tile: one operation at a time.
    dacs, adcs : Resource
        Its DAC and ADC banks, or those that it shares with the other tiles of the chip.
    whole_read : ReadCost
        Time and energy of one read of all its lines.
    stroke_energy : int
        Energy that a driver uses for one pulse, besides that of the array [aJ].
    cell_noise : bool
        Whether reads have the cells' noise, white and 1/f; set it to False for reads without.
    fragile : list of (int, FaultSpec)
        Faults that come once the tile has had so many pulses, the next one first.
    """

    def __init__(
        self,
        spec: ChipSpec,
        seed: int,
        index: int,
        dacs: Resource | None,
        adcs: Resource | None,
        defective: bool = True,
    ) -> None:
        geometry, key = spec.tile_spec, (index,)
        self.index = index
        self.spec = spec
        self.sound = not defective
        defect_map = DefectMap.fabricated(spec, seed, key) if defective else DefectMap()
        self._asked = np.full(geometry.shape, spec.device.minimum_conductance)
        self.tile = Tile(geometry, self._asked, defects=defect_map)
        self.readout = Readout(spec.converters, geometry, seed, key, defect_map)
        self.devices = _device(spec)(spec.device, geometry.shape, seed, key)
        self.cells = CellHistory(spec, seed, index, self.asked)
        self._ground: tuple[Floats, Floats] | None = None
        self._offset: tuple[int, Floats] | None = None
        self._met: tuple[tuple[int, int | None, int], tuple[Any, ...]] | None = None
        self.cell_noise = True
        self._counts = np.zeros(3, dtype=np.int64)
        self.fragile: list[tuple[int, FaultSpec]] = []
        self.array = Resource(f"tile {index}", kind="tiles")
        self.dacs = dacs or Resource(f"DACs of tile {index}", kind="DACs")
        self.adcs = adcs or Resource(f"ADCs of tile {index}", kind="ADCs")
        self.whole_read = read_cost(spec)
        self.stroke_energy = attojoules(spec.programming.energy_per_pulse)

    @property
    def reads(self) -> int:
        """Number of operations that have read it."""
        return int(self._counts[0])

    @reads.setter
    def reads(self, number: int) -> None:
        self._counts[0] = number

    @property
    def updates(self) -> int:
        """Number of operations that have programmed it."""
        return int(self._counts[1])

    @updates.setter
    def updates(self, number: int) -> None:
        self._counts[1] = number

    @property
    def pulses(self) -> int:
        """Number of row pulses that it has had."""
        return int(self._counts[2])

    @pulses.setter
    def pulses(self, number: int) -> None:
        self._counts[2] = number

    @property
    def read_time(self) -> int:
        """Time of one read of all its lines [ps]."""
        return self.whole_read.time

    def read_cost(self, used: UsedLines | None) -> ReadCost:
        """Return the cost of one read of the ``used`` lines; None stands for all lines."""
        return self.whole_read if used is None else used.cost

    @property
    def asked(self) -> Floats:
        """Conductance that each cell was last programmed towards, (rows, columns) S; setting it copies."""
        return self._asked

    @asked.setter
    def asked(self, conductance: Floats) -> None:
        self._asked[...] = conductance

    def keep_in(self, asked: Floats, conductance: Floats, effective: Floats, counts: Counts, changes: Counts) -> None:
        """Keep the state in the caller's arrays from now on: parts of stacks.

        Parameters
        ----------
        asked, conductance, effective : (rows, columns) ndarray
            Of each cell [S]: what was asked of it, what it was programmed to, and what the circuit sees of it.
        counts : (3,) ndarray of int
            :attr:`reads`, :attr:`updates` and :attr:`pulses`.
        changes : (2,) ndarray of int
            How often the tile has changed: see :meth:`circuitmem.tile.Tile.keep_in`.
        """
        asked[...], counts[...] = self._asked, self._counts
        self._asked, self._counts = asked, counts
        self.tile.keep_in(conductance, effective, changes)

    def meet(self, now: int, noise_seed: int | None = None) -> None:
        """Update the tile's conductances for time, heat and, with a seed, noise up to ``now`` [ps]."""
        if not self.cells.moves:
            return
        seed = noise_seed if self.cell_noise else None
        # A read that is tried in one way and then done in another comes here more than once with the same arguments.
        history = self.cells.history
        met = self._met
        if met is not None and met[0] == (now, seed, self.tile.version) and all(map(operator.is_, met[1], history)):
            return
        present = self.cells.present(now, seed)
        if not np.array_equal(present, self.tile.conductance):
            self.tile.program(present)
        self._met = (now, seed, self.tile.version), history

    def put(self, wanted: Floats, now: int) -> None:
        """Set the cells to ``wanted``, (rows, columns) S, without pulses or noise; stuck ones stay as they are."""
        self.cells.put(wanted != self.asked, wanted, now)
        self.tile.program(self.cells.found(now) if self.cells.moves else wanted)
        self.asked = wanted

    def state(self) -> dict[str, Any]:
        """Return what changes while the chip works, for a checkpoint."""
        return {
            "asked": self.asked,
            "conductance": self.tile.conductance,
            "defects": self.tile.defects.arrays(),
            "cells": self.cells.state(),
            "pga_gain": self.readout.adc.pga_gain,
            "alive": self.readout.adc.alive,
            "reads": self.reads,
            "updates": self.updates,
            "pulses": self.pulses,
            "fragile": len(self.fragile),
        }

    def restore(self, state: Mapping[str, Any], now: int) -> None:
        """Go back to what :meth:`state` returned at ``now`` [ps]; faults that have come are taken off ``fragile``."""
        self.asked = state["asked"]
        self.tile.damage(DefectMap.from_arrays(state["defects"]))
        self.tile.program(state["conductance"])
        self.cells.restore(state["cells"], state["conductance"], now)
        self.readout.adc.set_pga_gain(state["pga_gain"])
        self.readout.adc.alive = state["alive"]
        self.reads, self.updates, self.pulses = state["reads"], state["updates"], state["pulses"]
        self.fragile = self.fragile[len(self.fragile) - state["fragile"] :]

    def offset_current(self, engine: BehavioralEngine) -> Floats | None:
        """Return the column currents that the amplifiers' offsets drive, (columns,) A; None if they have none."""
        if self.spec.converters.tia.input_offset == 0.0:
            return None
        if self._offset is None or self._offset[0] != self.tile.version:
            current = engine.offset_current(self.tile, self.readout.adc.ground_voltage)
            self._offset = self.tile.version, current
        return self._offset[1]

    def next_read(self, seed: int) -> Address:
        """Return the noise address of the next reads: number ``vector·columns + column`` is for that conversion."""
        self.reads += 1
        return self.at_read(seed, self.reads - 1)

    def at_read(self, seed: int, number: int | None = None) -> Address:
        """Return the noise address of reads: of those with this ``number``, or of the next ones if it is None."""
        return Address(stream_key(seed, Purpose.READ_NOISE, self.index), self.reads if number is None else number)

    def next_update(self, seed: int) -> Address:
        """Return the noise address of the next update's pulses: number ``row·columns + column`` is for that cell."""
        self.updates += 1
        return Address(stream_key(seed, Purpose.PULSE_NOISE, self.index), self.updates - 1)

    @property
    def ground_resistance(self) -> Floats:
        """Resistance that each cell sees along its bit line with no other cell on it, (rows, columns) ohm."""
        bit = self.tile.mesh.bit_resistance
        if self._ground is None or self._ground[0] is not bit:
            self._ground = bit, ground_resistance(bit)
        return self._ground[1]

    def row_power(self, conductance: Floats, selected: NDArray[np.bool_], voltage: float) -> Floats:
        """Return the power of driving each row alone, (rows,) W, with the transistors of its ``selected`` cells on.

        The other rows' transistors are off (:mod:`circuitmem._kernels.pulses`).

        Parameters
        ----------
        conductance : (rows, columns) ndarray
            Conductances of the memristors [S].
        selected : (rows, columns) ndarray of bool
            Cells whose transistor conducts.
        voltage : float
            Pulse amplitude [V].
        """
        cells = self.spec.tile.cell.mesh_conductance(conductance)
        power = row_power(cells, selected, self.tile.mesh.word_resistance, self.ground_resistance, voltage)
        dead = self.tile.defects.dead_drivers
        return power if dead is None else np.where(dead, 0.0, power)

    @property
    def wire_defects(self) -> DefectMap:
        """The defects of wires and drivers alone: a cell whose transistor is off conducts nothing, stuck or not."""
        return self.tile.defects.lines_only()


def check_devices(spec: ChipSpec) -> None:
    """Raise :class:`ValidationError` if no device can be made as declared, before anything else is begun."""
    _device(spec)(spec.device, (1, 1))


def _device(spec: ChipSpec) -> type[Device]:
    found: type[Device] = find("devices", spec.device.kind, "chip.device.kind")
    if spec.device.stateful and not issubclass(found, OdeCells):
        rule = "must be of a subclass of circuitmem.device.OdeCells, as its Spec says that it is stateful"
        raise ValidationError("chip.device.kind", rule, spec.device.kind)
    return found
