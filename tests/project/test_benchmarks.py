"""The benchmark runs, its rivals solve the same circuit, and its table says what is missing. Times are never judged."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
networks = importlib.import_module("networks")
recovery = importlib.import_module("recovery")


@pytest.mark.parametrize("name", ["superlu", "cholmod", "klu"])
def test_rivals_solve_the_same_circuit(name):
    from circuitmem import Tile, TileSpec
    from circuitmem.engine import BehavioralEngine

    conductance = np.random.default_rng(0).uniform(1e-6, 1e-4, (5, 7))
    tile = Tile(TileSpec(rows=5, columns=7, word_line_resistance=1.0, bit_line_resistance=1.0), conductance)
    nodal = networks.assemble(conductance)
    try:
        solve = getattr(networks, name)(nodal)
    except (ImportError, OSError) as reason:
        pytest.skip(f"{name}: {reason}")
    expected = BehavioralEngine().transfer_matrix(tile)
    np.testing.assert_allclose(solve(nodal.inputs.toarray())[-7:], expected, rtol=1e-10)


@pytest.mark.slow
def test_the_table_and_the_record(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "kernels.py", "--quick", "--out", tmp_path],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "kernels.txt").read_text("utf-8")
    assert done.stdout == text
    record = json.loads((tmp_path / "kernels.json").read_text("utf-8"))
    assert [row["size"] for row in record["transfer_matrix"]] == [32, 64]
    for row in [*record["transfer_matrix"], *record["vector"]]:
        assert row["SuperLU"]["ratio"] > 0.0
        assert row["SuperLU"]["difference"] < 1e-9
        for rival in ("CHOLMOD", "KLU"):
            assert row[rival].get("missing") or row[rival]["difference"] < 1e-9
    for row in record["transfer_matrix"]:
        assert 0.0 < row["float32_error"] < 1e-5
    peers = ("SuperLU", "CHOLMOD", "KLU", "badcrossbar", "ngspice")
    rows = [*record["transfer_matrix"], *record["vector"]]
    assert text.count("missing") == sum("missing" in row.get(name, {}) for row in rows for name in peers)
    # Of 0.1, 1 and 10 ohm: the more wires matter, the more iterations a vector takes, the sooner the matrix pays.
    planned = [row["planned"] for row in record["plan"]]
    assert planned[0] > planned[1] > planned[2] >= 2
    assert [row["size"] for row in record["peaks"]] == [64]
    assert record["peaks"][0]["ours"] >= 0.0
    assert record["peaks"][0]["SuperLU"] > 0.0
    assert set(record["about"]["versions"]) >= {"circuitmem", "numpy", "scipy", "scikit-sparse", "badcrossbar"}


def test_the_table_of_stacks(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "stacks.py", "--seconds", "0.05", "--out", tmp_path],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == (tmp_path / "stacks.txt").read_text("utf-8")
    rows = json.loads((tmp_path / "stacks.json").read_text("utf-8"))["rows"]
    assert [row["threads"] for row in rows] == [1, 2] * 4


def test_the_table_of_cells_that_are_not_linear(tmp_path):
    """A simulator that is not installed, or too slow, says so in place of numbers."""
    done = subprocess.run(
        [
            sys.executable,
            ROOT / "benchmarks" / "nonlinear.py",
            "--sides",
            "4",
            "8",
            "--seconds",
            "0.02",
            "--out",
            tmp_path,
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == (tmp_path / "nonlinear.txt").read_text("utf-8")
    rows = json.loads((tmp_path / "nonlinear.json").read_text("utf-8"))["rows"]
    assert [row["size"] for row in rows] == [4, 8]
    for row in rows:
        assert row["ours_ms"] > 0.0
        for simulator in ("ngspice", "vacask"):
            assert row[simulator].get("missing") or row[simulator]["difference"] < 1e-7


def test_an_epoch_is_what_more_epochs_add(monkeypatch):
    """Two calls of the command, of which the longer one has five epochs more."""
    import epoch

    calls, clock = [], iter([0.0, 3.0, 10.0, 23.0])
    monkeypatch.setattr(epoch.subprocess, "run", lambda words, **_: calls.append(words))
    monkeypatch.setattr(epoch.time, "perf_counter", lambda: next(clock))
    assert epoch.measure_command(1.0)["seconds"] == 2.0
    assert ["in_situ.epochs=1" in words for words in calls] == [True, False]
    assert "in_situ.epochs=6" in calls[1]
    assert epoch.command("train, 1 ohm a segment", 2, "digits.npz")[2:] == ["train", "1.0"]
    assert epoch.command(epoch.SINGLE, 2, "digits.npz")[2:] == ["layers", "1.0", "single"]


def test_the_rival_has_the_same_digits_and_the_blas_that_it_chooses_itself(monkeypatch, tmp_path):
    import epoch

    for name, value in (("AIHWKIT_PYTHON", "python"), ("OPENBLAS_CORETYPE", "Prescott"), ("OPENBLAS_L2_SIZE", "1")):
        monkeypatch.setenv(name, value)
    path = epoch._digits(str(tmp_path))
    assert epoch.command(epoch.AIHWKIT, 2, path)[3:] == [path, "64", "2"]
    with np.load(path) as digits:
        assert digits["inputs"].shape == (epoch.IMAGES, 784)
        assert digits["labels"].shape == (epoch.IMAGES,)
    compile(epoch.RIVAL, "rival", "exec")
    names = "sorted(name for name in os.environ if name.startswith('OPENBLAS_'))"
    told = [sys.executable, "-c", f"import json, os; print(json.dumps({{'names': {names}}}))"]
    assert epoch.run(told, 1) == {"names": []}


def test_the_schedulers_table_and_record(tmp_path):
    """All ways end at the same time, or the benchmark itself fails."""
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "scheduler.py", "--quick", "--out", tmp_path],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "scheduler.json").read_text())
    assert all(row[way] > 0.0 for row in record["cases"].values() for way in ("simpy", "pulse", "burst"))
    assert record["epoch"]["trains"] > 54
    table = (tmp_path / "scheduler.txt").read_text()
    assert "1 resource, 64 time-outs" in table
    assert table.strip() == done.stdout.strip()


def test_the_table_of_scale_says_on_what_load_it_was_measured(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "scale.py", "--sizes", "140", "--threads", "1", "--out", tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "scale.json").read_text("utf-8"))
    assert row["tiles"] == 6
    assert min(row[name] for name in ("build_s", "program_s", "first_read_s", "step_s", "peak_mib")) > 0.0
    assert f"{row['load_before']:.2f}" in (tmp_path / "scale.txt").read_text("utf-8")


@pytest.mark.spice
def test_the_tables_of_the_referees(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "spice.py", "--sides", "4", "--vector-sides", "3", "--out", tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "spice.txt").read_text("utf-8").splitlines()
    assert done.stdout.splitlines() == lines
    vectors = [line.split() for line in lines[3:5]]
    assert [row[:2] for row in vectors] == [["linear", "3x3"], ["sinh", "3x3"]]
    # Milliseconds of ours; then seconds, ratio and difference of each referee that is here.
    assert all(float(row[2]) > 0.0 and float(row[3]) > 0.0 and float(row[5]) <= 1e-7 for row in vectors)
    first = lines.index("phases of a call of ngspice, seconds, best of two calls") + 1
    assert lines[first].split() == ["call", "tile", "vectors", "build", "transfer", "load", "solve", "fetch"]
    rows = [line.split() for line in lines[first + 1 : first + 4]]
    assert [row[:2] for row in rows] == [[call, "4x4"] for call in ("read", "read", "solve")]
    assert all(float(value) > 0.0 for row in rows for value in row[3:8])


@pytest.mark.spice
def test_the_table_of_pulses_on_ode_devices(tmp_path):
    arguments = ["--sides", "2", "--row", "6", "--rounds", "1", "--pulses", "VTEAM reset", "Stanford set"]
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "trains.py", *arguments, "--out", tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "trains.txt").read_text("utf-8").splitlines()
    assert done.stdout.splitlines() == lines
    rows = [line.split() for line in lines[3:5]]
    assert [row[:3] for row in rows] == [["VTEAM", "reset", "2x2"], ["Stanford", "set", "2x2"]]
    # Steps, move, ours; then milliseconds, ratio and largest difference of states of each referee that is here.
    assert all(float(row[4]) > 0.01 and float(row[5]) > 0.0 and float(row[8]) <= 1e-3 for row in rows)
    assert [line.split()[2] for line in lines[-2:]] == ["6x6", "6x6"]


def test_what_is_tracked_from_commit_to_commit_runs():
    """Every kernel that asv times, at the smallest size: the names of the public face that it uses are right."""
    assert json.loads((ROOT / "asv.conf.json").read_text("utf-8"))["benchmark_dir"] == "benchmarks/tracked"
    tracked, ran = importlib.import_module("tracked.kernels"), []
    for kind in (each for each in vars(tracked).values() if isinstance(each, type) and hasattr(each, "params")):
        lists = (
            kind.params if isinstance(kind.params, list | tuple) and isinstance(kind.params[0], list) else [kind.params]
        )
        smallest, case = [values[0] for values in lists], kind()
        case.setup(*smallest)
        for name in (name for name in dir(kind) if name.startswith(("time_", "peakmem_"))):
            getattr(case, name)(*smallest)
            ran.append(name)
    assert len(ran) >= 8


def test_algorithms_are_drawn_within_what_is_declared():
    algorithms = importlib.import_module("algorithms")
    for name in algorithms.NAMES:
        low, high = algorithms.RATES[name]
        tried = [algorithms.drawn(name, k, (low, high), algorithms.OURS.get(name, {})) for k in range(6)]
        assert len({rate for rate, _ in tried}) == 6
        assert all(low <= rate <= high for rate, _ in tried)
        assert tried[2] == algorithms.drawn(name, 2, (low, high), algorithms.OURS.get(name, {}))
        for _, options in tried:
            assert all(value in algorithms.OURS[name][key] for key, value in options.items())
    best = algorithms.find_best(lambda name, rate, options, seed: (-rate, seed), 3, (5, 7), lambda _: (0.1, 1.0), {})
    assert best["agad"]["rate"] == min(algorithms.drawn("agad", k, (0.1, 1.0), {})[0] for k in range(3))
    assert (best["agad"]["test"], best["agad"]["each"]) == (6.0, [5, 7])


def recovered(monkeypatch, folder, *arguments):
    """Count intervals, and return what the record has of each model but for the time."""
    record = folder / "recovery.json"
    given = [
        "recovery.py",
        *arguments,
        "--out",
        str(folder),
        "--record",
        str(record),
        "--ends",
        str(folder / "ends.csv"),
    ]
    monkeypatch.setattr(sys, "argv", given)
    recovery.main()
    models = json.loads(record.read_text("utf-8"))["models"]
    return {name: {key: own[key] for key in own if key != "cpu_s"} for name, own in models.items()}


def test_a_count_of_intervals_goes_on_where_it_was_stopped(monkeypatch, tmp_path, capsys):
    once, twice = (tmp_path / name for name in ("once", "twice"))
    once.mkdir()
    twice.mkdir()
    whole = recovered(monkeypatch, once, "steps", "statistical", "--repeats", "3")
    assert set(whole) == {"steps", "statistical"}
    assert whole["steps"]["curves"] == 3
    assert sum(each["both"] for each in whole["steps"]["parameters"].values()) == 120
    assert recovered(monkeypatch, twice, "steps", "statistical", "--repeats", "1") != whole
    assert recovered(monkeypatch, twice, "steps", "statistical", "--repeats", "3") == whole
    assert (twice / "ends.csv").read_text() == (once / "ends.csv").read_text()
    assert (once / "recovery.txt").read_text() in capsys.readouterr().out
    # Other code, or other seeds: from the beginning.
    monkeypatch.setattr(recovery, "fit_code", lambda name: "other")
    assert recovered(monkeypatch, twice, "steps", "--repeats", "1")["steps"]["curves"] == 1
    assert recovered(monkeypatch, twice, "steps", "--repeats", "1", "--first-seed", "7")["steps"]["first_seed"] == 7


def test_intervals_hold_what_curves_were_made_with_and_not_something_else(monkeypatch, tmp_path):
    def held(folder):
        folder.mkdir()
        own = recovered(monkeypatch, folder, "pulse", "--repeats", "4")["pulse"]
        ends = ("both", "one", "both_hold", "one_hold")
        both, one, both_hold, one_hold = (sum(each[key] for each in own["parameters"].values()) for key in ends)
        assert both + one >= 12  # range and curvature of each direction, or most of them
        return (both_hold + one_hold) / (both + one)

    assert held(tmp_path / "right") >= 0.75
    fit = recovery.MODELS["pulse"]

    def of_another(*at):
        found, truth = fit(*at)
        return found, {name: 1.2 * value if isinstance(value, float) else value for name, value in truth.items()}

    monkeypatch.setitem(recovery.MODELS, "pulse", of_another)
    assert held(tmp_path / "wrong") <= 0.5
