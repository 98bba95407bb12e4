"""The commands of studies: what they print and leave behind, exit codes, one-line errors."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

STUDIES = Path(__file__).parents[3] / "studies"


@pytest.fixture
def run(command):
    return lambda *words, cwd=".", **environment: command("study", *words, cwd=cwd, **environment)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "nowhere"], "nowhere: is not a study (it has no study.toml)"),
        (["report", "nowhere"], "nowhere: is not a study"),
        (
            ["figures", STUDIES / "yield", "--out", "."],
            "results.parquet: is not there yet; circuitmem study run makes it",
        ),
        (["run", STUDIES / "yield", "--quick", "--out", ".", "--workers", "0"], "--workers must be >= 1 (got 0)"),
        (
            ["run", STUDIES / "yield", "--repeats", "0", "--out", "."],
            "repeats must be greater than or equal to 1 (got 0)",
        ),
        (["runn", STUDIES / "yield"], "Did you mean 'run'?"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run, tmp_path, words, message):
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("circuitmem: error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_quick_study_from_the_plan_to_the_figures(run, tmp_path):
    out = tmp_path / "out"
    plan = run("run", STUDIES / "yield", "--quick", "--out", out, "--dry-run")
    assert plan.returncode == 0, plan.stderr
    assert "36 trials first, and 4 points of raw, offset, affine, calibration, global_scale, " in plan.stdout
    assert "schr; 40 are to be computed: about" in plan.stdout
    assert not out.exists()

    done = run("run", STUDIES / "yield", "--quick", "--out", out, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "yield: 4 of 4 points finished, tuned in 36 trials, 40 points and trials computed now" in done.stdout
    text = (out / "results.md").read_text()
    assert "too small to mean anything" in text
    assert "| device_yield | wires | digital network |" in text
    assert "at equal pulses" in text

    figures = [out / "figures" / name for name in ("yield.png", "calibrations.png")]
    assert all(figure.read_bytes().startswith(b"\x89PNG") for figure in figures)
    for path in (*(out / "points").glob("*.json"), *figures):
        path.unlink()  # the table is enough
    again = run("figures", STUDIES / "yield", "--quick", "--out", out, "--json")
    assert json.loads(again.stdout) == {"figures": [str(figure) for figure in figures]}
    assert all(figure.read_bytes().startswith(b"\x89PNG") for figure in figures)
    (out / "results.md").unlink()
    report = run("report", STUDIES / "yield", "--quick", "--out", out, "--json")
    assert json.loads(report.stdout) == {
        "report": str(out / "results.md"),
        "figures": [str(figure) for figure in figures],
        "readme": None,
    }
    assert (out / "results.md").read_text() == text


@pytest.mark.slow
def test_a_failed_point_is_named_and_the_exit_code_is_1(run, tmp_path):
    (tmp_path / "study.toml").write_text(
        """
        title = "Half of it fails"
        methods = ["raw"]
        [axes.cell.levels]
        linear = {}
        impossible = { "chip.tile.cell" = { kind = "sinh", a = 1e6 } }
        [run]
        data = { side = 8, train = 100, test = 50 }
        network = { layers = [64, 10] }
        chip = { tile = { rows = 16, columns = 8 } }
        ex_situ = { epochs = 1 }
        """
    )
    done = run("run", tmp_path)
    assert done.returncode == 1
    assert "failed: cell impossible, seed 1: ValidationError: cell.a must be <= " in done.stdout
    assert "the same command with --retry computes the failed points again" in done.stdout
    assert "**1 points failed** and are missing below" in (tmp_path / "results.md").read_text()
    as_json = json.loads(run("run", tmp_path, "--json").stdout)
    assert (as_json["computed"], as_json["finished"], as_json["failed"][0]["type"]) == (0, 1, "ValidationError")
    plan = json.loads(run("run", tmp_path, "--json", "--dry-run").stdout)
    assert [point["status"] for point in plan["points"]] == ["finished", "failed"]


def test_without_pyarrow_the_error_says_what_to_install(tmp_path):
    (tmp_path / "pyarrow.py").write_text("raise ModuleNotFoundError('gone', name='pyarrow')")
    out = tmp_path / "out"
    words = ["study", "run", STUDIES / "yield", "--quick", "--out", out]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "circuitmem", *words], capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 2
    assert done.stderr == (
        "circuitmem: error: studies need pyarrow for their tables: pip install 'circuitmem[study]'\n"
    )
    assert not out.exists()
