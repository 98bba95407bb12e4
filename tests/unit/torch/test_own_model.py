"""[network] model and weights: a user's own network of torch from a configuration, and what is refused."""

import json
import pickle

import numpy as np
import pytest

from circuitmem.config import load_run
from circuitmem.errors import CircuitmemError, DataFileError, ValidationError
from circuitmem.training import load_data
from circuitmem.training.run import resume_run

torch = pytest.importorskip("torch")

from circuitmem.data import load_dataset  # noqa: E402
from circuitmem.torch import resume_model_run, start_model_run, summarize_model, summary  # noqa: E402
from circuitmem.torch.weights import build_model, load_weights  # noqa: E402

MODULE = """
import torch
from torch import nn

def build():
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 3))

def number():
    return 3

def broken():
    raise KeyError("x")

def lazy():
    return nn.Sequential(nn.LazyLinear(3))

class Pair(nn.Module):
    def forward(self, inputs):
        return inputs, inputs

def pair():
    return nn.Sequential(nn.Linear(5, 3), Pair())

def frozen():
    return nn.Linear(5, 3).requires_grad_(False)

def half():
    return nn.Linear(5, 3).half()

def wide():
    return nn.Linear(5, 2)

class Root(nn.Module):
    def forward(self, inputs):
        return (inputs - 1e6).sqrt()

def nothing():
    return nn.Sequential(nn.Linear(5, 3), Root())
"""
CONFIG = """
[data]
source = "mine.npz"
[network]
model = "own_network_of_a_test:build"
[chip.tile]
rows = 16
columns = 16
[ex_situ]
epochs = 15
learning_rate = 0.02
[in_situ]
batch = 30
epochs = 1
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    kinds = np.arange(90) % 3
    np.savez(tmp_path / "mine.npz", x=6.0 * rng.normal(size=(3, 5))[kinds] + rng.normal(size=(90, 5)) + 5.0, y=kinds)
    (tmp_path / "own_network_of_a_test.py").write_text(MODULE)
    (tmp_path / "c.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_model_without_weights_is_trained_and_then_put_on_the_chip(folder):
    spec = load_run("c.toml", ['methods=["raw","calibration_in_situ"]', "audit.tiles=0"])
    found = start_model_run(spec, "run")
    assert found["accuracy_percent"]["digital"] > 90.0
    assert found["accuracy_percent"]["calibration_in_situ"] > 80.0
    assert [entry["epoch"] for entry in found["history"]["calibration_in_situ"]] == [0, 1]
    assert found["audit"]["skipped_reason"] == "audit.tiles is 0"
    config = load_run(folder / "run" / "config.toml")
    assert config.calibration.method == ("defect-subtract", "affine")  # as used, not the default of layers
    record = json.loads((folder / "run" / "data.json").read_text())
    assert record["scaling"]["kind"] == "standard"
    # The trained weights give the same network again.
    data = load_dataset("mine.npz", scale="standard")
    model = build_model(spec)
    load_weights(model, "run/weights.npz")
    with torch.no_grad():
        answers = model.eval()(torch.tensor(data.test_inputs, dtype=torch.float32)).argmax(1).numpy()
    assert 100.0 * (answers == data.test_targets).mean() == found["accuracy_percent"]["digital"]
    assert resume_model_run("run") == found  # a finished run is returned


@pytest.mark.parametrize("name", ["w.pt", "w.npz"])
def test_weights_come_from_a_file(folder, name):
    model = build_model(load_run("c.toml"))
    with torch.no_grad():
        model[0].weight.fill_(0.25)
    state = model.state_dict()
    if name == "w.pt":
        torch.save(state, name)
    else:
        np.savez(name, **{key: value.numpy() for key, value in state.items() if "tracked" not in key})
    made = build_model(load_run("c.toml"))
    load_weights(made, name)
    assert bool((made[0].weight == 0.25).all())
    summarize_model(load_run("c.toml", [f"network.weights={name}"]))
    again = build_model(load_run("c.toml"))
    assert torch.equal(again[4].weight, model[4].weight)  # starting weights are drawn from the seed
    assert not torch.equal(build_model(load_run("c.toml", ["seed=2"]))[4].weight, model[4].weight)


class Code:
    def __reduce__(self):
        return print, ("this must never run",)


def test_weights_that_do_not_fit_are_one_line(folder, capsys):
    model = build_model(load_run("c.toml"))
    state = dict(model.state_dict())
    cases = [
        ({**state, "extra": torch.zeros(1)}, "must fit the module: unexpected extra"),
        ({k: v for k, v in state.items() if k != "0.bias"}, "must fit the module: missing 0.bias"),
        ({**state, "4.weight": torch.zeros(3, 9)}, r"4.weight is \(3, 9\), the module's \(3, 8\)"),
        ({**state, "0.bias": torch.full((8,), float("nan"))}, "must be finite: 0.bias is not at 8 places"),
    ]
    for wrong, message in cases:
        torch.save(wrong, "w.pt")
        with pytest.raises(ValidationError, match=message):
            load_weights(model, "w.pt")
    with open("w.pt", "wb") as file:
        pickle.dump({"0.weight": Code()}, file)
    with pytest.raises(DataFileError, match=r"cannot be read without running its code: save model\.state_dict"):
        load_weights(model, "w.pt")
    assert "must never run" not in capsys.readouterr().out
    torch.save([1, 2], "w.pt")
    with pytest.raises(DataFileError, match="must hold a state_dict"):
        load_weights(model, "w.pt")
    for name, message in (("nope.pt", "cannot be read: No such file"), ("nope.npz", "no such file")):
        with pytest.raises(DataFileError, match=message):
            load_weights(model, name)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["network.model=own_network_of_a_test:number"], "network.model must be .* torch.nn.Module .*got 'int'"),
        (["network.model=own_network_of_a_test:broken"], "network.model must be .* raises KeyError"),
        (["network.model=own_network_of_a_test:bild"], "network.model names what is not there.*did you mean 'build'"),
        (["network.model=own_network_of_a_test:lazy"], r"model must know the shapes .* give 0 its sizes .*LazyLinear"),
        (["network.model=own_network_of_a_test:touch"], r"names what is not there: module \S+ has no touch \(got"),
        (["network.model=own_network_of_a_test:frozen"], r"model must have a parameter to train"),
        (["network.model=own_network_of_a_test:half"], r"model must have .* float32 or float64 .*got 'torch.float16'"),
        (["network.model=own_netwrok:build"], "no module own_netwrok"),
        (["network.model=build"], "network.model must be package.module:function"),
        (["network.weights=nope.pt"], "nope.pt: cannot be read"),
        (["chip.defects.layers=[0,2]"], r"chip.defects.layers must be < 2, each"),
        (['network.digital=["9"]'], "digital must name modules of the network; there is no 9"),
        (["data.source=bundled"], r"data must be what the network takes, not of shape \(2, 784\): mat1 and mat2"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_no_folder(folder, settings, message):
    def start():
        start_model_run(load_run("c.toml", settings), "run")

    with pytest.raises(CircuitmemError, match=message) as error:
        start()
    assert "\n" not in str(error.value)
    assert not (folder / "run").exists()


def test_commands_for_networks_of_layers_say_so(folder):
    spec = load_run("c.toml", ['methods=["raw"]', "audit.tiles=0"])
    start_model_run(spec, "run")
    with pytest.raises(ValidationError, match=r"network\.model must be left out: this is for networks of layers"):
        load_data(spec.data, spec.network, 1)
    (folder / "run" / "results.json").unlink()
    with pytest.raises(ValidationError, match=r"network\.model must be left out: a run of torch goes on by"):
        resume_run("run")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wide", r"model must give \(batch, 3\), one output a class: mine.npz has 3 classes \(got \(2, 2\)\)"),
        ("pair", r"model must return one tensor, \(batch, outputs\) \(got 'tuple'\)"),
        ("lazy", r"model must know the shapes"),
    ],
)
def test_a_summary_refuses_what_a_run_refuses(folder, name, message):
    for command in (summarize_model, lambda spec: start_model_run(spec, "run")):
        with pytest.raises(ValidationError, match=message):
            command(load_run("c.toml", [f"network.model=own_network_of_a_test:{name}"]))


def test_outputs_that_are_no_numbers_before_the_first_step_are_not_blamed_on_its_size(folder):
    spec = load_run("c.toml", ["network.model=own_network_of_a_test:nothing"])
    with pytest.raises(ValidationError, match=r"model must give finite outputs with its starting weights \(got nan\)"):
        start_model_run(spec, "run")


def test_a_summary_of_the_model_of_a_configuration(folder):
    found = summarize_model(load_run("c.toml"))
    assert [(each.inputs, each.outputs, each.signed) for each in found.layers] == [(5, 8, True), (8, 3, False)]
    assert found.as_dict()["tiles"] == found.tiles == 2
    model = build_model(load_run("c.toml")).double()
    assert summary(model, np.zeros((4, 5))).tiles == 2  # inputs are taken in the type of the network
    with pytest.raises(ValidationError, match=r"must have shape .* in_features=5.*4, 6"):
        summary(model, np.zeros((4, 6)))
