"""Quantities get the prefix in which they are read best."""

import pytest

from circuitmem.report.prefixes import prefixed, with_unit


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0 A"),
        (0.2, "200 mA"),
        (-3.14159e-6, "-3.142 µA"),
        (1e-6, "1 µA"),
        (9.99e-7, "999 nA"),
        (2e-13, "200 fA"),
        (5e-20, "0.05 aA"),
        (4.7e3, "4.7 kA"),
        (1e9, "1000 MA"),
    ],
)
def test_a_quantity_has_the_prefix_in_which_it_is_read_best(value, written):
    assert with_unit(value, "A") == written


def test_seconds_are_not_counted_in_thousands():
    assert prefixed(4e3, highest=0) == (0, "")
    assert prefixed(4e-3, highest=0) == (-3, "m")
