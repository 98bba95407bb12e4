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


def test_the_record_has_both_times_the_machine_and_its_load(script):
    provenance = {"circuitmem": "0.2.0", "python": "3.13.5", "ngspice": "ngspice-44", "seed": 1}
    found = script.record("trixie", {"set_up": 912.34, "run": 45.67}, [[0.1] * 3, [2.0] * 3, [2.1] * 3], provenance)
    assert (found["set_up_s"], found["run_s"]) == (912.3, 45.7)
    assert found["load_before"] == [0.1] * 3
    assert found["processors"] >= 1
    assert found["processor"]
    assert (found["python"], found["ngspice"]) == ("3.13.5", "ngspice-44")
    json.dumps(found)
