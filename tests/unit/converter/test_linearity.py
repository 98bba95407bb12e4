"""INL, DNL, successive approximation, and what an amplifier's offset does to a tile."""

import numpy as np
import pytest

from circuitmem import DefectMap, SinhCell, Tile, TileSpec
from circuitmem._kernels.noise import Address
from circuitmem.config import AdcSpec, ChipSpec, ConverterSpec, DacSpec, TiaSpec
from circuitmem.control import Chip
from circuitmem.converter import AdcBank, DacBank, Readout
from circuitmem.converter.linearity import linearity
from circuitmem.converter.successive import approximate, draw_capacitors, sar_thresholds
from circuitmem.engine import BehavioralEngine
from circuitmem.errors import ValidationError

NO_NOISE = Address((0, 0), 0)


def test_linearity_of_levels_by_hand():
    found = linearity(np.array([[1.0, 3.0, 4.0, 7.0]]))  # mean step 2
    np.testing.assert_allclose(found.inl, [[0.0, 0.0, -0.5, 0.0]])
    np.testing.assert_allclose(found.dnl, [[0.0, -0.5, 0.5]])
    np.testing.assert_allclose(np.cumsum(found.dnl, axis=1), found.inl[:, 1:])


def test_two_points_are_a_straight_line_and_one_has_no_step():
    found = linearity(np.array([[1.0, 3.0]]))
    assert found.inl.tolist() == [[0.0, 0.0]]
    assert found.dnl.tolist() == [[0.0]]
    assert linearity(np.array([[1.0]])).dnl.shape == (1, 0)


class _Far:
    """Draws what a normal distribution hardly ever has."""

    def standard_normal(self, shape):
        return np.broadcast_to([9.0, -9.0, 0.5, -4.0], shape)


def test_capacitors_are_off_by_four_standard_deviations_at_most_the_larger_the_less():
    found = draw_capacitors(_Far(), 2, 3, 1e-15, 0.01)
    root = np.sqrt([1.0, 2.0, 4.0, 1.0])
    by_hand = 1e-15 * np.array([1.0, 2.0, 4.0, 1.0]) * (1.0 + 0.01 * np.array([4.0, -4.0, 0.5, -4.0]) / root)
    np.testing.assert_allclose(found, [by_hand, by_hand], rtol=1e-14)


def test_a_voltage_at_a_threshold_has_the_code_that_begins_there():
    capacitors = draw_capacitors(_Far(), 1, 3, 1e-15, 0.0)
    steps = np.arange(1, 8)[:, None] - 0.5
    assert approximate(capacitors, np.zeros(1), steps)[:, 0].tolist() == list(range(1, 8))
    np.testing.assert_array_equal(sar_thresholds(capacitors, np.zeros(1)), steps.T)


def test_perfect_converters_are_linear_and_mismatch_and_switches_make_them_not():
    assert np.abs(DacBank(DacSpec(), 3).linearity().inl).max() < 1e-12
    gains = DacSpec(gain_error=0.1, offset_error=0.01)
    assert np.abs(DacBank(gains, 3).linearity().inl).max() < 1e-10
    drawn = DacBank(DacSpec(resistor_mismatch=0.01), 3).linearity()
    assert drawn.inl.shape == (3, 256)
    assert drawn.dnl.shape == (3, 255)
    assert np.abs(drawn.inl).max() > 0.1
    # A switch of 2 % of its leg throws each leg's weight off: largest where the highest bit takes over.
    switched = DacBank(DacSpec(switch_resistance=400.0), 1).linearity()
    assert np.abs(switched.dnl).max() > 0.5
    assert np.abs(switched.dnl).argmax() == 127


def test_adc_thresholds_are_drawn_once_and_leave_gain_and_offset_as_they_were():
    errors = {"gain_error": 0.05, "offset_error": 0.02}
    plain = AdcBank(AdcSpec(**errors), TiaSpec(), 4, seed=3)
    drawn = AdcBank(AdcSpec(**errors, threshold_mismatch=0.3), TiaSpec(), 4, seed=3)
    again = AdcBank(AdcSpec(**errors, threshold_mismatch=0.3), TiaSpec(), 4, seed=3)
    np.testing.assert_array_equal(drawn.gain, plain.gain)
    np.testing.assert_array_equal(drawn.offset, plain.offset)
    np.testing.assert_array_equal(drawn.thresholds, again.thresholds)
    assert plain.thresholds is None
    assert not plain.linearity().inl.any()
    assert plain.linearity().inl.shape == (4, 255)
    assert drawn.linearity().dnl.shape == (4, 254)
    assert 0.2 < np.abs(drawn.linearity().inl).max() < 2.0


