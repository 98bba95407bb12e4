"""The golden runs give what is recorded: integers and accuracies exactly, sums to 1e-12."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

_spec = importlib.util.spec_from_file_location("golden_cases", Path(__file__).with_name("cases.py"))
cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cases)

RECORD = json.loads(Path(__file__).with_name("record.json").read_text("utf-8"))
ROUNDING = 1e-12
"""Relative to the largest of its kind: sums may be taken in another order."""


def test_every_run_is_recorded():
    assert set(RECORD["runs"]) == set(cases.NAMES)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.vacask] if name in cases.NEED_VACASK else []) for name in cases.NAMES],
)
def test_a_golden_run_gives_what_is_recorded(name):
    if cases.environment() != RECORD["environment"]:
        # A code at a tie flips with the last bit of a sum, and everything after it.
        pytest.skip(f"recorded with {RECORD['environment']}: record the runs again at a commit that you trust")
    found, wanted = json.loads(json.dumps(cases.observe(name))), RECORD["runs"][name]
    assert found["exact"] == wanted["exact"]
    for key, numbers in wanted["near"].items():
        assert found["near"][key] == pytest.approx(numbers, rel=0.0, abs=ROUNDING * max(map(abs, numbers), default=0.0))


def test_granularities_end_alike():
    for burst, pulse in (("two_pulse", "two_pulse_by_pulse"), ("pulse_count", "pulse_count_by_pulse"),
                         ("aging", "aging_by_pulse"), ("ode_device", "ode_device_by_pulse"),
                         ("stream_watched", "stream_watched_by_pulse")):  # fmt: skip
        assert RECORD["runs"][burst] == RECORD["runs"][pulse]


def test_a_resumed_run_ends_as_the_whole_one():
    whole, resumed = (RECORD["runs"][name] for name in ("two_pulse", "resumed"))
    assert whole["bits"] == resumed["bits"]
    assert np.array_equal(whole["near"]["columns"], resumed["near"]["columns"])
