"""Killed at random moments, resumed twice at once, without room on the disk: nothing is lost, one line each."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from builders import options

from circuitmem import files
from circuitmem.config import load_run
from circuitmem.errors import DataFileError
from circuitmem.records import DataRecord, Digital, MethodRecord, Partial, Provenance, Results, read_record
from circuitmem.training.checkpoint import Keeper
from circuitmem.training.run import resume_run, start_run

TINY = ["data.side=8", "data.train=60", "data.test=40", "network.layers=[64,6,10]", "chip.tile.rows=16"]
TINY += ["chip.tile.columns=16", "ex_situ.epochs=1", "in_situ.epochs=2", "in_situ.batch=10", "audit.tiles=0"]
TINY += ["audit.fraction=0.0", "checkpoint_interval=0.0", 'methods=["raw","in_situ","calibration_in_situ"]']
SETTINGS = options(TINY)
KINDS = {"results": Results, "method": MethodRecord, "partial": Partial, "digital": Digital, "provenance": Provenance}
KINDS["data"] = DataRecord


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("interruptions") / "run"
    start_run(load_run(None, TINY), folder)
    return folder


def check_whole_files(folder):
    """Refuse a file that is there by its name, and not whole."""
    for path in folder.glob("*.json"):
        read_record(path, KINDS[path.stem.partition("_")[0]])
    for path in folder.glob("*.npz"):
        files.load_npz(path)


def check_same_end(folder, whole):
    """Compare with a run that nothing happened to, to the last bit; nothing is left over."""
    for name in ("results.json", "method_raw.json", "method_in_situ.json", "method_calibration_in_situ.json"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    for path in whole.glob("chip_*.npz"):
        assert (folder / path.name).read_bytes() == path.read_bytes()
    left = {path.name for path in folder.iterdir() if path.name.startswith((".", "partial", "checkpoint"))}
    assert left == {".lock"}


def go_on(folder):
    resume_run(folder) if words_to_go_on(folder)[0] == "resume" else start_run(load_run(None, TINY), folder)


def words_to_go_on(folder):
    begun = any((folder / name).exists() for name in ("begun.toml", "config.toml"))
    return ("resume", folder) if begun else ("train", "-o", folder, *SETTINGS)


def test_a_run_killed_at_20_random_moments_loses_nothing(tmp_path, whole, forked):
    """Counted in files, not in seconds: a machine that is slow for a moment finds the same moments."""
    rng, folder, kills, moments = random.Random(17), tmp_path / "run", 0, set()
    for _ in range(100):
        if kills == 20:
            break
        # Before a file has its name, or while the run works on after it.
        moment = (rng.randrange(8), rng.choice([None, rng.uniform(0.0, 0.02)]))
        done = forked(*words_to_go_on(folder), kill_at=moment)
        if folder.exists():
            check_whole_files(folder)
        if done["code"] == -signal.SIGKILL:
            kills += 1
            moments.add(tuple(sorted(path.name for path in folder.glob("[a-z]*"))))
        else:
            assert (done["code"], done["errors"]) == (0, [])
            check_same_end(folder, whole)
            shutil.rmtree(folder)
    assert kills == 20
    assert len(moments) > 8  # at beginnings and in the middle of methods
    go_on(folder)
    check_same_end(folder, whole)


@pytest.mark.parametrize("method", ["raw", "calibration_in_situ"])
def test_a_run_killed_between_a_result_and_the_end_of_its_checkpoints_leaves_none(tmp_path, whole, method, monkeypatch):
    folder = tmp_path / "run"

    def killed(keeper):
        if keeper._name == method:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "clear", killed)
        with pytest.raises(KeyboardInterrupt):
            start_run(load_run(None, TINY), folder)
    assert {path.name for path in folder.glob("partial_*")} == {f"partial_{method}.json"}
    resume_run(folder)
    check_same_end(folder, whole)


def test_a_run_killed_before_its_first_files_goes_on(tmp_path, whole):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".lock").touch()
    (folder / ".begun.toml.abcd1234").write_text("seed = ")
    start_run(load_run(None, TINY), folder)
    check_same_end(folder, whole)
    for path in folder.iterdir():
        if path.name != "begun.toml":
            path.unlink() if path.is_file() else shutil.rmtree(path)
    resume_run(folder)
    check_same_end(folder, whole)


def test_of_two_resumes_at_once_the_second_is_refused(tmp_path, whole, forked):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("begun.toml", "config.toml"):
        shutil.copy(whole / name, folder)
    command = [sys.executable, "-m", "circuitmem", "resume", folder]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 100
    while not (folder / "digital.npz").exists() and time.monotonic() < limit:  # the first is at work
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGSTOP)  # and stays there, however slow the machine
    second = forked("resume", folder)
    os.kill(first.pid, signal.SIGCONT)
    first.communicate(timeout=200)
    assert first.returncode == 0
    assert (second["code"], second["stdout"]) == (2, "")
    assert second["errors"] == [f"circuitmem: error: {folder}: another process works on this run"]
    check_same_end(folder, whole)


@pytest.mark.parametrize("room", [500, 3_000, 9_000, 30_000, 60_000])
def test_a_file_that_cannot_grow_is_one_line_and_the_run_goes_on(tmp_path, whole, room, forked):
    folder = tmp_path / "run"
    done = forked("train", "-o", folder, *SETTINGS, room=room)
    assert done["code"] == 2
    (line,) = done["errors"]
    assert line.startswith("circuitmem: error: ")
    assert "File too large" in line
    check_whole_files(folder)
    go_on(folder)
    check_same_end(folder, whole)


@pytest.mark.parametrize("write", [*range(0, 14, 2), 20, 30])
def test_a_disk_that_is_full_at_any_write_loses_nothing(tmp_path, whole, write, monkeypatch):
    folder, writes = tmp_path / "run", []
    real = os.fsync

    def full(descriptor):
        writes.append(descriptor)
        if len(writes) > write:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(DataFileError, match="cannot be written: No space left on device"):
            start_run(load_run(None, TINY), folder)
    check_whole_files(folder)
    assert not [path for path in folder.glob(".*") if path.name != ".lock"]
    go_on(folder)
    check_same_end(folder, whole)


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk needs the right to mount one; the tests above do without")
@pytest.mark.parametrize("size", ["40k", "200k"])
def test_a_full_disk_is_one_line_and_the_run_goes_on(tmp_path, whole, size, forked):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("root cannot mount a disk here; the tests above do without")
    try:
        done = forked("train", "-o", disk / "run", *SETTINGS)
        (line,) = done["errors"]
        assert (done["code"], "No space left on device" in line) == (2, True)
        check_whole_files(disk / "run")
        subprocess.run(["mount", "-o", "remount,size=60m", str(disk)], check=True)
        go_on(disk / "run")
        check_same_end(disk / "run", whole)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_finished_run_is_only_read(whole):
    before = {path.name: path.stat().st_mtime_ns for path in whole.iterdir() if path.name != ".lock"}
    assert resume_run(whole) == {
        k: v for k, v in json.loads((whole / "results.json").read_text()).items() if k != "format"
    }
    for name, when in before.items():
        assert (whole / name).stat().st_mtime_ns == when
