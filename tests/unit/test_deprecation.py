"""Old names go on working for a version, and say what replaces them."""

import importlib

import pytest

from circuitmem.deprecation import renamed

OLD = [
    ("calibration", "Check", "DriftCheck"),
    ("control", "Targets", "PairTargets"),
    ("network", "digitally", "answer_digitally"),
    ("records", "Method", "MethodRecord"),
    ("records", "Point", "PointRecord"),
    ("training", "TwoPulse", "TwoPulseRule"),
]


@pytest.mark.parametrize(("room", "old", "new"), OLD)
def test_an_old_name_warns_and_gives_what_it_was(room, old, new):
    package = importlib.import_module(f"circuitmem.{room}")
    with pytest.warns(DeprecationWarning, match=rf"circuitmem\.{room}\.{old} is called {new} now; 0\.4\.0 drops"):
        found = getattr(package, old)
    assert found is getattr(package, new)
    assert new in package.__all__
    assert old not in package.__all__


def test_a_name_that_never_was_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 'circuitmem\.records' has no attribute 'Nothing'"):
        renamed("circuitmem.records", {"Old": "Record"}, "0.4.0")("Nothing")
