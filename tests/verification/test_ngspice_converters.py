"""DACs, amplifiers and ADCs as circuits against their formulas: the whole way from codes to codes."""

import numpy as np
import pytest

from circuitmem import DefectMap, Tile, TileSpec
from circuitmem.config import AdcSpec, ConverterSpec, DacSpec
from circuitmem.converter import Readout
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


@pytest.mark.parametrize("bits", [1, 3, 12])
def test_dac_transfer(spice, bits):
    spec = SPEC.model_copy(
        update={"dac": DacSpec(bits=bits, resistor_mismatch=0.02, gain_error=0.1, offset_error=0.01)}
    )
    tile = TileSpec(rows=2, columns=1, sense_resistance=spec.tia.input_resistance)
    readout = Readout(spec, tile, seed=8)
    levels = np.unique(np.linspace(0, spec.dac.levels - 1, 40).astype(int))
    codes = np.stack([levels, levels[::-1]], axis=1)
    found = spice.convert(Tile(tile, [[1e-4], [2e-4]]), readout, codes)
    expected = readout.dac.voltages(codes)
    np.testing.assert_allclose(found.driver_voltage, expected, rtol=0, atol=ANALOGUE * spec.dac.full_scale)


def test_quantiser_rounds_ties_to_even_and_saturates(spice):
    # No tile current: the noise input alone sets the voltage, in exact halves of an LSB of 1 V.
    spec = ConverterSpec(adc=AdcSpec(bits=2, minimum=0.0, maximum=3.0))
    tile = TileSpec(rows=1, columns=1, sense_resistance=spec.tia.input_resistance)
    readout = Readout(spec, tile)
    volts = np.array([-7.0, -0.5, 0.0, 0.5, 0.5000001, 1.5, 2.4999999, 2.5, 3.5, 99.0])[:, None]
    found = spice.codes(Tile(tile, [[1e-4]]), readout, np.zeros((10, 1), int), volts)
    assert found[:, 0].tolist() == [0, 0, 0, 0, 1, 2, 2, 2, 3, 3]
    np.testing.assert_array_equal(found, readout.adc.codes(np.zeros((10, 1)), volts))
