"""Methods side by side, in processes: the same files, to the last bit, whoever carries them out."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys

import pytest

from circuitmem.config import load_run
from circuitmem.errors import DataFileError, ValidationError, WorkerLostError
from circuitmem.report.run_page import draw_run_page, load_run_record
from circuitmem.training import run as running
from circuitmem.training.run import resume_run, start_run

TINY = ["data.side=8", "data.train=60", "data.test=40", "network.layers=[64,6,10]", "chip.tile.rows=16"]
TINY += ["chip.tile.columns=16", "ex_situ.epochs=1", "in_situ.epochs=2", "in_situ.batch=10", "audit.reads=1"]
TINY += ["audit.pulses=1", "checkpoint_interval=0.0", 'methods=["raw","calibration","in_situ"]']


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone") / "run"
    start_run(load_run(None, TINY), folder)
    return folder


def check_same_end(folder, alone):
    names = {path.name for path in alone.iterdir()}
    assert {path.name for path in folder.iterdir()} == names
    for name in names - {"provenance.json"}:
        assert (folder / name).read_bytes() == (alone / name).read_bytes(), name


@pytest.mark.spice
def test_methods_side_by_side_end_as_one_after_another(alone, tmp_path):
    told = {}
    start_run(load_run(None, TINY), tmp_path / "run", lambda what, done, _: told.setdefault(what, []).append(done), 2)
    check_same_end(tmp_path / "run", alone)
    for what, steps in {"raw": 1, "calibration": 1, "in_situ": 2 * 6 + 1}.items():
        assert told[what] == sorted(told[what])
        assert set(told[what]) == set(range(steps + 1))
    assert [what for what in told if what in ("raw", "calibration", "in_situ")].index("in_situ") < 2  # the longest
    audit = json.loads((tmp_path / "run" / "results.json").read_text())["audit"]
    assert audit["reads"] == audit["pulse_trains"] == 3  # those that a helper chose are among them


@pytest.mark.spice
def test_the_page_names_all_methods_under_way_in_the_order_of_the_run(alone, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(alone, folder)
    (folder / "results.json").unlink()
    for name in ("in_situ", "calibration"):
        (folder / f"method_{name}.json").rename(folder / f"partial_{name}.json")
    record = load_run_record(folder)
    assert list(record["methods"]) == ["raw", "calibration", "in_situ"]
    assert record["running"] == ["calibration", "in_situ"]
    page = draw_run_page(folder, figures=False)[0].read_text("utf-8")
    assert "Under way: calibration only, epoch 0 of 2; in-situ only, epoch 2 of 2.</p>" in page


@pytest.mark.spice
def test_a_run_whose_helper_was_killed_says_so_and_goes_on(alone, tmp_path):
    folder, ended = tmp_path / "run", []

    def kill(what, done, _):
        if what in ("calibration", "raw") and done == 0 and not ended:
            (helper,) = multiprocessing.active_children()
            ended.append(helper.pid)
            os.kill(helper.pid, signal.SIGKILL)

    with pytest.raises(WorkerLostError, match=r"died \(exit code -9\); circuitmem resume goes on$"):
        start_run(load_run(None, TINY), folder, kill, 2)
    assert ended
    assert not multiprocessing.active_children()
    resume_run(folder, workers=2)
    check_same_end(folder, alone)


def test_what_goes_wrong_in_a_helper_is_raised_here(tmp_path):
    def spoil(what, *_):
        if what == "digital":  # the helper looks at the data when it is told its first method
            (tmp_path / "run" / "data.json").write_text("{")

    with pytest.raises(DataFileError, match=r"data\.json"):
        start_run(load_run(None, [*TINY, "audit.tiles=0"]), tmp_path / "run", spoil, 2)
    assert not multiprocessing.active_children()


def test_what_progress_raises_ends_a_run_with_helpers(tmp_path):
    def stop(what, done, _):
        if (what, done) == ("in_situ", 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_run(load_run(None, [*TINY, "audit.tiles=0"]), tmp_path / "run", stop, 2)
    assert not multiprocessing.active_children()


def test_who_asks_for_nobody_gets_one_line(tmp_path):
    with pytest.raises(ValidationError, match=r"workers"):
        start_run(load_run(None, TINY), tmp_path / "run", workers=0)
    words = ["-m", "circuitmem", "train", "-o", str(tmp_path / "run"), "--workers", "0"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "circuitmem: error: workers must be >= 1 (got 0)\n"
    assert not (tmp_path / "run").exists()


def test_a_second_process_is_worth_it_for_some_seconds_of_work_on_a_small_chip(monkeypatch):
    monkeypatch.setenv("CIRCUITMEM_THREADS", "2")
    spec = load_run(None, ["data.train=100"])

    def fitting(spec, samples):
        return running._fitting(spec, type("Data", (), {"train_inputs": range(samples)}))

    assert fitting(spec, 6400) == 2
    assert fitting(spec, 100) == 1
    assert fitting(load_run(None, ["network.layers=[784,4096,4096,10]"]), 6400) == 1
    monkeypatch.setenv("CIRCUITMEM_THREADS", "1")
    assert fitting(spec, 6400) == 1
