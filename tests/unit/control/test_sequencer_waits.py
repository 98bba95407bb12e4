"""Operations wait for what was done at once on their tile: a job in closed form has no train to queue behind."""

import numpy as np
import pytest

from circuitmem import TileSpec
from circuitmem.config import ChipSpec, PulseUpdateSpec
from circuitmem.control import Chip

DEVICE = PulseUpdateSpec(states=6, set_time=30e-9, reset_time=20e-9, minimum_conductance=1e-6, maximum_conductance=3e-4)
SPEC = ChipSpec(tile=TileSpec(rows=3, columns=2), device=DEVICE)
SOME = np.ones((3, 2), dtype=bool)
OPERATIONS = {
    "read": lambda chip, unit: chip.read(unit, np.full((2, 3), 7), "mac_read"),
    "program": lambda chip, unit: chip.program(unit, np.full((3, 2), 1e-4), 0.0),
    "rewrite": lambda chip, unit: chip.rewrite(unit, SOME, SOME),
    "pulse": lambda chip, unit: chip.pulse(unit, 0 * SOME, 1 * SOME),
    "pulse all": lambda chip, unit: chip.pulse_all([unit], [(0 * SOME, 1 * SOME)]),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_begins_when_the_tile_is_free(operation):
    ends = []
    for until in (0, 5_000_000):
        chip = Chip(SPEC, 1, seed=1, noise_seed=2)
        (unit,) = chip.units
        chip.context.hold([unit.array], 0, until)
        chip.run(OPERATIONS[operation](chip, unit))
        ends.append(chip.clock)
        assert unit.array.waited == until
    assert ends[1] == ends[0] + 5_000_000
