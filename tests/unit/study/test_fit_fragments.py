"""What ``fit`` leaves is a device in every command: train, netlist, validate, studies; rows of *Measured curves*."""

import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from circuitmem.config import YakopcicSpec
from circuitmem.device import simulate
from circuitmem.netlists.text import number
from circuitmem.study.fit.made import VTEAM

DOCS = Path(__file__).parents[3] / "docs"
TINY = {
    "data": {"side": 8, "train": 60, "test": 20},
    "network": {"layers": [64, 2, 10]},
    "chip": {"tile": {"rows": 64, "columns": 20}},
    "in_situ": {"epochs": 1, "batch": 60},
    "ex_situ": {"epochs": 1},
    "calibration": {"vectors": 8},
    "audit": {"tiles": 0, "fraction": 0.0},
}
ODES = {
    "yakopcic": (
        YakopcicSpec(**YakopcicSpec.PRESETS["Oblea"] | {"a1": 1e-3, "a2": 1e-3, "b": 1.5, "positive_rate": 30.0,
                                                       "negative_rate": 20.0, "positive_threshold": 0.4,
                                                       "negative_threshold": 0.5}),
        0.2, "a1",
    ),
    "vteam": (VTEAM, 1e-5, "off_resistance"),
}  # fmt: skip
"""Device, period of the sweep [s], and the parameter that is searched."""
KINDS = ("nanosiemens", "steps", "statistical", "yakopcic", "vteam")


def flat(tables, front=""):
    """Return settings of the command line for nested tables."""
    for name, value in tables.items():
        if isinstance(value, dict):
            yield from flat(value, f"{front}{name}.")
        else:
            yield from ("--set", f"{front}{name}={value}")


def write_curve(folder, name):
    """Write a table for a fit, and return it with the words that the fit needs."""
    path = folder / f"{name}.csv"
    if name in ("pulse", "steps", "statistical"):
        shutil.copy(DOCS / ("cells.csv" if name == "statistical" else "pulses.csv"), path)
        return path, ["-m", name, *(["--fix", "drift_time=20"] if name == "statistical" else [])]
    if name == "nanosiemens":
        up = [f"{p},{(4.3 + 36 * -np.expm1(-3 * p / 97) / -np.expm1(-3)) * 1e-9:.9g},up" for p in range(98)]
        down = [f"{p},{(40.3 - 36 * p / 100) * 1e-9:.9g},down" for p in range(101)]
        path.write_text("\n".join(["pulse,conductance_s,polarity", *up, *down]))
        return path, ["-m", "pulse"]
    spec, period, searched = ODES[name]
    time = np.linspace(0.0, period, 201)
    voltage = 1.5 * np.sin(2.0 * np.pi * time / period)
    current = simulate(spec, time, voltage, tolerance=1e-9).current
    rows = [",".join(f"{x:.10g}" for x in row) for row in zip(time, voltage, current, strict=True)]
    path.write_text("\n".join(["time_s,voltage_v,current_a", *rows]))
    known = {**spec.model_dump()}
    names = set(type(spec).model_fields) - {"kind", "direction", "resistance", "length", "window_power", searched}
    return path, ["-m", name, *(word for key in names for word in ("--fix", f"{key}={known[key]}"))]


@pytest.fixture(scope="module")
def fragments(forked, tmp_path_factory):
    """One fragment of each fit, by the command line."""
    folder, found = tmp_path_factory.mktemp("fits"), {}
    for name in KINDS:
        path, words = write_curve(folder, name)
        done = forked("fit", path, *words, "--json", "-o", folder)
        assert done["code"] == 0, done["stderr"]
        found[name] = Path(json.loads(done["stdout"])["toml"])
    return found


