"""evaluate(): a user's network and data on a chip; all methods on one defect map."""

import json
import subprocess
import sys

import numpy as np
import pytest

import circuitmem
from circuitmem import TileSpec
from circuitmem.config import ChipSpec, DefectSpec
from circuitmem.control import Chip
from circuitmem.data import load_mnist
from circuitmem.errors import CircuitmemError, ValidationError
from circuitmem.files import load_npz
from circuitmem.records import Results, read_record

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from circuitmem.torch import evaluate, summary  # noqa: E402
from circuitmem.torch.examples import examples_of  # noqa: E402

evaluate_module = sys.modules["circuitmem.torch.evaluate"]
CHIP = ChipSpec(
    tile=TileSpec(rows=32, columns=32, word_line_resistance=1.0, bit_line_resistance=1.0),
    defects=DefectSpec(device_yield=0.9),
)


def clusters(count=150, seed=0):
    """Return points of both signs in three clusters, 10 numbers each, and the number of each point's cluster."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    return rng.normal(size=(3, 10))[labels] + 0.5 * rng.normal(size=(count, 10)), labels


def trained(data, steps=60):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(10, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))
    inputs, labels = torch.tensor(data[0], dtype=torch.float32), torch.tensor(data[1])
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(inputs), labels).backward()
        optimiser.step()
    return net


def test_every_method_begins_on_the_same_chip_and_a_run_is_written(tmp_path, monkeypatch):
    for name in ("draw_run", "draw_run_page"):
        monkeypatch.setattr(evaluate_module, name, lambda *_, **__: None)  # slow; it has a test of its own
    data = clusters()
    net = trained(data)
    methods = ["raw", "calibration", "in_situ", "calibration_in_situ"]
    heard = []
    run = evaluate(
        net, data, CHIP, methods, tmp_path / "run", seed=2, epochs=2, audit=0, progress=lambda *what: heard.append(what)
    )
    assert list(run.accuracy_percent) == ["digital", *methods]
    assert {type(value) for value in run.accuracy_percent.values()} == {float}  # not of NumPy, for results.json
    assert run.accuracy_percent["digital"] > 95.0
    assert run.accuracy_percent["calibration"] > 90.0
    assert run.pulses["raw"] == run.pulses["calibration"] > 0
    assert run.pulses["in_situ"] > run.pulses["raw"]
    assert (
        run.simulated_time_s["raw"] < run.simulated_time_s["calibration"] < run.simulated_time_s["calibration_in_situ"]
    )
    assert all(energy > 0.0 for energy in run.energy_j.values())
    assert len(run.losses["in_situ"]) == 2  # epochs
    assert run.losses["in_situ"][-1] < run.losses["in_situ"][0]
    assert [entry["epoch"] for entry in run.history["in_situ"]] == [0, 1, 2]
    assert run.history["in_situ"][0] == run.history["raw"][0]  # before training they are one method
    assert run.history["in_situ"][0]["pulses"] < run.history["in_situ"][1]["pulses"] < run.pulses["in_situ"]
    assert run.calibration["calibration"]["reads"] > 0
    assert run.on_tiles == 1.0
    assert run.tiles == summary(net, chip=CHIP).tiles
    assert "0.00% of the multiplications stay digital" in str(run)
    assert str(run).count("\n") == len(methods) + 2
    record = read_record(tmp_path / "run" / "results.json", Results)
    assert {key: record.get(key, {}) for key in vars(run) if key != "calibration"} == {
        key: value for key, value in vars(run).items() if key != "calibration"
    }
    assert record["calibration"]["calibration"] == run.calibration["calibration"]
    assert np.array(record["confusion"]["raw"]).sum(axis=1).tolist() == [10, 10, 10]
    provenance = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert provenance["data"]["sha256"] == json.loads((tmp_path / "run" / "data.json").read_text())["sha256"]
    assert provenance["torch"] == torch.__version__
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"config.toml", "weights.npz", "method_raw.json", "state_raw.npz"} <= names
    weights = load_npz(tmp_path / "run" / "weights.npz")
    np.testing.assert_array_equal(weights["0.weight"], net[0].weight.detach().numpy())
    assert {("in_situ", 5, 7), ("in_situ", 7, 7), ("raw", 1, 1)} <= set(heard)
    assert run.audit["skipped_reason"] == "audit.tiles is 0"
    assert net.training  # left as it was
    again = evaluate(net, data, CHIP, ["calibration_in_situ", "raw"], seed=2, epochs=2)
    for name in ("raw", "calibration_in_situ"):  # same seed, same bits, in any order
        assert again.accuracy_percent[name] == run.accuracy_percent[name]
        assert again.energy_j[name] == run.energy_j[name]
    assert again.losses["calibration_in_situ"] == run.losses["calibration_in_situ"]


def test_the_page_of_a_run_is_drawn(tmp_path):
    evaluate(nn.Linear(10, 3), clusters(30), CHIP, ["raw"], tmp_path / "run", audit=0)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"report.html", "accuracy.png", "tile.png"} <= names
    assert "true class" in (tmp_path / "run" / "report.html").read_text()


def test_data_come_in_many_forms():
    inputs, labels = clusters()
    wanted = examples_of((inputs, labels), 1).to(torch.float32)
    counts = [int((wanted.test_targets == label).sum()) for label in range(3)]
    assert counts == [10, 10, 10]  # a fifth of each class
    assert len(wanted.train_targets) == 120
    tensors = torch.tensor(inputs, dtype=torch.float32), torch.tensor(labels)
    for data in (tensors, torch.utils.data.TensorDataset(*tensors), [inputs.tolist(), labels.tolist()]):
        found = examples_of(data, 1).to(torch.float32)
        assert torch.equal(found.test_inputs, wanted.test_inputs)
        assert torch.equal(found.train_targets, wanted.train_targets)
    assert not torch.equal(examples_of((inputs, labels), 2).to(torch.float32).test_inputs, wanted.test_inputs)
    parts = examples_of((inputs[:100], labels[:100], inputs[100:], labels[100:]), 1)
    assert len(parts.test_targets) == 50
    digits = load_mnist().resized(8).first(30, 20)
    assert examples_of(digits, 1).test_inputs.shape == (20, 64)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("file.csv", r"file.csv: no such file or folder; data.source must be a file"),
        ((np.zeros((4, 10)),), "data must be a path, a Dataset"),
        ((np.full((4, 10), np.nan), [0, 1, 0, 1]), r"data inputs must be finite at index \(0, 0\), and at 40 places"),
        ((np.zeros((4, 10)), [0, 1, 0]), r"data targets must be \(4,\), one for each input \(got \(3,\)\)"),
        ((np.zeros((4, 10)), [0.5, 1, 0, 1]), "data targets must be classes, whole numbers or texts, at index 0"),
        ((np.zeros((20, 10)), [-1, 1] * 10), r"model must give \(batch, 2\), one output a class.*got \(2, 3\)"),
        ((np.zeros((20, 10)), [0] * 20), "data targets must have two classes at least"),
        ((np.zeros((0, 10)), np.zeros(0, int)), "data inputs must be .*one sample and one number"),
        ((np.zeros((12, 10)), [0] * 10 + [1] * 2), "data.split must leave class 1 a sample for training and one for"),
        (
            (np.zeros((4, 10)), [0, 1, 0, 1], np.zeros((1, 10)), [2]),
            "data test targets must have no class that training lacks .*2",
        ),
        ((np.zeros((4, 10)), [0, 1, 0, 1], np.zeros((1, 9)), [1]), r"data test inputs must be of one shape .*\(10,\)"),
        ((np.zeros((20, 10)), np.arange(20) % 5, np.zeros((5, 10)), np.arange(5)), "arrays has 5 classes .*2, 3"),
        ((np.array([["a"] * 10] * 4), [0, 1, 0, 1]), "data inputs must be real numbers"),
    ],
)
def test_data_that_cannot_be_used_are_refused_in_one_line(data, message):
    with pytest.raises(CircuitmemError, match=message) as error:
        evaluate(nn.Linear(10, 3), data, CHIP)
    assert "\n" not in str(error.value)


def test_what_cannot_go_on_tiles_is_said_before_the_network_is_tried():
    words = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(40, 3))  # torch: indices must be whole numbers
    with pytest.raises(CircuitmemError, match=r"digital must name .*: 0.weight \(Embedding\) cannot go on tiles"):
        evaluate(words, (np.zeros((20, 10)), np.arange(20) % 3), CHIP)


class Pair(nn.Module):
    """A network that returns two tensors."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(10, 3)

    def forward(self, inputs):
        return self.layer(inputs), inputs


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.LazyLinear(3), r"model must know the shapes of its layers: .* \(got 'LazyLinear'\)"),
        (Pair(), r"model must return one tensor, \(batch, outputs\) \(got 'tuple'\)"),
        (nn.Linear(10, 3).requires_grad_(False), r"model must have a parameter to train, with requires_grad"),
    ],
)
def test_networks_that_cannot_be_evaluated_are_refused_in_one_line(model, message):
    with pytest.raises(ValidationError, match=message) as error:
        evaluate(model, clusters(), CHIP, ["in_situ"])
    assert "\n" not in str(error.value)


