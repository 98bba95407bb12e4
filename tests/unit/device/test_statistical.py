"""Devices known by statistics: what programming leaves, how it drifts, and how reads of it fluctuate."""

from functools import partial

import numpy as np
import pytest

from circuitmem import LinearCell, TileSpec
from circuitmem.config import (
    AdcSpec,
    ChipSpec,
    ConverterSpec,
    DacSpec,
    DefectSpec,
    NoiseSpec,
    ProgrammingSpec,
    RetentionSpec,
    StatisticalSpec,
    load_run,
)
from circuitmem.config.law import law_values
from circuitmem.control import Chip, picoseconds
from circuitmem.device import Statistical, flicker, flicker_covariance
from circuitmem.errors import ValidationError
from circuitmem.rng import Purpose, stream, stream_key

SIDE = 64
RISING = ((0.0, 0.2e-6), (10e-6, 1e-6), (25e-6, 0.5e-6))
RELATIVE = ((0.0, 0.4), (25e-6, 0.2))


def tenth(conductance):
    return 0.1 * conductance


def shapeless(conductance):
    return np.zeros(3)


def chip_of(tiles=1, granularity="burst", side=SIDE, device=None, wires=0.0, **tables):
    lines = {"word_line_resistance": wires, "bit_line_resistance": wires}
    spec = ChipSpec(
        tile=TileSpec(rows=side, columns=side, cell=LinearCell(), **lines),
        device=device or StatisticalSpec(programming_error=RISING),
        defects=DefectSpec(device_yield=1.0),
        programming=ProgrammingSpec(deadband=0.0, verify_tolerance=1e-6),
        converters=ConverterSpec(dac=DacSpec(), adc=AdcSpec(bits=16, minimum=-0.5, maximum=0.5)),
        **tables,
    )
    return Chip(spec, tiles, seed=3, noise_seed=4, granularity=granularity)


def programmed(chip, target):
    wanted = [np.full(chip.spec.tile.shape, target)] * len(chip.units)
    pulses = chip.run(chip.program_all(chip.units, wanted, 0.0))
    return pulses, np.array([unit.cells.found(chip.clock) for unit in chip.units])


@pytest.mark.parametrize("target", [1e-6, 5e-6, 10e-6, 20e-6, 25e-6])
def test_programming_leaves_the_target_and_the_error_that_it_has(target):
    chip = chip_of(retention=RetentionSpec(drift_exponent=1e-9))
    pulses, left = programmed(chip, target)
    error = np.interp(target, *np.array(RISING).T)

    assert pulses == [SIDE * SIDE]
    np.testing.assert_array_equal(chip.units[0].asked, target)
    few = 4.0 / SIDE  # four standard deviations of a mean of SIDE^2
    assert abs(left.mean() - target) < few * error
    assert abs(left.std() / error - 1.0) < few / np.sqrt(2.0)


def test_nothing_is_left_below_0_siemens():
    device = StatisticalSpec(minimum_conductance=1e-6, programming_error=5e-6)
    left = programmed(chip_of(device=device, retention=RetentionSpec(drift_exponent=1e-9)), 2e-6)[1]
    assert left.min() == 0.0


@pytest.mark.parametrize("seconds", [1e-3, 20.0, 86_400.0, 3.156e8])
def test_drift_is_that_of_what_was_left(seconds):
    retention = RetentionSpec(drift_exponent=((0.0, 0.1), (25e-6, 0.05)), drift_spread=0.0, drift_time=20.0)
    chip = chip_of(retention=retention)
    _, left = programmed(chip, 10e-6)
    chip.run(chip.wait_until(chip.clock + picoseconds(seconds)))
    cells = chip.units[0].cells
    age = (chip.clock - cells.written_at) * 1e-12

    expected = cells.written * (1.0 + age / 20.0) ** -(0.1 - 0.05 * cells.written / 25e-6)
    np.testing.assert_allclose(cells.found(chip.clock), expected, rtol=1e-12)
    assert cells.found(chip.clock).mean() < left.mean()


def test_exponents_spread_and_keep_their_sign():
    chip = chip_of(retention=RetentionSpec(drift_exponent=-0.05, drift_spread=((0.0, 0.9), (25e-6, 0.9))))
    programmed(chip, 10e-6)
    exponent = chip.units[0].cells.exponent
    z = stream(3, Purpose.RETENTION, 0).standard_normal((SIDE, SIDE))

    np.testing.assert_allclose(exponent, -0.05 * np.abs(1.0 + 0.9 * z), rtol=1e-15)
    assert exponent.max() <= 0.0


