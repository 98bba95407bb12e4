"""What is said of an audit: how many operations, within what, what that shows, and what would show more."""

import re

import pytest

from circuitmem.engine import audit_sentences, stratified_bound

FOUND = {
    "reads": 16,
    "pulse_trains": 4,
    "operations": 8,
    "exceeded": 0,
    "largest_relative_error": 9.04e-12,
    "limit": 1e-6,
    "confidence": 0.95,
    "of_operations": 33_126,
    "fraction_bound": 0.533339,
    "referees": {"ngspice": {}},
}


def test_the_headline_counts_operations_and_says_within_what_all_agree():
    headline, _ = audit_sentences(FOUND)
    assert headline == (
        "8 operations (16 reads, 4 pulse trains) re-done in ngspice, all within 9.0e-12 of the largest current."
    )
    both, _ = audit_sentences(FOUND | {"largest_state_error": 2e-7, "referees": {"ngspice": {}, "vacask": {}}})
    assert both.endswith(
        "re-done in ngspice and VACASK, all within 9.0e-12 of the largest current and 2.0e-07 of the range of the "
        "devices' states."
    )


@pytest.mark.parametrize(("count", "verb"), [(1, "1 differs"), (2, "2 differ")])
def test_a_difference_is_never_called_agreement(count, verb):
    headline, bound = audit_sentences(FOUND | {"exceeded": count, "largest_relative_error": 0.25})
    assert headline.endswith(f"{verb} by more than is allowed, the worst by 2.5e-01 of the largest current.")
    assert "all within" not in headline
    assert "without a difference" not in bound


def test_the_bound_says_what_would_narrow_it_and_that_holds():
    _, bound = audit_sentences(FOUND)
    assert "with 95% confidence at most 54% of the run's 33,126 operations differ by more than 1e-06" in bound
    shown, needed, fraction = re.search(
        r"To show ([\d.]+)% takes about (\d+) without a difference: audit.fraction = ([\d.]+)\.", bound
    ).groups()
    assert float(fraction) * 33_126 == pytest.approx(int(needed), rel=0.02)
    groups = [(0, int(needed) * size / 33_126, size) for size in (20_000, 10_000, 3_126)]
    assert stratified_bound(groups) == pytest.approx(float(shown) / 100, rel=0.01)


def test_what_is_below_a_percent_is_told_the_next_step_and_a_small_run_to_redo_all():
    assert "To show 0.1% takes about 3,100 without" in audit_sentences(FOUND | {"fraction_bound": 0.0093})[1]
    assert audit_sentences(FOUND | {"of_operations": 300})[1].endswith("have to be re-done: audit.fraction = 1.")
    assert audit_sentences(FOUND | {"fraction_bound": 1e-4})[1].endswith("raise audit.fraction.")


def test_an_audit_under_way_or_of_an_older_version_says_what_it_has():
    known = {"reads": 1, "pulse_trains": 0, "largest_relative_error": 1e-9, "exceeded": 0}
    assert audit_sentences(known, ("vacask",)) == [
        "1 read, 0 pulse trains re-done in VACASK, all within 1.0e-09 of the largest current."
    ]
    assert audit_sentences({"skipped_reason": "audit.tiles is 0"}) == []
