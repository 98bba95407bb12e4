"""Converters: the ladder against a nodal solve, the quantiser against its definition."""

import numpy as np
import pytest

from circuitmem import DefectMap, TileSpec
from circuitmem._kernels.noise import Address
from circuitmem.config import AdcSpec, ConverterSpec, DacSpec, TiaSpec
from circuitmem.converter import AdcBank, DacBank, Readout
from circuitmem.errors import ValidationError


def ladder_output(dac, row, code):
    """Solve the ladder of one DAC by nodal analysis: node k is that of bit k."""
    bits = dac.spec.bits
    matrix, source = np.zeros((bits, bits)), np.zeros(bits)
    matrix[0, 0] += 1 / dac.termination[row]
    for k in range(bits):
        matrix[k, k] += 1 / dac.leg[row, k]
        source[k] = (code >> k & 1) * dac.spec.reference_voltage / dac.leg[row, k]
    for k in range(bits - 1):
        conductance = 1 / dac.link[row, k]
        matrix[[k, k + 1], [k, k + 1]] += conductance
        matrix[[k, k + 1], [k + 1, k]] -= conductance
    return dac.gain[row] * np.linalg.solve(matrix, source)[-1] + dac.offset[row]


@pytest.mark.parametrize("bits", [1, 2, 8])
def test_ladder_transfer_equals_a_nodal_solve(bits):
    spec = DacSpec(bits=bits, resistor_mismatch=0.02, gain_error=0.01, offset_error=1e-3)
    dac = DacBank(spec, rows=3, seed=5)
    for row in range(3):
        for code in range(spec.levels):
            assert dac.table[row, code] == pytest.approx(ladder_output(dac, row, code), rel=0, abs=1e-15)


def test_sixteen_bits_reach_every_code_from_end_to_end():
    spec = ConverterSpec(dac=DacSpec(bits=16, gain_error=0.02), adc=AdcSpec(bits=16), tia=TiaSpec(open_loop_gain=1e9))
    tile = TileSpec(rows=2, columns=2, sense_resistance=spec.tia.input_resistance)
    readout = Readout(spec, tile, seed=3)
    readout.adc.set_pga_gain(10.0)
    codes, matrix = np.array([[0, 65535], [65535, 0], [1, 65534], [32768, 3]]), np.full((2, 2), 2e-4)
    found, _ = readout.read(codes, matrix, None, Address((0, 0), 0))
    expected = readout.adc.codes(readout.dac.voltages(codes) @ matrix.T)
    assert np.array_equal(found, expected)
    assert (np.diff(readout.dac.table) > 0.0).all()
    assert readout.dac.table[:, -1] == pytest.approx(readout.dac.gain * spec.dac.full_scale, rel=1e-12)
    with pytest.raises(ValidationError, match=r"codes must lie in \[0, 65535\]"):
        readout.dac.voltages(codes + 1)


def test_perfect_dac_is_a_straight_line_up_to_full_scale():
    dac = DacBank(DacSpec(bits=8, full_scale=0.2), rows=2)
    np.testing.assert_allclose(dac.table, np.linspace(0, 0.2, 256) * np.ones((2, 1)), atol=1e-16)


def test_codes_round_ties_to_even_and_saturate():
    dac = DacBank(DacSpec(bits=2), rows=1)
    assert dac.codes([-1.0, 0.5 / 3, 1.5 / 3, 2.5 / 3, 9.0]).tolist() == [0, 0, 2, 2, 3]


@pytest.mark.parametrize("codes", [[[0.5]], [[4]], [[-1]], [0], [[0, 0]]])
def test_bad_codes_are_refused(codes):
    with pytest.raises(ValidationError, match="codes must"):
        DacBank(DacSpec(bits=2), rows=1).voltages(codes)


def test_same_seed_same_converters_other_tile_others():
    spec = DacSpec(gain_error=0.01, resistor_mismatch=0.001)
    first, again, other = (DacBank(spec, 4, seed=1, key=(k,)).table for k in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_quantiser_is_mid_tread_ties_to_even_and_counts_saturation():
    adc = AdcBank(AdcSpec(bits=2, minimum=0.0, maximum=3.0), TiaSpec(feedback_resistance=1.0, open_loop_gain=1e15), 1)
    current = np.array([[-5.0], [0.49], [0.5], [0.51], [1.5], [2.5], [2.51], [9.0]]) / adc.tia.transimpedance
    codes = adc.codes(current)
    assert codes[:, 0].tolist() == [0, 0, 0, 1, 2, 2, 3, 3]
    assert adc.saturated(codes) == 2


def test_nominal_current_inverts_a_perfect_channel_within_half_a_code():
    adc = AdcBank(AdcSpec(), TiaSpec(), 5)
    adc.set_pga_gain(4.0)
    current = np.linspace(0, 1e-3, 50).reshape(10, 5)
    half_code = 0.5 * adc.spec.lsb / (4.0 * adc.tia.transimpedance)
    assert np.abs(adc.nominal_current(adc.codes(current)) - current).max() <= half_code * (1 + 1e-12)


def test_a_dead_sense_gives_a_constant_code():
    tile = TileSpec(rows=2, columns=3, sense_resistance=TiaSpec().input_resistance)
    readout = Readout(ConverterSpec(), tile, defects=DefectMap(dead_senses=[False, True, False]))
    codes = readout.adc.codes(np.full((4, 3), 1e-3))
    assert (codes[:, 1] == 0).all()
    assert (codes[:, [0, 2]] > 0).all()


def test_sense_resistance_must_be_that_of_the_amplifier():
    with pytest.raises(ValidationError, match="sense_resistance must be the input resistance"):
        Readout(ConverterSpec(), TileSpec(rows=2, columns=2))


def test_adc_range_must_be_ordered():
    with pytest.raises(ValidationError, match=r"maximum must be > minimum"):
        AdcSpec(minimum=1.0, maximum=0.5)