def noise_at(seconds, age, cells=20_000):
    """Return what the noise is at times on the clock [s], for cells written ``age`` before."""
    phase, key = stream(1, Purpose.FLICKER, 0).random(cells), partial(stream_key, 1, Purpose.FLICKER, 0)
    return flicker(key, picoseconds(seconds), np.full(cells, age), phase, 250e-9)


@pytest.mark.parametrize("age", [1e-6, 1e-3, 1.0, 86_400.0, 3.156e8])
def test_flicker_has_grown_with_the_logarithm_of_time(age):
    found = noise_at(5.0 + age, age)
    expected = np.log((age + 250e-9) / 500e-9)

    assert found.var() == pytest.approx(expected, rel=4.0 * np.sqrt(2.0 / found.size))
    assert flicker_covariance(age, age, 250e-9) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(found, noise_at(5.0 + age, age))  # whoever asks again


@pytest.mark.parametrize("apart", [1e-7, 1e-5, 1e-2, 0.3, 3.0])
def test_reads_close_together_see_nearly_the_same(apart):
    first, second = noise_at(5.0, 1.0), noise_at(5.0 + apart, 1.0 + apart)
    expected = float(flicker_covariance(1.0, 1.0 + apart, 250e-9))
    spread = np.sqrt(first.var() * second.var() * 2.0 / first.size)

    assert abs((first * second).mean() - expected) < 4.0 * spread
    assert expected <= flicker_covariance(1.0, 1.0 + apart / 2.0, 250e-9) < flicker_covariance(1.0, 1.0, 250e-9)


@pytest.mark.parametrize("wires", [0.0, 2.0])
def test_white_noise_of_a_column_is_the_sum_of_its_cells(wires):
    chip = chip_of(side=16, device=StatisticalSpec(programming_error=0.0), noise=NoiseSpec(white=RELATIVE), wires=wires)
    wanted = np.random.default_rng(1).uniform(1e-6, 25e-6, (16, 16))
    unit = chip.units[0]
    chip.run(chip.program(unit, wanted, 0.0))
    codes = np.random.default_rng(2).integers(0, 256, 16)
    reads = chip.run(chip.read(unit, np.tile(codes, (4000, 1)), "mac_read", gain=40.0))
    currents = unit.readout.adc.nominal_current(reads, 40.0)

    sigma = law_values(RELATIVE, wanted) * wanted
    expected = np.sqrt((unit.readout.dac.voltages(codes[None])[0] ** 2) @ sigma**2)
    np.testing.assert_allclose(currents.std(axis=0), expected, rtol=4.0 / np.sqrt(2.0 * 4000) + 0.01 * (wires > 0.0))
    changes = np.corrcoef(currents[1:, 0], currents[:-1, 0])[0, 1], np.corrcoef(currents[:, 0], currents[:, 1])[0, 1]
    assert np.abs(changes).max() < 4.0 / np.sqrt(4000)


ALL = {
    "retention": RetentionSpec(drift_exponent=((0.0, 0.1), (25e-6, 0.05)), drift_spread=0.3, drift_time=1e-6),
    "noise": NoiseSpec(white=0.05, flicker=((0.0, 0.05), (25e-6, 0.02))),
}


def used(granularity, interrupt=False):
    """Program, read and rewrite two tiles; returns codes, conductances, time and energy."""
    chip = chip_of(2, granularity, side=8, **ALL)
    programmed(chip, 8e-6)
    codes = np.arange(24).reshape(3, 8) * 10
    found = []
    for target in (8e-6, 15e-6):
        wanted = np.full((8, 8), target)
        wanted[::2] = 4e-6
        chip.run(chip.program_all(chip.units, [wanted, wanted], 0.0))
        chip.run(chip.wait_until(chip.clock + picoseconds(2.0)))
        if interrupt:
            chip.context.pulses_are_given = False
            other = chip_of(2, granularity, side=8, **ALL)
            other.restore(chip.state())
            chip = other
        found += chip.run(chip.read_all(chip.units, [codes, codes], "mac_read", gain=20.0))
    cells = [unit.tile.conductance for unit in chip.units]
    return np.array(found), np.array(cells), chip.clock, chip.ledger.total.energy


