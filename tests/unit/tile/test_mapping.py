"""Weights to conductances and back, for every mapping: against numbers worked out by hand."""

import itertools

import numpy as np
import pytest

from circuitmem.config import BitSlicingSpec, DifferentialSpec, OffsetSpec
from circuitmem.tile import PAIRS, BitSlicing, OffsetMapping, PairMapping, layout_of, mapping_of

LOW, HIGH = 2e-6, 32e-6
SPECS = [DifferentialSpec(), OffsetSpec(), BitSlicingSpec(kind="bit-slicing", slices=2, bits=2)]
EVERY = [mapping_of(spec, LOW, HIGH, 2.0) for spec in SPECS]


def test_a_pair_has_the_weight_on_one_of_its_columns():
    found = PairMapping(LOW, HIGH, 2.0).conductances(np.array([[1.0, -2.0], [0.0, 3.0]]))
    # 15 uS a unit of weight; what is larger than 2 is taken as 2.
    np.testing.assert_allclose(found * 1e6, [[17.0, 2.0, 2.0, 32.0], [2.0, 2.0, 32.0, 2.0]])


def test_an_offset_is_counted_from_the_reference_column():
    found = OffsetMapping(LOW, HIGH, 2.0).conductances(np.array([[1.0, -2.0], [0.0, 3.0]]))
    # 7.5 uS a unit of weight, around 17 uS.
    np.testing.assert_allclose(found * 1e6, [[17.0, 24.5, 2.0], [17.0, 17.0, 32.0]])


def test_bit_slices_are_the_digits_of_the_weight():
    found = BitSlicing(LOW, HIGH, 30.0, slices=2, bits=2).conductances(np.array([[22.0, -12.9, 5.1, 99.0]]))
    # A unit is 30/15 = 2: 11 = 2·4 + 3, -6 = -(1·4 + 2), 3 = 0·4 + 3, and at most 15 = 3·4 + 3; 10 uS a step.
    digits = [[22.0, 2.0, 32.0, 2.0], [2.0, 12.0, 2.0, 22.0], [2.0, 2.0, 32.0, 2.0], [32.0, 2.0, 32.0, 2.0]]
    np.testing.assert_allclose(found.reshape(4, 4) * 1e6, digits)


@pytest.mark.parametrize("mapping", EVERY)
def test_the_columns_give_the_weights_back(mapping):
    weights = np.linspace(-2.0, 2.0, 31).reshape(1, -1)  # whole units of 4 bits
    found = mapping.conductances(weights)
    assert found.shape == (1, mapping.layout.used(31))
    assert found.min() >= LOW - 1e-18
    assert found.max() <= HIGH + 1e-18
    np.testing.assert_allclose(mapping.difference(found) / mapping.scale, weights, atol=1e-12)


@pytest.mark.parametrize("mapping", EVERY)
def test_spreading_an_error_is_the_transpose_of_the_difference(mapping):
    rng = np.random.default_rng(0)
    error, columns = rng.normal(size=(4, 3)), rng.normal(size=(4, mapping.layout.used(3)))
    assert (mapping.spread(error) * columns).sum() == pytest.approx((error * mapping.difference(columns)).sum())


@pytest.mark.parametrize("mapping", EVERY)
def test_where_nothing_is_stuck_limits_are_the_largest_weights_and_none_is_frozen(mapping):
    stuck = np.full((2, mapping.layout.used(3)), np.nan)
    lowest, highest = mapping.limits(stuck)
    np.testing.assert_allclose((lowest, highest), (np.full((2, 3), -2.0), np.full((2, 3), 2.0)))
    assert not mapping.frozen(stuck)[1].any()
    weights = np.linspace(-2.0, 2.0, 6).reshape(2, 3)
    np.testing.assert_array_equal(mapping.conductances(weights, stuck), mapping.conductances(weights))


