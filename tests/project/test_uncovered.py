"""Lines without a test: counted from a report of coverage, and held against the record."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = "uncovered"


def report(**missing):
    """Return a report of files of 100 lines each, of which so many have no test."""
    files = {f"circuitmem/{name}.py": {"summary": {"missing_lines": count}} for name, count in missing.items()}
    return {"meta": {"version": "7.10.6"}, "files": files, "totals": {"num_statements": 100 * len(files)}}


@pytest.fixture
def compare(script, tmp_path, monkeypatch, capsys):
    """Call the program for a report; returns its exit code and what it printed."""
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(script, "REPORT", tmp_path / "report.json")
    monkeypatch.setattr(script, "RECORD", tmp_path / "uncovered.json")
    monkeypatch.setattr(script, "commit", lambda: "0123abcd")

    def call(*words, **missing):
        if missing:
            script.REPORT.write_text(json.dumps(report(**missing)))
        return script.main(list(words)), capsys.readouterr().out

    return call


def test_more_lines_without_a_test_are_an_error_wherever_they_are(compare):
    assert compare("--keep", files=3, rng=0, tile=8) == (0, "11 of 300 lines have no test: written to uncovered.json\n")
    assert compare() == (0, "11 of 300 lines have no test, 11 in the record of 0123abcd\n")
    code, printed = compare(files=3, rng=2, tile=7)
    assert code == 1
    assert printed.splitlines()[1:] == ["   +2  circuitmem/rng.py", "   -1  circuitmem/tile.py"]
    assert compare(files=3, rng=2, tile=6)[0] == 0


def test_what_is_missing_is_said(compare):
    assert compare() == (2, "there is no report.json: make coverage writes it\n")
    code, printed = compare(files=3)
    assert (code, "there is no record" in printed) == (0, True)
    assert compare("--update") == (2, "usage: uncovered.py [--keep], not --update\n")


def test_the_record_is_of_files_that_there_are(script):
    if not script.RECORD.is_file():
        pytest.skip("no whole run has been counted")
    record = json.loads(script.RECORD.read_text("utf-8"))
    assert sum(record["files"].values()) == record["without_test"] < record["lines"]
    known = sum((ROOT / name).is_file() for name in record["files"])
    assert known > 0.9 * len(record["files"])  # of a commit before: some may be gone
