"""A run of a network of torch that is killed goes on to the same end, to the last bit, from the command line."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from builders import options

from circuitmem.config import load_run
from circuitmem.errors import ValidationError

pytest.importorskip("torch")
from circuitmem.torch import resume_model_run, start_model_run

MODULE = """
from torch import nn

def build():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))
"""
SETTINGS = ["data.source=mine.npz", "network.model=killed_network:build", "chip.tile.rows=8", "chip.tile.columns=8"]
SETTINGS += ["ex_situ.epochs=2", "in_situ.batch=6", "in_situ.epochs=2", "in_situ.optimiser=adam", "audit.tiles=0"]
SETTINGS += ["audit.fraction=0.0", "checkpoint_interval=0.0", 'methods=["calibration_in_situ"]']


def test_a_run_killed_in_training_ends_with_the_same_bits(tmp_path, monkeypatch, forked):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "mine.npz", x=rng.normal(size=(60, 6)), y=np.arange(60) % 2)
    (tmp_path / "killed_network.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    start_model_run(load_run(None, SETTINGS), "whole")
    words = options(SETTINGS)
    command = [sys.executable, "-m", "circuitmem", "train", "-o", "killed", *words]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    limit = time.monotonic() + 100
    while not list((tmp_path / "killed").glob("checkpoint_*_00000[4-9].npz")) and time.monotonic() < limit:
        time.sleep(0.002)
    assert process.poll() is None, "it ended before it could be killed"
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    assert not (tmp_path / "killed" / "results.json").exists()
    resumed = forked("resume", "killed", folder=tmp_path)
    assert (resumed["code"], resumed["errors"]) == (0, [])
    for path in (tmp_path / "whole").iterdir():
        if path.suffix == ".npz" or path.name == "results.json":
            assert (tmp_path / "killed" / path.name).read_bytes() == path.read_bytes(), path.name
    (tmp_path / "killed_network.py").write_text(MODULE.replace("0.2", "0.3"))
    (tmp_path / "killed" / "results.json").unlink()
    with pytest.raises(ValidationError, match=r"network\.model must be what the run was begun with: the source of"):
        resume_model_run("killed")