def test_a_frozen_network_may_be_evaluated_without_training():
    assert evaluate(nn.Linear(10, 3).requires_grad_(False), clusters(), CHIP, ["raw"]).accuracy_percent["raw"] > 0.0


class Noisy(nn.Module):
    """A network that draws random numbers in every forward pass."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(10, 3)

    def forward(self, inputs):
        return self.layer(inputs + torch.randn(len(inputs), 10))


def test_what_a_network_draws_is_decided_by_the_seed_of_the_run():
    net, data, found = Noisy(), clusters(), []
    for own in (1, 2):
        torch.manual_seed(own)
        before = torch.get_rng_state()
        found.append(evaluate(net, data, CHIP, ["raw", "calibration_in_situ"], epochs=1))
        assert torch.equal(torch.get_rng_state(), before)
    assert found[0].accuracy_percent == found[1].accuracy_percent
    assert found[0].history == found[1].history
    again = evaluate(net, data, CHIP, ["raw"], seed=7)
    assert again.accuracy_percent["digital"] != found[0].accuracy_percent["digital"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ["in_sito"]}, "methods must be one of raw, .*did you mean 'in_situ'"),
        ({"methods": []}, "methods must name one or more"),
        ({"methods": ["raw", "raw"]}, "methods must name one or more, each once"),
        ({"epochs": 0}, "epochs must be >= 1"),
        ({"seed": -1}, "seed must be >= 0"),
        ({"calibration": "afine"}, "method must be one of"),
        ({"chip": Chip(CHIP, 0)}, "chip must be a specification or a file"),
        ({"out": "."}, "out must be a new or empty folder"),
        ({"resume": True}, "out must be the folder of the run to go on with"),
        ({"audit": -1}, "audit must be >= 0"),
    ],
)
def test_wrong_arguments_are_one_line(options, message):
    with pytest.raises(ValidationError, match=message) as error:
        evaluate(nn.Linear(10, 3), clusters(), **{"chip": CHIP, **options})
    assert "\n" not in str(error.value)


def test_training_that_diverges_ends_with_the_step():
    data = clusters(60)
    with pytest.raises(
        ValidationError,
        match=r"optimiser must have a lower learning rate: .* its loss is (nan|inf)",
    ):
        evaluate(
            nn.Linear(10, 3).double(), data, CHIP, ["in_situ"], epochs=50,
            optimiser=lambda parameters: torch.optim.SGD(parameters, lr=1e308),
        )  # fmt: skip


def test_the_public_face_has_them_and_needs_torch_only_then():
    assert circuitmem.evaluate is evaluate
    assert circuitmem.summary is summary
    with pytest.raises(AttributeError, match="no attribute 'evaluates'"):
        _ = circuitmem.evaluates
    code = (
        "import sys; sys.modules['torch'] = None\nimport circuitmem\n"
        "try: circuitmem.summary\nexcept ImportError as error: print(error)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout == "circuitmem.summary needs PyTorch: pip install 'circuitmem[torch]'\n"
