"""DACs, amplifiers and ADCs as circuits against their formulas: the whole way from codes to codes."""

import numpy as np
import pytest

from circuitmem import DefectMap, Tile, TileSpec
from circuitmem.config import AdcSpec, ConverterSpec, DacSpec, TiaSpec
from circuitmem.converter import Readout
from circuitmem.converter.linearity import linearity
from circuitmem.engine import BehavioralEngine

pytestmark = pytest.mark.spice

ANALOGUE = 1e-9
"""Agreement of DAC and amplifier outputs, relative to full scale (physics.md, section 9)."""

THRESHOLD = 1e-6
"""LSB; nearer to a threshold than this a code may differ, and is counted."""

SPEC = ConverterSpec(
    dac=DacSpec(bits=8, resistor_mismatch=0.005, gain_error=0.02, offset_error=1e-3),
    adc=AdcSpec(bits=8, minimum=0.05, maximum=0.95, gain_error=0.03, offset_error=2e-3, noise=1e-3),
)


def make_tile(**options):
    rng = np.random.default_rng(16)
    spec = TileSpec(
        rows=16, columns=16, word_line_resistance=1.0, bit_line_resistance=1.0,
        driver_resistance=20.0, sense_resistance=SPEC.tia.input_resistance, **options,
    )  # fmt: skip
    stuck = DefectMap.random(spec, yield_=0.8, seed=5)
    cut = np.zeros((16, 16), bool)
    cut[4, 9] = True
    defects = DefectMap(
        stuck=stuck.stuck,
        stuck_conductance=stuck.stuck_conductance,
        open_word_segments=cut,
        open_bit_segments=cut.T,
        bridges=[(("word", 2, 3), ("word", 3, 3), 500.0), (("bit", 7, 10), ("word", 8, 10), 2e4)],
        dead_drivers=np.arange(16) == 11,
        dead_senses=np.arange(16) == 6,
    )
    return Tile(spec, rng.uniform(1e-6, 3e-4, (16, 16)), defects)


def quantiser_steps(readout, current, noise):
    return (readout.adc.input_voltage(current, noise) - SPEC.adc.minimum) / SPEC.adc.lsb


@pytest.mark.parametrize("sense", ["bottom", "both"])
def test_codes_of_a_thousand_macs_are_identical(spice, sense, record_property):
    tile = make_tile(bit_line_sense=sense)
    readout = Readout(SPEC, tile.spec, seed=2, defects=tile.defects)
    readout.adc.set_pga_gain(np.linspace(2.0, 30.0, 16))
    rng = np.random.default_rng(1)
    codes = rng.integers(0, SPEC.dac.levels, (1000, 16))
    noise = rng.normal(0.0, SPEC.adc.noise, (1000, 16))
    found = spice.convert(tile, readout, codes, noise)

    voltages = readout.dac.voltages(codes)
    current = BehavioralEngine(threads=2).read(tile, voltages)
    driven = np.where(tile.defects.dead_drivers, 0.0, voltages)
    np.testing.assert_allclose(found.driver_voltage, driven, rtol=0, atol=ANALOGUE * SPEC.dac.full_scale)
    amplified = -SPEC.tia.transimpedance * current
    np.testing.assert_allclose(found.amplifier_voltage, amplified, rtol=0, atol=ANALOGUE * np.abs(amplified).max())
    inputs = readout.adc.input_voltage(current, noise)
    # The programmable gain, up to 30, amplifies the amplifier's difference.
    full_scale = SPEC.adc.maximum - SPEC.adc.minimum
    np.testing.assert_allclose(found.input_voltage, inputs, rtol=0, atol=30 * ANALOGUE * full_scale)

    expected = readout.adc.codes(current, noise)
    steps = quantiser_steps(readout, current, noise)
    near = np.abs(steps - np.floor(steps) - 0.5) < THRESHOLD
    np.testing.assert_array_equal(found.codes[~near], expected[~near])
    record_property("codes_near_a_threshold", int(near.sum()))
    # Random voltages come that near with a probability of 2e-6.
    assert near.sum() < 5
    # The test is worth something only if codes of all sizes occur, and saturation at both ends too.
    assert len(np.unique(expected)) > 200
    assert {0, SPEC.adc.highest_code} <= set(np.unique(expected[:, np.arange(16) != 6]))
    assert (found.codes[:, 6] == 0).all()


@pytest.mark.parametrize("bits", [1, 3, 16])
@pytest.mark.parametrize("switch", [0.0, 150.0])
def test_dac_transfer(spice, bits, switch):
    dac = DacSpec(bits=bits, resistor_mismatch=0.02, gain_error=0.1, offset_error=0.01, switch_resistance=switch)
    spec = SPEC.model_copy(update={"dac": dac})
    tile = TileSpec(rows=2, columns=1, sense_resistance=spec.tia.input_resistance)
    readout = Readout(spec, tile, seed=8)
    levels = np.unique(np.linspace(0, spec.dac.levels - 1, 40).astype(int))
    codes = np.stack([levels, levels[::-1]], axis=1)
    found = spice.convert(Tile(tile, [[1e-4], [2e-4]]), readout, codes)
    expected = readout.dac.voltages(codes)
    np.testing.assert_allclose(found.driver_voltage, expected, rtol=0, atol=ANALOGUE * spec.dac.full_scale)


