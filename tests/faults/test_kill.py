"""A run that is killed at any moment goes on to the same end, to the last bit; a damaged checkpoint is passed over."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from builders import options

TINY = [
    "data.side=8",
    "data.train=240",
    "data.test=60",
    "network.layers=[64, 12, 10]",
    "chip.tile.rows=32",
    "chip.tile.columns=16",
    "chip.dac_banks=3",
    "in_situ.epochs=2",
    "in_situ.batch=20",
    "calibration.vectors=40",
    "ex_situ.epochs=3",
    "audit.tiles=2",
    "audit.reads=2",
    "checkpoint_interval=0.0",
    "trace=true",
    "vcd=true",
]
AGEING = [
    "chip.retention.drift_exponent=0.01",
    "chip.retention.read_disturb=1e-5",
    "chip.endurance.pulses=60.0",
    'chip.faults=[{what="driver", tile=1, row=5, time=2e-3}, {what="adc", tile=0, column=3, pulses=400.0}]',
    "reuse_error=1e-3",
]


def start(*words):
    return subprocess.Popen(
        [sys.executable, "-m", "circuitmem", *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A job in the background inherits the neglect of Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def train(folder, settings):
    words = options(settings)
    return start("train", "--out", folder, "--seed", 3, *words)


def finish(process):
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return without_progress(errors)


def end(process, folder, method, number, sign):
    """End a process with a signal a little after a checkpoint of that number."""
    limit = time.monotonic() + 200
    while process.poll() is None and time.monotonic() < limit:
        found = [int(path.stem.rpartition("_")[2]) for path in folder.glob(f"checkpoint_{method}_*.npz")]
        if max(found, default=0) >= number:
            break
        time.sleep(0.001)
    time.sleep(random.Random(number).uniform(0.0, 0.02))
    assert process.poll() is None, "it ended before it could be killed"
    os.kill(process.pid, sign)
    process.wait(timeout=60)
    errors = process.stderr.read()
    process.stderr.close()
    return without_progress(errors)


def without_progress(said):
    """Return what is on stderr but for how far the run is, and what its numbers mean."""
    others = ("circuitmem: progress: ", "circuitmem: warning: ")
    return "".join(line for line in said.splitlines(True) if not line.startswith(others))


def content(folder):
    """Return all that a run has found."""
    kept = {name: (folder / name).read_bytes() for name in ("results.json", "config.toml")}
    for path in [*folder.glob("*.npz"), *folder.glob("*.vcd")]:
        kept[path.name] = path.read_bytes()
    for path in folder.glob("trace_*"):
        kept[path.name] = gzip.decompress(path.read_bytes())
    return kept


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody has disturbed."""
    folder = tmp_path_factory.mktemp("kill") / "whole"
    finish(train(folder, TINY))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("settings", [TINY, TINY + AGEING], ids=["plain", "ageing"])
def test_a_killed_run_ends_as_if_it_had_not_been(tmp_path, settings, whole):
    killed = tmp_path / "killed"
    if settings != TINY:
        whole = tmp_path / "whole"
        finish(train(whole, settings))
    process = train(killed, settings)
    for method, number, sign in (
        ("in_situ", 4, signal.SIGKILL),
        ("in_situ", 16, signal.SIGINT),
        ("calibration_in_situ", 1, signal.SIGKILL),
        ("calibration_in_situ", 21, signal.SIGKILL),
    ):
        said = end(process, killed, method, number, sign)
        if sign == signal.SIGINT:
            assert said == f"circuitmem: interrupted; go on with: circuitmem resume {killed}\n"
            assert process.returncode == 130
        assert not (killed / "results.json").exists()
        process = start("resume", killed)
    finish(process)
    assert content(killed) == content(whole)
    assert not [path for path in killed.iterdir() if path.suffix == ".part" or path.name.startswith("checkpoint")]
    assert json.loads((whole / "results.json").read_text())["pulses"]["in_situ"] > 0


@pytest.mark.slow
def test_a_damaged_checkpoint_is_named_and_an_older_one_used(tmp_path, whole):
    killed = tmp_path / "killed"
    end(train(killed, TINY), killed, "in_situ", 5, signal.SIGKILL)
    newest = max(killed.glob("checkpoint_in_situ_*.npz"))
    newest.write_bytes(newest.read_bytes()[:-1000])
    said = finish(start("resume", killed))
    assert said.startswith(f"circuitmem: {newest}: is not a readable npz file")
    assert said.endswith("; an earlier state of in_situ is used\n")
    assert said.count("\n") == 1
    assert content(killed) == content(whole)