def test_both_granularities_and_a_restored_chip_give_the_same_bits():
    expected = used("burst")
    assert np.ptp(expected[0]) > 0
    for other in (used("pulse"), used("burst", interrupt=True), used("pulse", interrupt=True)):
        np.testing.assert_array_equal(other[0], expected[0])
        np.testing.assert_array_equal(other[1], expected[1])
        assert other[2:] == expected[2:]


def test_another_seed_of_the_noise_is_another_noise_on_the_same_chip():
    chips = [Chip(chip_of(side=8, **ALL).spec, 1, seed=3, noise_seed=seed) for seed in (4, 5)]
    first, second = (chip.units[0].cells.present(picoseconds(1.0), chip.context.noise_seed) for chip in chips)
    assert not np.array_equal(first, second)


def test_reads_without_noise_are_the_same_at_any_time():
    chip = chip_of(side=8, noise=NoiseSpec(white=0.2, flicker=0.1))
    unit, codes = chip.units[0], np.full((2, 8), 200)
    programmed(chip, 10e-6)
    noisy = [chip.run(chip.read(unit, codes, "mac_read", gain=40.0)) for _ in range(2)]
    unit.cell_noise = False
    quiet = [chip.run(chip.read(unit, codes, "mac_read", gain=40.0)) for _ in range(2)]
    assert not np.array_equal(noisy[0], noisy[1])
    np.testing.assert_array_equal(quiet[0], quiet[1])


def test_a_function_is_a_law():
    device = StatisticalSpec(programming_error=f"{__name__}:tenth")
    left = programmed(chip_of(device=device, retention=RetentionSpec(drift_exponent=1e-9)), 10e-6)[1]
    assert left.std() == pytest.approx(1e-6, rel=0.05)
    assert device.programming_noise == pytest.approx(0.1 * np.sqrt(np.mean(np.linspace(0.1e-6, 25e-6, 257) ** 2)))
    with pytest.raises(ValidationError, match=r"chip\.device\.programming_error must return finite numbers of shape"):
        StatisticalSpec(programming_error=f"{__name__}:shapeless").programming_noise  # noqa: B018


@pytest.mark.parametrize(
    ("setting", "rule"),
    [
        ("chip.device.programming_error=-1e-6", "must be >= 0"),
        ("chip.device.programming_error=[[1e-6, 1e-7]]", "must be a number, 2 to 1000 pairs"),
        ("chip.device.programming_error=[[2e-6, 1e-7], [1e-6, 1e-7]]", "must have conductances that rise"),
        ("chip.device.programming_error=[[1e-6, 1e-7], [2e-6]]", "must have pairs of two numbers"),
        ("chip.device.programming_error=[[1e-6, 1e-7], [2e-6, nan]]", "must have numbers >= 0"),
        ("chip.device.programming_error=no.module:at_all", "names what is not there"),
        ("chip.device.programming_error=linear", "must be a number, pairs"),
        ("chip.device.programming_error=math:pi", "must name a function"),
        ("chip.retention.drift_exponent=true", "must be a number"),
        ("chip.retention.drift_spread=1.5", "must be between 0 and 1"),
        ("chip.noise.white=1.5", "must be between 0 and 1"),
        ("chip.noise.flicker=[[0.0, 0.1], [1e-6, -0.1]]", "must have numbers between 0 and 1"),
        ("chip.noise.flicker_time=0.0", "must be greater than"),
    ],
)
def test_what_is_no_law_is_refused_in_one_line(setting, rule):
    with pytest.raises(ValidationError, match=rule) as caught:
        load_run("joshi2020", [setting])
    assert str(caught.value).startswith(setting.partition("=")[0])
    assert "\n" not in str(caught.value)


def test_devices_that_voltages_move_have_no_flicker():
    with pytest.raises(ValidationError, match=r"noise\.flicker must be 0 with devices of kind vteam"):
        load_run(None, ["chip.device.kind=vteam", "chip.noise.flicker=0.1"])


def test_rewriting_is_one_sequence():
    devices = Statistical(StatisticalSpec(), (2, 2))
    down, up = devices.again(np.ones((2, 2), dtype=bool), np.eye(2, dtype=bool), np.full((2, 2), 1e-6))
    assert not down.any()
    np.testing.assert_array_equal(up, np.eye(2))
