"""The run on a bare Debian installs what README says, and its record says on what it was timed."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = "fresh"


def test_what_readme_asks_for_is_what_is_installed(script):
    assert script.packages((ROOT / "README.md").read_text("utf-8")) == ["python3-venv", "make", "gcc", "python3-dev"]
    with pytest.raises(SystemExit, match="does not say what the two commands need"):
        script.packages("## One command\n")


def test_wrong_words_are_one_line(script, tmp_path, capsys):
    for words in ([], ["sarge", str(tmp_path / "new")], ["trixie", str(tmp_path / "new"), "--quick"]):
        assert script.main(words) == 2
        assert capsys.readouterr().out.startswith("usage: fresh.py {bookworm,trixie} FOLDER [--test], not")
    assert script.main(["trixie", str(tmp_path)]) == 2
    assert capsys.readouterr().out == f"{tmp_path} must be a new folder\n"


def test_the_record_has_the_times_the_machine_and_its_load(script):
    provenance = {"circuitmem": "0.2.0", "python": "3.13.5", "ngspice": "ngspice-44", "seed": 1}
    loads = {"set_up": [0.1] * 3, "run": [2.0] * 3, "end": [2.1] * 3}
    found = script.record("trixie", {"set_up": 912.34, "run": 45.67}, loads, provenance, None)
    assert (found["set_up_s"], found["run_s"]) == (912.3, 45.7)
    assert found["load_before"] == loads
    assert found["processors"] >= 1
    assert found["processor"]
    assert (found["python"], found["ngspice"]) == ("3.13.5", "ngspice-44")
    assert "tests_passed" not in found
    json.dumps(found)
    assert script.record("trixie", {}, loads, provenance, 6618)["tests_passed"] == 6618


def test_the_tests_that_passed_are_counted_in_the_closing_line(script):
    assert script.passed("==== 6618 passed, 5 skipped in 1392.96s (0:23:12) ====") == 6618
    with pytest.raises(SystemExit, match="not the closing line of pytest: make: nothing to do"):
        script.passed("make: nothing to do")
