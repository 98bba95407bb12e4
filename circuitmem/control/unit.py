"""One tile on a chip: its array, devices and converters, and the resources that an operation holds."""

from __future__ import annotations

from math import ceil
from typing import Literal

import numpy as np
import simpy
from numpy.typing import NDArray

from circuitmem._kernels.noise import Address
from circuitmem._kernels.pulses import ground_resistance, pulse
from circuitmem.config import ChipSpec
from circuitmem.control.ledger import picoseconds
from circuitmem.converter import Readout
from circuitmem.device import TwoPulseDevices
from circuitmem.rng import Purpose, stream_key
from circuitmem.tile import DefectMap, Tile

__all__ = ["Unit"]

Floats = NDArray[np.float64]


class Unit:
    """A tile as fabricated, from a seed and its place on the chip.

    Cells start in the high-resistance state. ``asked`` is the conductance that each cell was last programmed towards,
    which the digital core knows; what the cell really has is the tile's and only the circuit's.

    Parameters
    ----------
    environment : simpy.Environment
        The chip's clock.
    spec : ChipSpec
        The chip.
    seed : int
        Seed of the fabrication.
    index : int
        Place on the chip.
    """

    def __init__(self, environment: simpy.Environment, spec: ChipSpec, seed: int, index: int) -> None:
        geometry, key = spec.tile_spec, (index,)
        self.index = index
        self.spec = spec
        defect_map = DefectMap.fabricated(spec, seed, key)
        self.asked = np.full(geometry.shape, spec.device.minimum_conductance)
        self.tile = Tile(geometry, self.asked, defects=defect_map)
        self.readout = Readout(spec.converters, geometry, seed, key, defect_map)
        self.devices = TwoPulseDevices(spec.device, geometry.shape, seed, key)
        self._ground: tuple[Floats, Floats] | None = None
        self.reads = 0
        self.updates = 0
        self.array = simpy.Resource(environment)
        self.dacs = simpy.Resource(environment)
        self.adcs = simpy.Resource(environment)
        converters = spec.converters
        share = ceil(geometry.columns / ceil(geometry.columns / converters.adc.share))
        self.read_time = (
            picoseconds(converters.dac.settling_time)
            + picoseconds(converters.tia.settling_time)
            + share * picoseconds(converters.adc.conversion_time)
        )

    def next_read(self, seed: int) -> Address:
        """Return where the noise of the next reads is found: number ``vector·columns + column`` for each conversion."""
        self.reads += 1
        return Address(stream_key(seed, Purpose.READ_NOISE, self.index), self.reads)

    def next_update(self, seed: int) -> Address:
        """Return where the noise of the next update's SET pulses is found: ``row·columns + column`` for each cell."""
        self.updates += 1
        return Address(stream_key(seed, Purpose.PULSE_NOISE, self.index), self.updates)

    def pulse(
        self,
        kind: Literal["reset", "set"],
        wanted: Floats,
        deadband: float,
        rows: tuple[int, int],
        noise: Address,
    ) -> Floats:
        """Give one pulse to the cells of some rows that are asked to change; returns the power of each row, W.

        A SET pulse goes to all of them, a RESET pulse to those that are to fall. Rows are driven one after another, the
        transistors of all others off.

        Parameters
        ----------
        kind : {"reset", "set"}
            Which pulse.
        wanted : (rows, columns) ndarray
            Wanted conductance [S].
        deadband : float
            Changes up to this are not worth a pulse [S].
        rows : (int, int)
            The first row, and the one after the last.
        noise : Address
            Where the noise of SET pulses is found.
        """
        mesh, device, rise = self.tile.mesh, self.spec.device, kind == "set"
        if self._ground is None or self._ground[0] is not mesh.bit_resistance:
            self._ground = (mesh.bit_resistance, ground_resistance(mesh.bit_resistance))
        return pulse(
            rise,
            *self.tile.change(),
            wanted,
            self.asked,
            deadband,
            self.devices.slope,
            self.devices.law,
            rows,
            device.set_voltage if rise else device.reset_voltage,
            mesh.word_resistance,
            self._ground[1],
            noise,
        )
