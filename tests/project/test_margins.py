"""The plugin of ``make margins`` sees tolerances wherever tests have them, and how much of each is used."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CI = Path(__file__).resolve().parents[2] / ".ci"

TESTS = """
import numpy as np
import pytest

@pytest.mark.parametrize("error", [1e-4, 4e-4])
def test_below(error):
    # margin: the method stops there,
    # and not before
    assert error < 1e-3

def test_counted():
    assert 3 <= 4
    assert 0.3 < 0.9

def test_close():
    np.testing.assert_allclose([1.0, 2.0 + 5e-9], [1.0, 2.0], rtol=0.0, atol=1e-8)
    assert 1.0 + 2e-7 == pytest.approx(1.0, rel=1e-6)

def test_failed():
    assert 1.0 < 1e-3
"""


@pytest.fixture
def record(tmp_path):
    if not CI.is_dir():
        pytest.skip("the checkout is not here")
    (tmp_path / "test_some.py").write_text(TESTS)
    environment = os.environ | {"MARGINS": str(tmp_path / "margins.json"), "PYTHONPATH": str(CI)}
    words = [
        "-q",
        "-p",
        "margins_plugin",
        "-p",
        "no:cacheprovider",
        "-o",
        "enable_assertion_pass_hook=true",
        "test_some.py",
    ]
    subprocess.run([sys.executable, "-m", "pytest", *words], cwd=tmp_path, env=environment, capture_output=True)
    return json.loads((tmp_path / "margins.json").read_text())


def test_every_kind_of_tolerance_is_seen_with_what_is_used_at_most(record):
    used = {(row["test"].split("::")[1], row["what"]): row["used"] for row in record["tolerances"]}
    assert used == {
        ("test_below", "error < 1e-3"): pytest.approx(0.4),
        ("test_close", "assert_allclose"): pytest.approx(0.5, rel=1e-6),
        ("test_close", "approx"): pytest.approx(0.2, rel=1e-6),
    }
    assert all(row["line"] > 0 for row in record["tolerances"])


def test_a_reason_is_read_from_the_comment_above(record):
    reasons = {row["what"]: row["reason"] for row in record["tolerances"]}
    assert reasons == {
        "error < 1e-3": "the method stops there, and not before",
        "assert_allclose": None,
        "approx": None,
    }


def test_what_failed_is_named(record):
    assert record["counts"] == {"passed": 4, "failed": 1, "error": 0, "skipped": 0}
    assert record["failed"] == ["test_some.py::test_failed"]


def test_an_unknown_variant_is_one_line():
    if not CI.is_dir():
        pytest.skip("the checkout is not here")
    done = subprocess.run([sys.executable, CI / "margins", "old"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("margins: VARIANT must be one of plain, ")
    assert done.stderr.endswith("(got old)\n")
    assert done.stderr.count("\n") == 1
