"""The chip's clock: durations by hand, state that changes at the event, equal granularities, exact accounts."""

import numpy as np
import pytest

from circuitmem import Tile, TileSpec
from circuitmem.config import AdcSpec, ChipSpec, ConverterSpec, DefectSpec, ProgrammingSpec, TwoPulseSpec
from circuitmem.control import Chip
from circuitmem.engine import BehavioralEngine


def small_chip(tiles=1, granularity="burst", drivers=1, yield_=1.0):
    spec = ChipSpec(
        tile=TileSpec(rows=4, columns=4, word_line_resistance=1.0, bit_line_resistance=2.0),
        converters=ConverterSpec(adc=AdcSpec(share=2, noise=1e-3)),
        device=TwoPulseSpec(slope_spread=0.0),
        defects=DefectSpec(device_yield=yield_),
        programming=ProgrammingSpec(drivers=drivers),
    )
    return Chip(spec, tiles, seed=3, granularity=granularity)


def test_read_takes_settling_and_shared_conversions():
    chip = small_chip()
    chip.run(chip.read(chip.units[0], np.full((5, 4), 255), "mac_read"))
    # 10 ns DAC + 10 ns amplifier + 2 columns an ADC x 20 ns = 60 ns a read.
    assert chip.environment.now == 5 * 60_000


def test_reads_of_one_tile_queue_and_of_two_tiles_overlap():
    chip = small_chip(tiles=2)
    codes = np.zeros((1, 4), dtype=int)
    chip.run(chip.together([chip.read(chip.units[k], codes, "mac_read") for k in (0, 0, 1)]))
    assert chip.environment.now == 2 * 60_000


def test_one_driver_programs_one_tile_at_a_time():
    wanted = np.full((4, 4), 100e-6)
    ends = []
    for drivers in (1, 2):
        chip = small_chip(tiles=2, drivers=drivers)
        chip.run(chip.together([chip.program(unit, wanted, 0.0) for unit in chip.units]))
        ends.append(chip.environment.now)
    assert ends == [2 * 4 * 500_000, 4 * 500_000]


def test_state_changes_when_the_pulse_ends_not_before():
    chip = small_chip(granularity="pulse")
    unit, wanted = chip.units[0], np.full((4, 4), 100e-6)
    chip.environment.process(chip.program(unit, wanted, 0.0))
    chip.environment.run(until=499_999)
    assert (unit.tile.conductance == 1e-6).all()
    chip.environment.run(until=500_001)
    assert (unit.tile.conductance[0] > 50e-6).all()
    assert (unit.tile.conductance[1:] == 1e-6).all()


def test_falling_cells_get_two_pulses_and_the_deadband_none():
    chip = small_chip()
    unit = chip.units[0]
    chip.run(chip.program(unit, np.full((4, 4), 100e-6), 0.0))
    wanted = np.full((4, 4), 102e-6)
    wanted[0, 0] = 20e-6
    chip.run(chip.program(unit, wanted, 5e-6))
    assert chip.ledger.accounts["set_row_pulse"].pulses == 17
    assert chip.ledger.accounts["reset_row_pulse"].pulses == 1
    assert abs(unit.tile.conductance[0, 0] - 20e-6) < 5 * 4e-6


def test_stuck_cells_ignore_pulses():
    chip = small_chip(yield_=0.5)
    unit = chip.units[0]
    before = unit.tile.effective_conductance.copy()
    chip.run(chip.program(unit, np.full((4, 4), 200e-6), 0.0))
    stuck = unit.tile.defects.stuck
    assert 0 < stuck.sum() < 16
    assert np.array_equal(unit.tile.effective_conductance[stuck], before[stuck])
    assert (unit.tile.effective_conductance[~stuck] > 150e-6).all()


def test_pulse_and_burst_end_alike_to_the_last_bit():
    ends = []
    for granularity in ("pulse", "burst"):
        chip = small_chip(tiles=3, granularity=granularity, drivers=2, yield_=0.7)
        rng = np.random.default_rng(0)
        answers = []
        for _ in range(4):
            wanted = rng.uniform(1e-6, 300e-6, (4, 4))
            chip.run(chip.together([chip.program(unit, wanted, 5e-6) for unit in chip.units]))
            codes = rng.integers(0, 256, (3, 4))
            answers += chip.run(chip.together([chip.read(unit, codes, "mac_read") for unit in chip.units]))
        states = [unit.tile.conductance for unit in chip.units]
        ends.append((chip.environment.now, chip.ledger.as_dict(), np.array(answers), np.array(states)))
    assert ends[0][:2] == ends[1][:2]
    assert np.array_equal(ends[0][2], ends[1][2])
    assert np.array_equal(ends[0][3], ends[1][3])


def test_read_energy_is_that_of_the_solved_network():
    chip = small_chip()
    unit = chip.units[0]
    codes = np.array([[255, 10, 0, 99]])
    chip.run(chip.read(unit, codes, "mac_read"))
    power = BehavioralEngine().solve(unit.tile, unit.readout.dac.voltages(codes)).power[0]
    fixed = 4 * 1e-12 + 4 * 2e-12 + 4 * 50e-6 * 60e-9
    assert chip.ledger.energy == pytest.approx(power * 60e-9 + fixed, rel=1e-6)


def test_programming_energy_is_that_of_the_solved_network_with_one_row_selected():
    chip = small_chip()
    unit = chip.units[0]
    wanted = np.random.default_rng(1).uniform(50e-6, 300e-6, (4, 4))
    wanted[2] = unit.asked[2]  # nothing to do in this row
    chip.run(chip.program(unit, wanted, 5e-6))
    device = chip.spec.device
    energy = 0.0
    for row in (0, 1, 3):
        alone = np.zeros((4, 4))
        alone[row] = unit.tile.effective_conductance[row]
        tile = Tile(unit.tile.spec, alone)
        solution = BehavioralEngine().solve(tile, device.set_voltage * np.eye(4)[row])
        energy += float(solution.power) * device.set_time
    assert chip.ledger.accounts["set_row_pulse"].energy * 1e-18 == pytest.approx(energy, rel=1e-9)
    assert set(chip.ledger.accounts) == {"set_row_pulse"}


def test_a_changed_tile_is_never_read_through_an_old_matrix():
    chip = small_chip()
    unit = chip.units[0]
    volts = np.full((1, 4), 0.2)
    first, _ = chip.electrics.currents(unit, volts)
    unit.tile.program(2.0 * unit.tile.conductance)
    second, _ = chip.electrics.currents(unit, volts)
    assert (second > 1.9 * first).all()
