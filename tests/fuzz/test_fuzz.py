"""Random configurations and files through the command line: no traceback, no strange exit code, one line an error.

What was found by hand is in ``cases.toml``. More tries: ``python tests/fuzz/tries.py --seed 7 --tries 2000 --draw 50``,
and with ``--what files`` those of commands that read files, which are changed.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SECONDS = {"settings": 22, "files": 8}
"""For which tries are begun; with their starts, the corpus and the last tries the tests stay below a minute."""


@pytest.fixture(scope="module")
def tries():
    sys.path.insert(0, str(HERE))
    try:
        spec = importlib.util.spec_from_file_location("tries", HERE / "tries.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules["tries"] = module
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(HERE))


def fuzz(tmp_path, *words):
    """Do tries in a process of their own, with 6 GiB, and return what it says; a process that dies says what it did."""
    log = tmp_path / "under_way.json"
    command = [sys.executable, str(HERE / "tries.py"), "--log", str(log), "--memory", "6000", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path)
    under_way = log.read_text() if log.is_file() else "nothing"
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\nunder way: {under_way}"
    return done.stdout


@pytest.mark.parametrize("what", SECONDS)
def test_random_changes_end_as_promised(tmp_path, what):
    said = fuzz(tmp_path, "--what", what, "--seed", 1, "--seconds", SECONDS[what], "--draw", 100, "--limit", 10)
    assert "0 broke a promise" in said
    assert int(said.split(" tries in ")[0].rpartition("\n")[2]) >= 3


def test_what_once_went_wrong_does_not_again(tmp_path, tries):
    said = fuzz(tmp_path, "--corpus", "--draw", 1000, "--limit", 60)
    assert said.startswith(f"{len(tries.corpus())} tries")


@pytest.mark.parametrize(
    ("code", "out", "err", "fault"),
    [
        (0, "", "", None),
        (2, "", "circuitmem: error: x must be y\n", None),
        (2, "", "circuitmem: progress: data after 2 s\ncircuitmem: error: x\n", None),
        (0, "", "circuitmem: warning: x\ncircuitmem: warning: y\n", None),
        (130, "", "circuitmem: interrupted\n", None),
        ("Traceback: boom", "", "", "traceback"),
        (3, "", "", "exit code 3"),
        (2, "", "", "with 0 lines of errors"),
        (0, "", "circuitmem: error: x\n", "with 1 lines of errors"),
        (2, "", "circuitmem: error: x\ncircuitmem: error: y\n", "with 2 lines of errors"),
        (2, "", "circuitmem: error: x\nand more\n", "stderr: "),
        (0, "", "a.py:1: RuntimeWarning: overflow\n", "stderr: "),
    ],
)
def test_the_judge_knows_what_is_promised(tries, tmp_path, monkeypatch, code, out, err, fault):
    monkeypatch.chdir(tmp_path)
    found = tries.faults(["netlist"], tries.Ended(code, out, err, 1.0), True)
    assert bool(found) == bool(fault)
    assert not fault or fault in found[0]


def test_the_judge_reads_json_and_results(tries, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert tries.faults(["netlist", "--json"], tries.Ended(0, "{", "", 1.0), True)
    assert tries.faults(["netlist", "--json"], tries.Ended(0, '{"error": 1}', "", 1.0), True)
    assert tries.faults(["netlist", "--json"], tries.Ended(0, '{"a": NaN}', "", 1.0), True)
    assert not tries.faults(["netlist", "--json"], tries.Ended(0, "{}", "", 1.0), True)
    Path("run").mkdir()
    for name in ("provenance.json", "report.html"):
        Path("run", name).touch()
    for results, fault in (({"energy_j": {"raw": 1.0}}, False), ({"energy_j": {"raw": -1.0}}, True)):
        Path("run/results.json").write_text(json.dumps(results))
        assert bool(tries.faults(["train"], tries.Ended(0, "", "", 1.0), True)) == fault
    Path("run/results.json").write_text('{"history": [NaN]}')
    assert tries.faults(["train"], tries.Ended(0, "", "", 1.0), True) == ["results.json: .history[0]"]
    Path("run/.partial_x").touch()
    assert "left behind" in tries.faults(["netlist"], tries.Ended(0, "", "", 1.0), True)[-1]


def test_the_same_seed_gives_the_same_words(tries):
    assert tries.words_of(3, 14) == tries.words_of(3, 14)
    assert tries.words_of(3, 14) != tries.words_of(4, 14)
    assert tries.try_of(3, 14) == tries.try_of(3, 14)
    assert tries.try_of(3, 14) != tries.try_of(4, 14)


def test_files_are_changed_alike_each_time(tries, tmp_path, monkeypatch):
    """Every command that reads files is tried, with files of a user and with damaged files of a run."""
    some = [tries.try_of(1, number) for number in range(60)]
    assert {trial.words[0] for trial in some} >= {
        "tile", "fit", "infer", "netlist", "report", "resume", "data", "summary",
    }  # fmt: skip
    assert any(trial.files for trial in some)
    damaged = next(trial for trial in some if trial.damage)
    home, found = tries.Home(), []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        home.fill(tmp_path / name, damaged)
        run = tmp_path / name / "run"
        found.append({path.name: path.read_bytes() for path in run.iterdir() if path.is_file()})
    intact = {path.name: path.read_bytes() for path in (home.runs / str(damaged.run)).iterdir()}
    home.close()
    assert found[0] == found[1]
    assert found[0] != intact
