"""Every command without room for its output, without a reader of it, and on narrow terminals."""

import json
import re

import numpy as np
import pytest
import typer
from builders import options

from circuitmem.cli import app
from circuitmem.config import load_run
from circuitmem.engine import BehavioralEngine, ReadCase, SavedCase, save_case
from circuitmem.study.conformance import suite_record
from circuitmem.study.conformance.suite import QUANTITIES
from circuitmem.study.random_tile import random_tile
from circuitmem.study.runner import run_study
from circuitmem.study.spec import load_study
from circuitmem.training.run import start_run

TINY = ["data.side=8", "data.train=60", "data.test=40", "network.layers=[64,6,10]", "chip.tile.rows=16"]
TINY += ["chip.tile.columns=16", "ex_situ.epochs=1", "in_situ.epochs=1", "audit.tiles=0", "audit.fraction=0.0"]
TINY += ['methods=["raw"]']
SETTINGS = options(TINY)
SMALL = ["--set", "chip.tile.rows=4", "--set", "chip.tile.columns=4"]
STUDY = """
title = "Outputs"
methods = ["raw"]
repeats = 1

[axes.device_yield]
key = "chip.defects.device_yield"
values = [1.0, 0.8]

[run]
data = { side = 8, train = 60, test = 40 }
network = { layers = [64, 6, 10] }
chip = { tile = { rows = 16, columns = 16 } }
ex_situ = { epochs = 1 }
"""

#: A way to call each command, by its name; every file is in the folder in which it is called.
COMMANDS = {
    "calibrate": ["calibrate", "-m", "offset", "--held-out", "10", *SETTINGS],
    "conformance check": ["conformance", "check", "answers.json", "--group", "large"],
    "conformance export": ["conformance", "export", "suite", "--force", "--referee", "none"],
    "data": ["data", *SETTINGS],
    "doctor": ["doctor"],
    "fit": ["fit", "pulses.csv", "-m", "pulse"],
    "infer": ["infer", "run", "--method", "raw", "--duration", "1e-5"],
    "list": ["list"],
    "netlist": ["netlist", "--force", "-o", "tile.cir", *SMALL],
    "replay": ["replay", "case.npz", "--engine", "behavioral"],
    "report": ["report", "run"],
    "resume": ["resume", "run"],
    "study figures": ["study", "figures", "study"],
    "study report": ["study", "report", "study"],
    "study run": ["study", "run", "study"],
    "summary": ["summary", *SETTINGS],
    "tile": ["tile", "--conductance", "g.csv", "-o", "array"],
    "train": ["train", "-o", "new", *SETTINGS],
    "validate": ["validate", "--quick", "--stage", "dac", "-o", "validation"],
    "verilog-a": ["verilog-a", "verilog.toml", *SMALL],
    "watch": ["watch", "run"],
}
NEEDS = {"validate": pytest.mark.spice, "verilog-a": pytest.mark.vacask}
VERILOG = """
[chip.device]
kind = "verilog-a"
file = "vteam"
state = "x"
state_range = [0.0, 1.0]
set_sign = -1
error = 1e-2
minimum_conductance = 10e-6
maximum_conductance = 150e-6
set_voltage = 1.8
reset_voltage = 0.6
set_time = 1e-9
reset_time = 1e-9
rise_time = 1e-10
"""
NUMBER = re.compile(r"[-+]?\d[\d.,]*(?:e[-+]?\d+)?")


def named(command, words=()):
    """Yield the names of all commands of an application."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from named(inner, (*words, name))
    if not hasattr(command, "commands"):
        yield " ".join(words)


def every(names):
    return [pytest.param(name, marks=NEEDS.get(name, ())) for name in names]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outputs")
    start_run(load_run(None, TINY), folder / "run")
    (folder / "study").mkdir()
    (folder / "study" / "study.toml").write_text(STUDY)
    run_study(load_study(folder / "study"))
    (folder / "verilog.toml").write_text(VERILOG)
    rng = np.random.default_rng(1)
    np.savetxt(folder / "g.csv", rng.uniform(1.0, 100.0, (4, 3)), delimiter=",", header="conductance (uS)")
    rows = [f"{n},{1e-5 + 5e-7 * n},1" for n in range(100)] + [f"{n},{6e-5 - 5e-7 * n},-1" for n in range(100)]
    (folder / "pulses.csv").write_text("\n".join(["pulse,conductance,polarity", *rows]) + "\n")
    tile, voltages = random_tile(load_run(None, SMALL[1::2]).chip, 1)
    voltages = np.atleast_2d(voltages)
    currents = BehavioralEngine().read(tile, voltages)
    save_case(folder / "case.npz", SavedCase(ReadCase(tile, voltages, currents), currents, 1e-6, {}))
    answers = {
        case["case"]: {name: case["expected"][name] for name in QUANTITIES}
        for case in suite_record((), lambda *_: None)["cases"]
        if case["group"] == "large"
    }
    content = {"format": "circuitmem-conformance-answers/1", "program": "ours", "answers": answers}
    (folder / "answers.json").write_text(json.dumps(content))
    return folder


def test_every_command_is_tried_here():
    assert set(COMMANDS) == set(named(typer.main.get_command(app)))


def fresh(name, folder, number):
    """Return the words of a command; what must be a new folder is one."""
    return [f"{word}_{number}" if word == "new" else word for word in COMMANDS[name]]


@pytest.mark.parametrize("name", every([*COMMANDS]))
def test_an_output_without_room_is_one_line(folder, name, forked):
    for number, more in enumerate(([], ["--json"])):
        done = forked(*fresh(name, folder, number), *more, folder=folder, stdout="/dev/full")
        assert (done["code"], done["errors"]) == (2, ["circuitmem: error: No space left on device"])


@pytest.mark.parametrize("words", [[], ["--version"], ["--help"], ["train", "--help"]], ids=" ".join)
def test_an_output_of_no_command_without_room_is_one_line(words, forked):
    done = forked(*words, stdout="/dev/full")
    assert (done["code"], done["errors"]) == (2, ["circuitmem: error: No space left on device"])
    done = forked(*words, stdout="closed")
    assert (done["code"], done["errors"]) == (1, [])


@pytest.mark.parametrize("name", every([*COMMANDS]))
def test_a_reader_that_has_seen_enough_is_no_error(folder, name, forked):
    done = forked(*fresh(name, folder, "closed"), folder=folder, stdout="closed")
    assert (done["code"], done["errors"]) == (1, [])


# The others print when a run took how long, or where, or end only when they are told.
@pytest.mark.parametrize("name", every(sorted({*COMMANDS} - {"study run", "watch", "train"})))
def test_no_number_is_cut_in_40_or_80_columns(folder, name, forked):
    found = {}
    for columns in (None, "40", "80"):
        environment = {"COLUMNS": columns} if columns else {}
        done = forked(*fresh(name, folder, columns), folder=folder, environment=environment)
        assert (done["code"], done["errors"]) == (0, [])
        times = r"took\s+\S+\s+s:\s+\S+\s+s\s+to\s+compute,\s+\S+\s+s\s+to\s+draw"  # others each time
        text = re.sub(times, "", done["stdout"])
        found[columns] = set(NUMBER.findall(text)), text.count("…")
    assert found[None] == found["40"] == found["80"]
