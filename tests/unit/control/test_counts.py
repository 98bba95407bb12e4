"""Programming by the number of pulses, on a chip."""

import numpy as np
import pytest

from circuitmem import TileSpec
from circuitmem.config import ChipSpec, DefectSpec, ProgrammingSpec, PulseUpdateSpec
from circuitmem.control import Chip
from circuitmem.device import pulse_curves
from circuitmem.engine import BehavioralEngine

LIMITS = {"minimum_conductance": 1e-6, "maximum_conductance": 51e-6}


def chip_of(by_cell=False, rows_at_once=1, **device):
    spec = ChipSpec(
        tile=TileSpec(rows=3, columns=4, word_line_resistance=1.0, bit_line_resistance=1.0),
        device=PulseUpdateSpec(
            **(LIMITS | {"states": 20, "cycle_noise": 0.0, "set_time": 3e-6, "reset_time": 2e-6} | device)
        ),
        defects=DefectSpec(device_yield=1.0),
        programming=ProgrammingSpec(deadband=0.0, verify_tolerance=1e-6, by_cell=by_cell, rows_at_once=rows_at_once),
    )
    return Chip(spec, 1, seed=1)


def level(chip, pulses, up=True):
    return float(pulse_curves(chip.spec.device, pulses)[0 if up else 1])


@pytest.mark.parametrize("by_cell", [False, True])
def test_cells_get_as_many_pulses_as_their_curves_need(by_cell):
    chip = chip_of(by_cell)
    unit = chip.units[0]
    wanted = unit.asked.copy()
    wanted[0, 0], wanted[0, 2], wanted[2, 1] = level(chip, 3), level(chip, 5.7), level(chip, 20)
    pulses = chip.run(chip.program(unit, wanted, 0.0))
    assert pulses == 3 + 5 + 20
    expected = np.full((3, 4), 1e-6)
    expected[0, 0], expected[0, 2], expected[2, 1] = level(chip, 3), level(chip, 5), level(chip, 20)
    np.testing.assert_allclose(unit.tile.conductance, expected, rtol=1e-9)
    np.testing.assert_allclose(unit.asked, expected, rtol=1e-9)
    # A row waits for its cell with the most pulses; cell by cell all add up.
    beats = 3 + 5 + 20 if by_cell else 5 + 20
    assert chip.clock == beats * 3_000_000
    # From the top, down the other curve; what is less than a pulse is kept for later.
    wanted[2, 1] = level(chip, 14, up=False)
    assert chip.run(chip.program(unit, wanted, 0.0)) == 6
    assert unit.tile.conductance[2, 1] == pytest.approx(level(chip, 14, up=False), rel=1e-9)
    assert chip.clock == beats * 3_000_000 + 6 * 2_000_000
    wanted[0, 2] = level(chip, 6.1)
    assert chip.run(chip.program(unit, wanted, 0.0)) == 1


def test_each_pulse_costs_what_the_network_takes_at_its_conductance():
    chip = chip_of()
    unit = chip.units[0]
    wanted = unit.asked.copy()
    wanted[1, 3] = level(chip, 4)
    chip.run(chip.program(unit, wanted, 0.0))
    alone, energy = np.zeros((3, 4)), 0.0
    for pulse in range(1, 5):
        alone[1, 3] = level(chip, pulse)
        tile = type(unit.tile)(unit.tile.spec, alone)
        energy += float(BehavioralEngine().solve(tile, [0.0, chip.spec.device.set_voltage, 0.0]).power) * 3e-6
    assert chip.ledger.accounts["set_row_pulse"].energy * 1e-18 == pytest.approx(energy, rel=1e-9)
    assert chip.ledger.accounts["set_row_pulse"].operations == 4


def test_noise_and_spread_stay_hidden_from_what_was_asked():
    chip = chip_of(cycle_noise=0.05, nonlinearity_spread=0.5)
    unit = chip.units[0]
    wanted = np.full((3, 4), level(chip, 10))
    chip.run(chip.program(unit, wanted, 0.0))
    np.testing.assert_allclose(unit.asked, wanted, rtol=1e-9)
    off = (unit.tile.conductance - wanted) / 50e-6
    assert 0.05 < np.abs(off).max() < 1.0
    assert ((unit.tile.conductance >= 1e-6) & (unit.tile.conductance <= 51e-6)).all()


def test_a_refresh_erases_and_brings_up_again():
    chip = chip_of()
    unit = chip.units[0]
    wanted = np.full((3, 4), level(chip, 10))
    chip.run(chip.program(unit, wanted, 0.0))
    unit.tile.program(0.7 * unit.tile.conductance)  # as if it had drifted
    cells = np.zeros((3, 4), dtype=bool)
    cells[1, 2] = True
    assert chip.run(chip.rewrite(unit, cells, cells)) == 20 + 10
    assert unit.tile.conductance[1, 2] == pytest.approx(wanted[1, 2], rel=1e-9)
    assert unit.tile.conductance[0, 0] == pytest.approx(0.7 * wanted[0, 0], rel=1e-9)


def test_rows_that_are_driven_together_get_their_pulses_together_and_end_the_same():
    found = []
    for together in (1, 2, 3):
        chip = chip_of(rows_at_once=together, cycle_noise=0.05)
        unit = chip.units[0]
        wanted = unit.asked.copy()
        wanted[0, 0], wanted[1, 2], wanted[2, 1] = level(chip, 3), level(chip, 5), level(chip, 20)
        assert chip.run(chip.program(unit, wanted, 0.0)) == 28
        found.append(unit.tile.conductance.copy())
        assert chip.clock == {1: 28, 2: 25, 3: 20}[together] * 3_000_000
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