@pytest.mark.parametrize("mismatch", [0.0, 0.02, 0.2])
def test_sar_thresholds_give_the_codes_of_successive_approximation(mismatch):
    rng = np.random.default_rng(8)
    capacitors = draw_capacitors(rng, 6, 8, 1e-15, mismatch)
    offset = rng.normal(0.0, 0.7, 6)
    thresholds = sar_thresholds(capacitors, offset)
    steps = rng.uniform(-3.0, 259.0, (20_000, 6))
    codes = approximate(capacitors, offset, steps)
    counted = np.stack([np.searchsorted(thresholds[j], steps[:, j], side="right") for j in range(6)], axis=1)
    np.testing.assert_array_equal(codes, counted)
    assert (np.diff(thresholds, axis=1) == 0.0).any() == (mismatch == 0.2)  # codes that are never reached
    if mismatch == 0.0:
        np.testing.assert_allclose(thresholds, np.arange(255) + 0.5 - offset[:, None], atol=1e-10)


def test_a_sar_bank_reads_as_its_approximation_does():
    spec = AdcSpec(architecture="sar", bits=6, capacitor_mismatch=0.1, comparator_offset=5e-3, gain_error=0.01)
    bank = AdcBank(spec, TiaSpec(), 5, seed=2)
    current = np.random.default_rng(0).uniform(0.0, 6e-3, (400, 5))
    steps = (bank.input_voltage(current) - spec.minimum) / spec.lsb
    expected = approximate(bank.capacitors, bank.comparator_offset / spec.lsb, steps)
    np.testing.assert_array_equal(bank.codes(current), expected)


@pytest.mark.parametrize(
    "values",
    [
        {"capacitor_mismatch": 0.1},
        {"comparator_offset": 1e-3},
        {"architecture": "sar", "threshold_mismatch": 0.1},
    ],
)
def test_errors_of_the_other_architecture_are_refused(values):
    with pytest.raises(ValidationError, match=r"must be 0 with architecture \"(flash|sar)\""):
        AdcSpec(**values)


def test_a_sample_that_has_not_settled_is_smaller():
    spec = AdcSpec(sample_resistance=1e3, sample_capacitance=1e-12, sample_time=2e-9, offset_error=0.01)
    whole, part = (AdcBank(AdcSpec(offset_error=0.01), TiaSpec(), 3), AdcBank(spec, TiaSpec(), 3))
    current = np.full((1, 3), 1e-3)
    np.testing.assert_allclose(part.input_voltage(current), (1 - np.exp(-2.0)) * whole.input_voltage(current))


def test_a_chip_feels_the_offset_of_its_amplifiers():
    def answer(offset):
        converters = ConverterSpec(tia=TiaSpec(input_offset=offset))
        spec = ChipSpec(tile=TileSpec(rows=8, columns=8, bit_line_resistance=2.0), converters=converters)
        chip = Chip(spec, 1, seed=1)
        unit = chip.units[0]
        unit.tile.program(np.full((8, 8), 2e-4))
        codes = np.full((1, 8), 100)
        current = BehavioralEngine().read(unit.tile, unit.readout.dac.voltages(codes))
        if offset:
            current = current + BehavioralEngine().offset_current(unit.tile, unit.readout.adc.ground_voltage)
        return chip.electrics.codes(unit, codes, NO_NOISE)[0], unit.readout.adc.codes(current)

    plain, with_offset = answer(0.0), answer(0.02)
    np.testing.assert_array_equal(*plain)
    np.testing.assert_array_equal(*with_offset)
    assert (plain[0] != with_offset[0]).any()


def test_an_input_offset_needs_linear_cells():
    converters = ConverterSpec(tia=TiaSpec(input_offset=1e-3))
    sinh = TileSpec(rows=2, columns=2, cell=SinhCell(a=2.0))
    with pytest.raises(ValidationError, match=r"converters\.tia\.input_offset must be 0"):
        ChipSpec(tile=sinh, converters=converters)
    with pytest.raises(ValidationError, match=r"tia\.input_offset must be 0"):
        Readout(converters, sinh.model_copy(update={"sense_resistance": converters.tia.input_resistance}))
    with pytest.raises(ValidationError, match="cell must be linear"):
        BehavioralEngine().offset_current(Tile(sinh, np.ones((2, 2)), DefectMap()), [0.0, 0.0])
