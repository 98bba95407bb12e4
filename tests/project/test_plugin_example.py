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
from typing import ClassVar

import numpy as np
import pytest

from circuitmem import registry
from circuitmem.calibration import CalibrationRecord, calibrate_layer, calibration_of, read_conductances
from circuitmem.cli import main
from circuitmem.config import CalibrationSpec, MappingSpec, load_run, to_toml
from circuitmem.control import Chip
from circuitmem.errors import DataFileError, ValidationError
from circuitmem.network import HardwareNetwork, Perceptron, mapping_on, tile_counts
from circuitmem.records import read_config
from circuitmem.study.runner import plan_study
from circuitmem.study.spec import load_study
from circuitmem.tile import ColumnLayout, WeightMapping
from circuitmem.training.gradients import ReadMap, layer_gradient
from circuitmem.training.run import start_run

PLUGIN = Path(__file__).parents[2] / "examples" / "plugin"
NAMES = {
    "devices": "stairs",
    "cells": "cubic",
    "mappings": "twin-pairs",
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

[chip.mapping]
kind = "twin-pairs"

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


def test_one_of_each_kind_in_less_than_two_hundred_and_fifty_lines(with_package):
    lines = (PLUGIN / "circuitmem_example.py").read_text("utf-8").splitlines()
    assert len(lines) < 250
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


def test_the_mapping_of_the_package_multiplies_halves_noise_and_knows_its_gradient(with_package):
    errors = {}
    for kind in ("differential", "twin-pairs"):
        spec = load_run(None, [f"chip.mapping.kind={kind}", "chip.device.set_noise=8e-6"]).chip
        model = Perceptron([np.random.default_rng(5).normal(size=(30, 6))], [np.zeros(6)])
        network = HardwareNetwork(Chip(spec, sum(tile_counts([(30, 6)], spec)), seed=1, sound=(0,)), model, [1.0])
        layer, chip = network.layers[0], network.chip
        chip.run(network.program(0.0))
        inputs = np.random.default_rng(1).random((200, 30))
        chip.run(layer.set_range(layer.input_codes(inputs), 1))
        calibrate_layer_ = calibrate_layer(
            calibration_of(("affine",), CalibrationSpec()), layer, inputs, CalibrationRecord()
        )
        chip.run(calibrate_layer_)
        wanted, through = inputs @ model.weights[0], layer_gradient(layer, inputs, np.ones((200, 6)))[0]
        errors[kind] = np.abs(chip.run(layer.forward(inputs)) - wanted).mean()
        read = ReadMap(layer, chip.run(read_conductances(layer))).gradient(inputs.T @ np.ones((200, 6)))
        np.testing.assert_allclose(read, through, rtol=0.1)
    assert errors["twin-pairs"] < 0.85 * errors["differential"]
    mapping = registry.find("mappings", "twin-pairs")(1e-6, 1e-4, 2.0)
    stuck = np.full((3, 8), np.nan)
    stuck[1, 2] = 5e-5
    weights = np.array([[1.0, -2.0], [0.5, 0.1], [-1.0, 0.0]])
    found = np.where(np.isnan(stuck), mapping.conductances(weights, stuck), stuck)
    np.testing.assert_allclose(mapping.difference(found) / mapping.scale, weights, atol=1e-12)
    lowest, highest = mapping.limits(stuck)
    assert (lowest[0] == -2.0).all()
    assert (highest[0] == 2.0).all()
    assert lowest[1, 0] > -2.0
    assert mapping.frozen(stuck)[1].tolist() == [[False, False], [True, False], [False, False]]


class Odd(WeightMapping):
    """A class whose layout is not what its Spec says."""

    class Spec(MappingSpec):
        width: ClassVar[int] = 3

    layout = ColumnLayout(width=2)
    scale = 1.0
    conductances = limits = frozen = difference = spread = moved = None


def test_a_mapping_must_be_one_and_have_the_columns_that_it_says(with_package):
    with pytest.raises(
        ValidationError, match=r"chip.mapping.kind must be one of differential, offset, bit-slicing, .*did"
    ):
        load_run(None, ["chip.mapping.kind=twin-pair"])
    with pytest.raises(
        ValidationError, match=r"chip.mapping.kind must name a subclass of circuitmem.tile.WeightMapping"
    ):
        load_run(None, ["chip.mapping.kind=circuitmem.tile:PAIRS"])
    spec = load_run(None, [f"chip.mapping.kind={__name__}:Odd"]).chip
    with pytest.raises(ValidationError, match=r"chip.mapping.kind must name a class whose layout is that of its Spec"):
        mapping_on(spec, 1.0)


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
