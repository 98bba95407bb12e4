"""kill -9 in the middle of a study: of the command itself, and of a worker of a Dask cluster."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from circuitmem.study.runner import run_study
from circuitmem.study.spec import load_study

STUDY = """
title = "To be killed"
methods = ["raw", "in_situ"]
repeats = 3

[axes.device_yield]
key = "chip.defects.device_yield"
values = [1.0, 0.8]

[run]
data = { side = 8, train = 400, test = 100 }
network = { layers = [64, 12, 10] }
chip = { tile = { rows = 32, columns = 16 } }
in_situ = { epochs = 5, batch = 20 }
ex_situ = { epochs = 2 }
"""


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "study.toml").write_text(STUDY)
    return load_study(folder)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_for(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def test_a_study_goes_on_after_kill_9_with_every_point_once(study, tmp_path):
    calm, out = tmp_path / "calm", tmp_path / "out"
    command = [sys.executable, "-m", "circuitmem", "study", "run", study.folder, "--workers", "2", "--json", "--out"]
    process = subprocess.Popen([*command, out], stdout=subprocess.DEVNULL)
    points = out / "points"
    wait_for(lambda: points.is_dir() and len(list(points.glob("*.json"))) >= 1)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(workers) == 2
    wait_for(lambda: not any(is_running(pid) for pid in workers))  # they do not outlive it
    before = {path.name: path.stat().st_mtime_ns for path in points.glob("*.json")}
    assert 1 <= len(before) < 6
    assert not (out / "results.csv").exists()

    done = subprocess.run([*command, out], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["finished"], summary["computed"]) == (6, 6 - len(before))
    after = {path.name: path.stat().st_mtime_ns for path in points.glob("*.json")}
    assert len(after) == 6
    assert before.items() <= after.items()
    run_study(study, calm)
    assert (out / "results.csv").read_bytes() == (calm / "results.csv").read_bytes()


@pytest.mark.filterwarnings("default")  # those of a cluster that loses a worker are not ours
def test_a_dask_cluster_that_loses_a_worker_loses_no_point(study, tmp_path):
    from distributed import LocalCluster

    killed = []
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        pids = [worker.process.pid for worker in cluster.workers.values()]

        def kill(_, done, total):
            if done == 2 and not killed:
                os.kill(pids[0], signal.SIGKILL)
                killed.append(pids[0])

        summary = run_study(study, tmp_path / "cluster", scheduler=cluster.scheduler_address, progress=kill)
    assert killed
    assert (summary["finished"], summary["computed"], summary["failed"]) == (6, 6, [])
    assert len(list((tmp_path / "cluster" / "points").glob("*.json"))) == 6
    run_study(study, tmp_path / "local", workers=2)
    rows = [(tmp_path / name / "results.csv").read_bytes() for name in ("cluster", "local")]
    assert rows[0] == rows[1]
