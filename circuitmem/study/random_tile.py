"""Random tiles of a chip, to be examined."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import ChipSpec, OdeDevice
from circuitmem.converter import Readout
from circuitmem.device import conductance as conductance_of
from circuitmem.engine import BehavioralEngine
from circuitmem.errors import ValidationError
from circuitmem.rng import Purpose, stream
from circuitmem.tile import DefectMap, Tile

__all__ = ["RandomRead", "random_device_tile", "random_read", "random_tile"]


def random_tile(chip: ChipSpec, seed: int) -> tuple[Tile, NDArray[np.float64]]:
    """Return a tile of the chip with random working conductances and its stuck devices, and random inputs (rows,) V."""
    rng = stream(seed, Purpose.VALIDATION)
    spec, device = chip.tile_spec, chip.device
    conductance = rng.uniform(device.minimum_conductance, device.maximum_conductance, spec.shape)
    defect_map = DefectMap.fabricated(chip, seed)
    return Tile(spec, conductance, defect_map), chip.converters.dac.full_scale * rng.random(spec.rows)


def random_device_tile(chip: ChipSpec, device: OdeDevice, seed: int, states: tuple[float, float] = (0.2, 0.8)) -> Tile:
    """Return a tile of the chip with its stuck devices; the others are ODE devices in random states."""
    rng, spec = stream(seed, Purpose.VALIDATION), chip.tile_spec
    return Tile(spec, conductance_of(device, rng.uniform(*states, spec.shape)), DefectMap.fabricated(chip, seed))


class RandomRead(NamedTuple):
    """A read of a random tile through converters with SAR ADCs."""

    tile: Tile
    readout: Readout
    codes: NDArray[np.int64]
    """DAC codes, (rows,)."""
    answer: NDArray[np.int64]
    """ADC codes, (columns,), of the behavioral engine without noise."""


def random_read(chip: ChipSpec, seed: int) -> RandomRead:
    """Return a read of the tile of :func:`random_tile`, with an amplifier gain that uses 80 % of the range.

    Flash ADCs without mismatch are replaced by SARs without mismatch, which have the same thresholds.

    Raises
    ------
    ValidationError
        If the ADCs are flashes with mismatch.
    """
    tile, voltages = random_tile(chip, seed)
    converters = chip.converters
    if converters.adc.threshold_mismatch != 0.0:
        rule = "must be 0 for a netlist of the ADCs, which has SARs"
        raise ValidationError("chip.converters.adc.threshold_mismatch", rule, converters.adc.threshold_mismatch)
    if converters.adc.architecture != "sar":
        converters = converters.model_copy(update={"adc": converters.adc.model_copy(update={"architecture": "sar"})})
    readout = Readout(converters, tile.spec, seed, (0,), tile.defects)
    codes = readout.dac.codes(voltages / converters.dac.full_scale)
    engine, adc = BehavioralEngine(), readout.adc
    current = engine.read(tile, readout.dac.voltages(codes[None]))
    if converters.tia.input_offset != 0.0:
        current = current + engine.offset_current(tile, adc.ground_voltage)
    largest = max(float(current.max()) * adc.tia.transimpedance, 1e-9)
    adc.set_pga_gain(0.8 * (adc.spec.maximum - adc.spec.minimum) / largest)
    return RandomRead(tile, readout, codes, adc.codes(current)[0])
