"""Means, intervals and paired tests against numbers worked out by hand or by scipy in another way."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from circuitmem.study.statistics import at_equal_cost, holm, mean, paired, sampling_half_width, select


def test_a_mean_with_its_interval():
    found = mean([1.0, 2.0, 3.0, 4.0])
    assert found.mean == 2.5
    # s = 1.2910, t(0.975, 3) = 3.1824: both from tables.
    assert found.half_width == pytest.approx(3.182446 * 1.290994 / 2.0, rel=1e-6)
    assert math.isnan(mean([7.0]).half_width)


def test_the_interval_covers_the_truth_19_times_in_20():
    rng = np.random.default_rng(1)
    found = [mean(values) for values in rng.normal(5.0, 2.0, (2000, 6))]
    covered = np.mean([abs(each.mean - 5.0) <= each.half_width for each in found])
    assert 0.94 <= covered <= 0.96


def test_a_paired_test_sees_what_differs_within_pairs_only():
    rng = np.random.default_rng(2)
    level = rng.normal(80.0, 10.0, 12)
    first = dict(enumerate(level + 1.0 + rng.normal(0.0, 0.3, 12)))
    second = dict(enumerate(level)) | {99: 0.0}
    found = paired(first, second)
    assert found.difference.count == 12
    assert found.difference.mean == pytest.approx(1.0, abs=0.3)
    assert found.p_value < 1e-6
    differences = [first[k] - second[k] for k in range(12)]
    assert found.p_value == pytest.approx(stats.ttest_1samp(differences, 0.0).pvalue)
    assert stats.ttest_ind(list(first.values()), list(level)).pvalue > 0.5


def test_the_signed_rank_test_is_exact_with_ties_and_without_what_is_alike():
    """All 2^n signs of the ranks counted, which is what the test means; differences are steps of 0.05."""
    differences = [0.15, 0.05, -0.1, 0.3, 0.0, 0.1, 0.25, 0.1, -0.05]
    other = dict(enumerate(np.linspace(80.0, 93.3, 9)))
    found = paired({k: other[k] + differences[k] for k in other}, other)
    steps = np.array([3, 1, -2, 6, 2, 5, 2, -1])
    ranks = stats.rankdata(np.abs(steps))
    signs = np.array(list(itertools.product((0, 1), repeat=len(ranks))))
    sums, ours = signs @ ranks, ranks[steps > 0].sum()
    assert found.rank_p_value == pytest.approx(2 * np.mean(sums >= ours))


def test_the_signed_rank_test_bears_an_outlier_that_the_t_test_does_not():
    first = dict(enumerate([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 60.0]))
    found = paired(first, dict.fromkeys(first, 0.0))
    assert found.rank_p_value == pytest.approx(2.0**-8)
    assert found.p_value > 0.2


def test_pairs_that_are_few_or_alike():
    assert paired({1: 2.0}, {2: 1.0}) is None
    assert math.isnan(paired({1: 2.0}, {1: 1.0}).p_value)
    assert math.isnan(paired({1: 2.0}, {1: 1.0}).rank_p_value)
    assert paired({1: 2.0, 2: 3.0}, {1: 2.0, 2: 3.0}).rank_p_value == 1.0
    assert paired(dict.fromkeys(range(6), 2.0), dict.fromkeys(range(6), 1.0)).rank_p_value == 2.0**-5
    assert paired({1: 2.0, 2: 3.0}, {1: 2.0, 2: 3.0}).p_value == 1.0


def test_pairs_with_equal_differences_have_no_p_of_t():
    """The t test would divide by 0, or by a rounding error."""
    assert math.isnan(paired({1: 2.0, 2: 3.0}, {1: 1.0, 2: 2.0}).p_value)
    first, second = dict(enumerate((1.1, 2.2, 3.3))), dict(enumerate((1.0, 2.1, 3.2)))
    assert len({first[k] - second[k] for k in first}) > 1
    assert math.isnan(paired(first, second).p_value)
    assert paired(first, second).rank_p_value == 0.25
    assert paired({1: 0.1 + 0.2, 2: 0.3}, {1: 0.3, 2: 0.1 + 0.2}).p_value == 1.0


def history(*tests):
    return [{"epoch": epoch, "pulses": pulses, "accuracy_percent": percent} for epoch, pulses, percent in tests]


def test_equal_cost_is_that_of_the_thriftier():
    thrifty = history((0, 0, 10.0), (1, 100, 80.0), (2, 200, 90.0))
    other = history((0, 0, 20.0), (1, 100, 40.0), (2, 500, 60.0))
    assert at_equal_cost(thrifty, other, "pulses") == (90.0, 45.0)
    assert at_equal_cost(other, thrifty, "pulses") == (45.0, 90.0)


def test_equal_cost_is_not_guessed_within_a_first_epoch_that_no_test_divides():
    thrifty = history((0, 0, 10.0), (1, 100, 80.0))
    assert at_equal_cost(thrifty, history((0, 0, 20.0), (1, 400, 60.0)), "pulses") is None
    assert at_equal_cost(thrifty, history((0, 0, 20.0), (1, 100, 60.0)), "pulses") == (80.0, 60.0)
    assert at_equal_cost(thrifty, history((0, 0, 20.0), (0.5, 200, 60.0), (1, 400, 70.0)), "pulses") == (80.0, 40.0)
    assert at_equal_cost(thrifty, history((0, 200, 20.0), (1, 400, 60.0)), "pulses") is None  # before its first test


def test_holm_corrects_as_worked_out_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, math.nan, 0.6])[::2] == [1.0, 1.0]
    assert math.isnan(holm([0.9, math.nan, 0.6])[1])


def test_holm_calls_hardly_anything_significant_where_nothing_is():
    rng = np.random.default_rng(3)
    families = rng.random((2000, 8))
    assert np.mean([min(holm(p)) <= 0.05 for p in families]) == pytest.approx(0.05, abs=0.015)
    assert np.mean(families.min(axis=1) <= 0.05) > 0.3


def test_the_sampling_error_is_the_spread_of_a_binomial():
    rng = np.random.default_rng(4)
    found = 100.0 * rng.binomial(2000, 0.9, 20000) / 2000
    assert np.mean(np.abs(found - 90.0) <= sampling_half_width(90.0, 2000)) == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("percent", [0.0, 100.0])
def test_the_sampling_error_at_either_end_is_the_reach_of_wilsons_interval(percent):
    found = stats.binomtest(round(50 * percent / 100), 50).proportion_ci(method="wilson")
    assert sampling_half_width(percent, 50) == pytest.approx(100.0 * (found.high - found.low))


def test_rows_are_selected_by_their_columns():
    rows = [{"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}]
    assert select(rows, a=1, b="x") == rows[:1]
    assert select(rows) == rows


def test_a_column_may_have_any_name():
    rows = [{"rows": 8, "method": "raw"}, {"rows": 16, "method": "raw"}]
    assert select(rows, rows=16) == [rows[1]]