def test_inl_and_dnl_of_all_codes_are_those_of_the_circuit(spice):
    """Eight bits, from the same resistors and switches: the transfer within 1e-9 of full scale, INL and DNL alike."""
    spec = ConverterSpec(dac=DacSpec(resistor_mismatch=0.01, switch_resistance=100.0, gain_error=0.02))
    tile = TileSpec(rows=3, columns=1, sense_resistance=spec.tia.input_resistance)
    readout = Readout(spec, tile, seed=4)
    codes = np.repeat(np.arange(256)[:, None], 3, axis=1)
    transfer = spice.convert(Tile(tile, [[1e-4]] * 3), readout, codes).driver_voltage.T
    np.testing.assert_allclose(transfer, readout.dac.table, rtol=0, atol=ANALOGUE * spec.dac.full_scale)
    ours, theirs = readout.dac.linearity(), linearity(transfer)
    assert np.abs(ours.inl).max() > 0.3
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=2 * ANALOGUE * 255)


@pytest.mark.parametrize(
    "adc",
    [
        AdcSpec(threshold_mismatch=0.4, gain_error=0.03, offset_error=2e-3, noise=1e-3),
        AdcSpec(architecture="sar", capacitor_mismatch=0.05, comparator_offset=3e-3, gain_error=0.03, bits=8),
        AdcSpec(architecture="sar", bits=5, sample_resistance=2e3, sample_time=5e-9),
    ],
    ids=["flash", "sar", "sample-and-hold"],
)
@pytest.mark.parametrize("sense", ["bottom", "both"])
def test_codes_with_inl_amplifier_offset_and_sample_and_hold_are_identical(spice, adc, sense):
    tia = TiaSpec(open_loop_gain=500.0, input_offset=2e-3)
    spec = ConverterSpec(dac=DacSpec(switch_resistance=50.0, resistor_mismatch=0.005), tia=tia, adc=adc)
    geometry = TileSpec(
        rows=8, columns=6, word_line_resistance=3.0, bit_line_resistance=2.0,
        sense_resistance=tia.input_resistance, bit_line_sense=sense,
    )  # fmt: skip
    rng = np.random.default_rng(3)
    defects = DefectMap(dead_drivers=np.arange(8) == 2, dead_senses=np.arange(6) == 4)
    tile = Tile(geometry, rng.uniform(1e-6, 3e-4, (8, 6)), defects)
    readout = Readout(spec, geometry, seed=7, defects=defects)
    readout.adc.set_pga_gain(np.linspace(8.0, 40.0, 6))
    codes = rng.integers(0, 256, (300, 8))
    noise = rng.normal(0.0, adc.noise, (300, 6))
    found = spice.convert(tile, readout, codes, noise)

    engine = BehavioralEngine()
    offset = engine.offset_current(tile, readout.adc.ground_voltage)
    current = engine.read(tile, readout.dac.voltages(codes)) + offset
    amplified = -tia.transimpedance * current + readout.adc.ends * readout.adc.ground_voltage
    scale = np.abs(amplified).max()
    np.testing.assert_allclose(found.amplifier_voltage, amplified, rtol=0, atol=ANALOGUE * scale)
    steps = (readout.adc.input_voltage(current, noise) - adc.minimum) / adc.lsb
    thresholds = readout.adc.thresholds
    near = np.abs(steps[:, :, None] - thresholds[None]).min(axis=2) < THRESHOLD
    expected = readout.adc.codes(current, noise)
    assert near.sum() < 3
    np.testing.assert_array_equal(found.codes[~near], expected[~near])
    assert len(np.unique(expected)) > 0.7 * adc.highest_code
    # The errors matter: half-way between codes, most codes of some channel would be others.
    plain = np.clip(np.rint(steps), 0, adc.highest_code)[:, readout.adc.alive]
    if adc.threshold_mismatch or adc.capacitor_mismatch:
        assert (plain != expected[:, readout.adc.alive]).mean() > 0.1


def test_quantiser_rounds_ties_to_even_and_saturates(spice):
    # No tile current: the noise input alone sets the voltage, in exact halves of an LSB of 1 V.
    spec = ConverterSpec(adc=AdcSpec(bits=2, minimum=0.0, maximum=3.0))
    tile = TileSpec(rows=1, columns=1, sense_resistance=spec.tia.input_resistance)
    readout = Readout(spec, tile)
    volts = np.array([-7.0, -0.5, 0.0, 0.5, 0.5000001, 1.5, 2.4999999, 2.5, 3.5, 99.0])[:, None]
    found = spice.codes(Tile(tile, [[1e-4]]), readout, np.zeros((10, 1), int), volts)
    assert found[:, 0].tolist() == [0, 0, 0, 0, 1, 2, 2, 2, 3, 3]
    np.testing.assert_array_equal(found, readout.adc.codes(np.zeros((10, 1)), volts))
