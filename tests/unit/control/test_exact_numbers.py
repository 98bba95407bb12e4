"""Energies and times become integers exactly, whatever their size, or are refused."""

import numpy as np
import pytest

from circuitmem.config import load_run
from circuitmem.config.quantity import CLOCK_LIMIT, LONGEST_JOB
from circuitmem.control import Chip, picoseconds
from circuitmem.control.ledger import attojoules, on_clock
from circuitmem.errors import ValidationError


@pytest.mark.parametrize("joules", [np.full(7, 1e3), np.array([9.3, 1e-18, 2e-18]), 1e6, np.array([])])
def test_sums_of_energies_are_exact_beyond_64_bits(joules):
    expected = sum(int(np.rint(each / 1e-18)) for each in np.atleast_1d(joules))

    assert attojoules(joules) == expected
    assert attojoules(-np.asarray(joules)) == -expected


@pytest.mark.parametrize("joules", [np.inf, np.nan, np.array([1.0, 1e300])])
def test_energy_that_is_not_finite_is_refused(joules):
    with pytest.raises(ValidationError, match="energy must be finite"):
        attojoules(joules)


def test_times_end_with_the_clock():
    assert picoseconds(500e-9) == 500_000
    assert picoseconds(1e-15) == 1
    assert on_clock(CLOCK_LIMIT) == CLOCK_LIMIT
    with pytest.raises(ValidationError, match="simulated time must stay below"):
        on_clock(CLOCK_LIMIT + 1)
    with pytest.raises(ValidationError, match=r"simulated time must stay below 9\.223e\+06 s from the beginning"):
        on_clock(CLOCK_LIMIT, CLOCK_LIMIT - LONGEST_JOB - 1)
    assert on_clock(CLOCK_LIMIT, CLOCK_LIMIT - LONGEST_JOB) == CLOCK_LIMIT
    with pytest.raises(ValidationError, match="simulated time must be finite"):
        picoseconds(np.inf)


def chip_of(*settings):
    small = ["chip.tile.rows=4", "chip.tile.columns=4", *settings]
    return Chip(load_run(None, small).chip, tiles=1)


@pytest.mark.parametrize("setting", ["chip.device.set_voltage={}", "chip.device.set_time={}"])
@pytest.mark.parametrize(("low", "high"), [(1.0, 10.0), (1.0, 1e6)])
def test_energy_grows_with_voltage_and_time(setting, low, high):
    spent = []
    for value in (low, high):
        chip = chip_of(setting.format(value))
        wanted = np.full((4, 4), 200e-6)
        chip.run(chip.program(chip.units[0], wanted, 0.0))
        spent.append(chip.ledger.total.energy)
        assert chip.ledger.total.energy == sum(chip.ledger.energy_by_part().values())

    assert spent[1] > spent[0] * high / low * 0.5


def test_energy_of_the_digital_core_is_exact():
    chip = chip_of("chip.digital.energy_per_operation=1e3")
    for _ in range(3):
        chip.run(chip.compute(10_000))

    assert chip.ledger.total.energy == 3 * int(np.rint(10_000 * 1e3 / 1e-18))


@pytest.mark.parametrize("granularity", ["burst", "pulse"])
def test_pulses_beyond_the_clock_are_refused(granularity):
    spec = load_run(None, ["chip.tile.rows=4", "chip.tile.columns=4", "chip.device.set_time=8e6"]).chip
    chip = Chip(spec, tiles=1, granularity=granularity)
    with pytest.raises(ValidationError, match=r"simulated time must stay below 9\.223e\+06 s"):
        chip.run(chip.program(chip.units[0], np.full((4, 4), 200e-6), 0.0))


def test_reads_and_waits_beyond_the_clock_are_refused():
    chip = chip_of("chip.converters.adc.conversion_time=4e6")
    with pytest.raises(ValidationError, match="simulated time"):
        chip.run(chip.read(chip.units[0], np.zeros((2, 4), dtype=int), "mac_read"))
    with pytest.raises(ValidationError, match="simulated time"):
        chip.run(chip.wait_until(CLOCK_LIMIT + 1))


ABSURD = {
    "chip.tile=5": "chip.tile",
    "chip.device.kind=[0]": "chip.device",
    'chip.faults=[{what="bit_line",time=1e300}]': "chip.faults.0.time",
    "chip.device.reset_time=1e300": "chip.device.reset_time",
    "chip.converters.adc.conversion_time=1.7e308": "chip.converters.adc.conversion_time",
    "chip.bus.bandwidth=1e-300": "chip.bus.bandwidth",
    "chip.device.set_time=1e9": "chip.device.set_time",
    "chip.device.set_time=1e7": "chip.device.set_time",
    "chip.programming.drivers=9223372036854775807": "chip.programming.drivers",
    "chip.dac_banks=9223372036854775807": "chip.dac_banks",
    "chip.tile.rows=9223372036854775807": "chip.tile.rows",
    "chip.tile.cell={kind='sinh',a=1e300}": "chip.tile.cell",
    "in_situ.learning_rate=1e308": "in_situ.learning_rate",
    "in_situ.optimiser=[1]": "in_situ.optimiser",
    "chip.retention.drift_time=1e-300": "chip.retention.drift_time",
    "chip.temperature.profile=[[0.0,1e300]]": "chip.temperature.profile",
    "chip.defects.stuck_on_range=[1e-100,1e100]": "chip.defects.stuck_on_range",
}


@pytest.mark.parametrize("setting", ABSURD)
def test_absurd_numbers_are_refused_where_they_are_declared(setting):
    with pytest.raises(ValidationError) as caught:
        load_run(None, [setting])

    assert str(caught.value).startswith(ABSURD[setting])
    assert "\n" not in str(caught.value)
