"""Types are checked with every NumPy whose stubs mypy can read; with others it is said that they are not."""

import subprocess

import pytest

SCRIPT = "check_types"


@pytest.mark.parametrize(
    ("numpy", "checks"), [("2.4.6", True), ("1.26.4", True), ("2.5.0", False), ("3.0.1rc1", False)]
)
def test_types_are_checked_unless_numpy_is_too_new(script, monkeypatch, capsys, numpy, checks):
    called = []
    monkeypatch.setattr(script, "version", {"numpy": numpy, "mypy": "2.4.1"}.__getitem__)
    monkeypatch.setattr(
        script.subprocess, "run", lambda words, **_: called.append(words) or subprocess.CompletedProcess(words, 1)
    )
    assert script.main() == int(checks)
    assert [words[1:] for words in called] == ([["-m", "mypy"]] if checks else [])
    said = f"not checked: mypy 2.4.1 cannot read the stubs of NumPy {numpy}; Python 3.11 has older ones\n"
    assert capsys.readouterr().out == ("" if checks else said)
