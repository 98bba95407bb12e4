"""One tile on a chip: its array, devices and converters, and the resources that an operation holds."""

from __future__ import annotations

from math import ceil

import numpy as np
import simpy
from numpy.typing import NDArray

from circuitmem._kernels.rows import ground_resistance, row_power
from circuitmem.config import ChipSpec
from circuitmem.control.ledger import picoseconds
from circuitmem.converter import Readout
from circuitmem.device import TwoPulseDevices
from circuitmem.rng import Purpose, stream
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

    def read_noise(self, seed: int, batch: int) -> Floats:
        """Draw the noise of the next ``batch`` reads, (batch, columns) V."""
        rng = stream(seed, Purpose.READ_NOISE, self.index, self.reads)
        self.reads += 1
        return self.spec.converters.adc.noise * rng.standard_normal((batch, self.tile.spec.columns))

    def pulse_noise(self, seed: int) -> Floats:
        """Draw the normal numbers of the next update's SET pulses, (rows, columns)."""
        rng = stream(seed, Purpose.PULSE_NOISE, self.index, self.updates)
        self.updates += 1
        return rng.standard_normal(self.tile.spec.shape)

    def row_power(self, conductance: Floats, selected: NDArray[np.bool_], voltage: float) -> Floats:
        """Return the power of driving each row alone, (rows,) W, the transistors of its ``selected`` cells on.

        The other rows' transistors are off (:mod:`circuitmem._kernels.rows`).

        Parameters
        ----------
        conductance : (rows, columns) ndarray
            Cell conductances [S].
        selected : (rows, columns) ndarray of bool
            Cells whose transistor conducts.
        voltage : float
            Pulse amplitude [V].
        """
        mesh = self.tile.mesh
        if self._ground is None or self._ground[0] is not mesh.bit_resistance:
            self._ground = (mesh.bit_resistance, ground_resistance(mesh.bit_resistance))
        return row_power(conductance, selected, mesh.word_resistance, self._ground[1], voltage)