@pytest.mark.parametrize("name", KINDS)
def test_train_takes_the_fragment(name, fragments, forked, tmp_path):
    """Row *nanosiemens.csv, pasted into a run*, which was refused and then never ended, and row *fitted fragment*."""
    done = forked("train", fragments[name], "--out", tmp_path / "run", *flat(TINY), "--set", "methods=['in_situ']")
    assert done["code"] == 0, done["stderr"]
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["pulses"]["in_situ"] > 0
    assert results["simulated_time_s"]["in_situ"] > 0.0
    device = tomllib.loads((tmp_path / "run" / "config.toml").read_text())["chip"]["device"]
    own = tomllib.loads(fragments[name].read_text())["chip"]["device"]
    assert {key: device[key] for key in own} == own  # the run has what was fitted, to the last digit


@pytest.mark.parametrize("name", KINDS)
def test_netlist_takes_the_fragment(name, fragments, forked, tmp_path):
    """Row *fitted fragment*: reads of any device, and pulses of those that have a circuit, with their own numbers."""
    own = tomllib.loads(fragments[name].read_text())["chip"]["device"]
    small = ["--set", "chip.tile.rows=3", "--set", "chip.tile.columns=4"]
    assert forked("netlist", fragments[name], "-o", tmp_path / "read.cir", *small)["code"] == 0
    if name not in ODES:
        return
    words = ["netlist", fragments[name], "-o", tmp_path / "pulse.cir", "--what", "program", *small, "--json"]
    done = forked(*words)
    assert done["code"] == 0, done["stderr"]
    record = json.loads(done["stdout"])
    assert record["device"] == name
    assert abs(record["pulse"]["amplitude"]) == own["set_voltage"]
    assert record["pulse"]["scheme"] == "v/2"
    text = (tmp_path / "pulse.cir").read_text()
    parameter, key = ("a1", "a1") if name == "yakopcic" else ("roff", "off_resistance")
    assert f" {parameter}={number(own[key])} " in text


@pytest.mark.spice
@pytest.mark.parametrize("name", ["nanosiemens", "yakopcic"])
def test_validate_takes_the_fragment(name, fragments, forked, tmp_path):
    """Row *fitted fragment*: its own tile, and its own pulses and chip if voltages move it."""
    done = forked("validate", fragments[name], "-o", tmp_path / "page", "--quick", "--json")
    assert done["code"] == 0, done["stderr"]
    stages = {stage["stage"]: stage for stage in json.loads(done["stdout"])["stages"]}
    assert list(stages) == (["own tile", "own pulses", "own chip"] if name in ODES else ["own tile"])
    assert all(stage["pass"] and stage["worst"] > 0.0 for stage in stages.values())
    if name in ODES:
        assert f"validate {fragments[name]} -o again" in stages["own chip"]["replay"]["command"]


def test_a_study_takes_the_fragment(fragments, forked, tmp_path):
    """Row *fitted fragment*: as the base of a study."""
    (tmp_path / "fits").mkdir()
    head = {"title": "Fits", "methods": ["raw"], "base": "steps.toml", "repeats": 1, "run": TINY}
    axis = {"device_yield": {"key": "chip.defects.device_yield", "values": [0.9]}}
    (tmp_path / "fits" / "study.toml").write_text(tomli_w.dumps(head | {"axes": axis}))
    shutil.copy(fragments["steps"], tmp_path / "fits" / "steps.toml")
    done = forked("study", "run", tmp_path / "fits", "--out", tmp_path / "out", "--workers", 1)
    assert done["code"] == 0, done["stderr"]
    head, *rows = [row.split(",") for row in (tmp_path / "out" / "results.csv").read_text().splitlines()]
    assert {row[head.index("method")] for row in rows} == {"digital", "raw"}
    assert {row[head.index("device_yield")] for row in rows} == {"0.9"}


def test_validate_refuses_a_configuration_that_is_none_in_one_line(forked, tmp_path):
    done = forked("validate", "nope.toml", "-o", tmp_path)
    assert done["code"] == 2
    assert done["errors"] == ["circuitmem: error: nope.toml: cannot be read: No such file or directory"]
    done = forked("validate", "-o", tmp_path, "--stage", "own pulses")
    assert done["code"] == 2
    assert "stage must be one of" in done["errors"][0]