def test_weights_of_an_input_are_counted_from_a_stuck_reference():
    mapping, weights = OffsetMapping(LOW, HIGH, 2.0), np.array([[0.5, -2.0], [0.5, -2.0]])
    stuck = np.full((2, 3), np.nan)
    stuck[0, 0], stuck[1, 1] = 10e-6, 30e-6
    lowest, highest = mapping.limits(stuck)
    # From 10 uS: 8 uS down, 22 uS up. The stuck cell of a weight is 13 uS above the reference.
    np.testing.assert_allclose(lowest, [[-8 / 7.5, -8 / 7.5], [13 / 7.5, -2.0]])
    np.testing.assert_allclose(highest, [[22 / 7.5, 22 / 7.5], [13 / 7.5, 2.0]])
    np.testing.assert_allclose(mapping.conductances(weights, stuck)[0] * 1e6, [17.0, 13.75, 2.0])


def test_lower_slices_take_what_a_stuck_device_of_a_higher_one_leaves():
    mapping = BitSlicing(LOW, HIGH, 15.0, slices=2, bits=2)  # whole numbers up to 15
    stuck = np.full((1, 4), np.nan)
    stuck[0, 0] = 12e-6  # the highest digit is 1 at most; at least 1 - 3
    lowest, highest = mapping.limits(stuck)
    assert (float(lowest[0, 0]), float(highest[0, 0])) == (pytest.approx(-11.0), pytest.approx(7.0))
    for weight in range(-11, 8):
        wanted = np.array([[float(weight)]])
        cells = np.where(np.isnan(stuck), mapping.conductances(wanted, stuck), stuck)
        assert mapping.difference(cells)[0, 0] / mapping.scale == pytest.approx(weight, abs=1e-9)
    values, broken = mapping.frozen(stuck)
    assert broken[0, 0]
    assert values[0, 0] == pytest.approx(4.0)


@pytest.mark.parametrize("mapping", EVERY)
def test_a_small_change_of_a_weight_counts_as_on_ideal_tiles(mapping):
    """Where columns do what they should, the derivative by a weight is that of its number."""
    rng = np.random.default_rng(1)
    error, weights = rng.normal(size=(5, 3)), rng.uniform(-2.0, 2.0, (5, 3))
    found = mapping.moved(mapping.spread(error) / mapping.scale, weights)
    np.testing.assert_allclose(found, error, atol=1e-12)


@pytest.mark.parametrize("spec", SPECS)
def test_layouts_leave_room_for_whole_outputs_and_give_each_column_once(spec):
    layout = layout_of(spec)
    for columns in range(layout.used(1), 20):
        places = layout.places(columns)
        assert layout.used(places) <= columns < layout.used(places + 1)
        used = layout.columns(np.arange(places))
        assert sorted(used.tolist()) == list(range(layout.used(places)))
    assert (layout == PAIRS) == (spec.kind == "differential")


def test_every_weight_of_a_slicing_is_within_half_a_unit():
    mapping = BitSlicing(LOW, HIGH, 1.0, slices=3, bits=2)
    weights = np.random.default_rng(2).uniform(-1.0, 1.0, (40, 7))
    back = mapping.difference(mapping.conductances(weights)) / mapping.scale
    assert np.abs(back - weights).max() <= 0.5 * mapping.unit * (1 + 1e-9)
    assert np.abs(back - weights).max() > 0.3 * mapping.unit
    levels = {round(float(each), 9) for each in (mapping.conductances(weights).ravel() - LOW) / (HIGH - LOW) * 3.0}
    assert levels == {0.0, 1.0, 2.0, 3.0}


def test_a_carry_changes_several_digits_and_a_small_change_none():
    mapping = BitSlicing(LOW, HIGH, 15.0, slices=2, bits=2)
    before, carried, same = (mapping.conductances(np.array([[weight]])) for weight in (3.0, 4.0, 3.4))
    np.testing.assert_array_equal(same, before)
    assert [index for index, (old, new) in enumerate(itertools.zip_longest(before[0], carried[0])) if old != new] == [
        0,
        2,
    ]
