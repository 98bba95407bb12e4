"""The example package: installed beside circuitmem, used by its names from train to study, and missed when gone."""

import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from circuitmem import registry
from circuitmem.cli import main
from circuitmem.config import load_run, to_toml
from circuitmem.errors import DataFileError
from circuitmem.records import read_config
from circuitmem.study.runner import plan_study
from circuitmem.study.spec import load_study
from circuitmem.training.run import start_run

PLUGIN = Path(__file__).parents[2] / "examples" / "plugin"
NAMES = {
    "devices": "stairs",
    "cells": "cubic",
    "calibrations": "median-gain",
    "rules": "largest-share",
    "optimisers": "sign-momentum",
    "datasets": "stripes",
    "engines": "no-wires",
    "methods": "halved",
    "steps": "halve",
}
RUN = """
engine = "no-wires"
checkpoint_interval = 0.0

[methods.raw]
[methods.halved]
[methods.mine]
steps = ["halve", "program", "calibrate=median-gain+offset"]

[data]
source = "stripes"
train = 60
test = 20

[network]
layers = [16, 10]

[chip.tile]
rows = 17
columns = 22
cell = { kind = "cubic", k = 0.4 }

[chip.device]
kind = "stairs"
steps = 20

[calibration]
method = "median-gain"
vectors = 20
options = { median-gain = { floor = 2e-3 } }

[in_situ]
epochs = 1
batch = 5
rule = "largest-share"
optimiser = "sign-momentum"

[ex_situ]
epochs = 1

[audit]
tiles = 0
"""
STUDY = """
title = "With names of a package"
base = "run.toml"
methods = ["raw", "halved", "mine"]
[run]
data = { train = 20, test = 20 }
in_situ = { epochs = 1, batch = 10, rule = "largest-share", optimiser = "sign-momentum" }
[axes.rule]
key = "in_situ.rule"
values = ["largest-share"]
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Install the package into a folder of its own, as pip does."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(PLUGIN, folder / "source")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    done = subprocess.run([*pip, "--target", folder / "site", folder / "source"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture
def circuitmem(monkeypatch, capsys):
    """Return the command line in this process: exit code and what it printed."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda self, file, **_: _touch(file))
    monkeypatch.setattr("matplotlib.figure.Figure.draw_without_rendering", lambda self: None)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["circuitmem", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return call


def _touch(file):
    if isinstance(file, io.TextIOBase):
        file.write("<svg></svg>")
    elif hasattr(file, "write"):
        file.write(b"<svg></svg>")
    else:
        Path(file).write_bytes(b"")


@pytest.fixture
def with_package(installed, monkeypatch):
    monkeypatch.syspath_prepend(installed)
    importlib.invalidate_caches()


def test_one_of_each_kind_in_less_than_two_hundred_lines(with_package):
    lines = (PLUGIN / "circuitmem_example.py").read_text("utf-8").splitlines()
    assert len(lines) < 200
    assert tuple(NAMES) == registry.KINDS
    for kind, name in NAMES.items():
        (entry,) = registry.entries(kind)[name]
        assert entry.package == "circuitmem-example"
        assert registry.find(kind, name) is not None
    inputs, targets = registry.find("datasets", "stripes")()
    assert (inputs.shape, set(targets)) == ((300, 16), set(range(10)))


def test_train_kill_resume_report_study_and_then_without_it(installed, circuitmem, tmp_path, monkeypatch):
    (tmp_path / "run.toml").write_text(RUN, "utf-8")
    killed, whole, study = tmp_path / "killed", tmp_path / "whole", tmp_path / "study"
    with monkeypatch.context() as package:
        package.syspath_prepend(installed)
        environment = os.environ | {"PYTHONPATH": str(installed)}
        command = [sys.executable, "-m", "circuitmem", "train", tmp_path / "run.toml", "-o", killed]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        limit = time.monotonic() + 120
        while process.poll() is None and not list(killed.glob("checkpoint_halved_*.npz")):
            assert time.monotonic() < limit
            time.sleep(0.001)
        assert process.poll() is None, process.stderr.read()
        process.kill()
        process.communicate()

        assert circuitmem("resume", killed)[0] == 0
        start_run(load_run(tmp_path / "run.toml"), whole)
        provenance = json.loads((whole / "provenance.json").read_text("utf-8"))
        assert provenance["packages"] == ["circuitmem-example 1.0"]
        found = [json.loads((each / "results.json").read_text("utf-8")) for each in (killed, whole)]
        assert found[0] == found[1]
        assert found[0]["pulses"]["halved"] > 0
        assert circuitmem("report", whole)[0] == 0
        assert "halved, then trained" in (whole / "report.html").read_text("utf-8")  # the title of its recipe

        study.mkdir()
        (study / "study.toml").write_text(STUDY, "utf-8")
        (study / "run.toml").write_text(RUN, "utf-8")
        code, out, err = circuitmem("study", "run", study, "--json")
        assert code == 0, err
        assert json.loads(out)["finished"] == 1
        assert circuitmem("study", "report", study)[0] == 0
        assert plan_study(load_study(study), None, 1)["other_code"] == 0
        package.setattr("circuitmem.study.runner.version_of", lambda _: "2.0")
        assert plan_study(load_study(study), None, 1)["other_code"] == 1  # another version of the package computed it

    for words in (("resume", killed), ("report", whole)):
        code, _, err = circuitmem(*words)
        assert (code, err.count("\n")) == (2, 1)
        assert "config.toml: needs circuitmem-example 1.0, not installed: " in err
    code, _, err = circuitmem("study", "run", study)
    assert (code, err.count("\n")) == (2, 1)
    assert "got 'halve'" in err
    for kind, name in NAMES.items():
        with pytest.raises(registry.ValidationError, match=f"circuitmem list {kind}"):
            registry.find(kind, name)


def test_the_cells_and_devices_of_the_package_do_what_they_say(with_package):
    cubic = registry.find("cells", "cubic")(kind="cubic", k=2.0)
    volts = np.linspace(-0.5, 0.5, 7)
    rise = (cubic.current(1e-4, volts + 1e-6) - cubic.current(1e-4, volts - 1e-6)) / 2e-6
    np.testing.assert_allclose(cubic.slope(1e-4, volts), rise, rtol=1e-6)
    stairs = registry.find("devices", "stairs")
    device = stairs(stairs.Spec(kind="stairs"), (20, 20), seed=1)
    assert device.counts(np.array([151e-6]), np.array([1e-6]))[1] == [15]
    assert 0.03 < (device.real / device.nominal).std() < 0.07


def test_options_are_checked_and_reach_the_class(with_package):
    set_ = ["calibration.method=median-gain"]
    run = load_run(None, [*set_, "calibration.options.median-gain.floor=0.5"])
    assert registry.find("calibrations", "median-gain")(run.calibration).options.floor == 0.5
    assert registry.find("calibrations", "median-gain")(load_run(None, set_).calibration).options.floor == 1e-3
    for setting, words in (
        (
            "calibration.options.median-gain.flor=0.5",
            "calibration.options.median-gain.flor is not a known key; did you",
        ),
        ("calibration.options.median-gain.floor=much", "calibration.options.median-gain.floor must be a valid number"),
        ("calibration.options.affine.floor=0.5", "calibration.options.affine must be of what is used: median-gain"),
        ("in_situ.options.momentum.floor=0.5", "in_situ.options.momentum must be left out: it takes none"),
        ("calibration.options=3", "calibration.options must be a valid dict"),
    ):
        with pytest.raises(registry.ValidationError, match=words):
            load_run(None, [*set_, setting])


def test_a_run_that_needs_only_data_of_the_package_says_so_too(installed, monkeypatch, tmp_path):
    with monkeypatch.context() as package:
        package.syspath_prepend(installed)
        (tmp_path / "config.toml").write_text(to_toml(load_run(None, ["data.source=stripes"])), "utf-8")
        assert read_config(tmp_path).data.source == "stripes"
    with pytest.raises(DataFileError, match=r"config.toml: needs circuitmem-example 1.0, not installed$"):
        read_config(tmp_path)
