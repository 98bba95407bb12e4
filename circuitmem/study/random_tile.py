"""A tile as a chip would have it, to be looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from circuitmem.config import ChipSpec, OdeDevice
from circuitmem.device import conductance as conductance_of
from circuitmem.rng import Purpose, stream
from circuitmem.tile import DefectMap, Tile

__all__ = ["random_device_tile", "random_tile"]


def random_tile(chip: ChipSpec, seed: int) -> tuple[Tile, NDArray[np.float64]]:
    """Return a tile of the chip with random working conductances and its stuck devices, and random inputs (rows,) V."""
    rng = stream(seed, Purpose.VALIDATION)
    spec, device = chip.tile_spec, chip.device
    conductance = rng.uniform(device.minimum_conductance, device.maximum_conductance, spec.shape)
    defect_map = DefectMap.fabricated(chip, seed)
    return Tile(spec, conductance, defect_map), chip.converters.dac.full_scale * rng.random(spec.rows)


def random_device_tile(chip: ChipSpec, device: OdeDevice, seed: int) -> Tile:
    """Return a tile of the chip with its stuck devices, the others of an ODE device in random states, 0.2 to 0.8."""
    rng, spec = stream(seed, Purpose.VALIDATION), chip.tile_spec
    return Tile(spec, conductance_of(device, rng.uniform(0.2, 0.8, spec.shape)), DefectMap.fabricated(chip, seed))
