"""Networks that predict values: loss, RMSE and R2, runs of layers and of torch, and what is only for classes."""

import json

import numpy as np
import pytest
from builders import options

from circuitmem.config import load_run
from circuitmem.data import load_dataset
from circuitmem.errors import CircuitmemError, DataFileError, ValidationError
from circuitmem.records import Digital, MethodRecord, Results, read_record
from circuitmem.training import calibrate_run, load_data
from circuitmem.training.objective import Values, objective_of
from circuitmem.training.run import resume_run, start_run

TINY = ["data.source=mine.csv", "data.target=strength", "data.task=values", "network.layers=[4,8,1]"]
TINY += ["chip.tile.rows=16", "chip.tile.columns=16", "ex_situ.epochs=60", "ex_situ.learning_rate=0.02"]
TINY += ["in_situ.batch=20", "in_situ.epochs=2", "in_situ.learning_rate=0.05", "audit.tiles=0", "audit.fraction=0.0"]
TINY += ['methods=["raw","calibration","in_situ","calibration_in_situ"]']


def samples(count=160):
    rng = np.random.default_rng(0)
    inputs = rng.uniform(-1.0, 1.0, (count, 4))
    return inputs, 150.0 + 70.0 * (inputs[:, 0] - 0.5 * inputs[:, 1]) + rng.normal(size=count)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    inputs, targets = samples()
    lines = (",".join(f"{value:.8g}" for value in line) for line in np.column_stack([inputs, targets]))
    (tmp_path / "mine.csv").write_text("a,b,c,d,strength\n" + "\n".join(lines) + "\n")
    (tmp_path / "values_network.py").write_text(
        "from torch import nn\n\ndef build():\n"
        "    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 1))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("in_units", [False, True])
def test_the_gradient_of_the_loss_is_that_of_finite_differences(in_units):
    rng = np.random.default_rng(1)
    objective = Values(np.array([150.0, -2.0]), np.array([70.0, 0.1]), in_units)
    targets = rng.normal(size=(5, 2)) * objective.spread + objective.mean
    outputs = rng.normal(size=(5, 2)) * (objective.spread if in_units else 1.0) + (objective.mean if in_units else 0.0)
    _, error = objective.loss(outputs, targets)
    for place in np.ndindex(5, 2):
        step = np.zeros((5, 2))
        step[place] = 1e-6 * (objective.spread[place[1]] if in_units else 1.0)
        rise = objective.loss(outputs + step, targets)[0] - objective.loss(outputs - step, targets)[0]
        assert error[place] == pytest.approx(rise / (2.0 * step[place]), rel=1e-6, abs=1e-9)


def test_scores_are_in_the_units_of_the_targets():
    data = load_dataset(samples(), task="values", seed=1)
    objective = objective_of(data)
    targets = data.test_targets
    guess = np.zeros((len(targets), 1))  # the mean of training
    found = objective.score(guess, targets)
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((targets - data.train_targets.mean()) ** 2)))
    assert found["r2"] == pytest.approx(1.0 - found["rmse"] ** 2 / targets.var())
    assert objective.loss(np.zeros((len(data.train_targets), 1)), data.train_targets)[0] == pytest.approx(1.0)
    right = objective.in_spreads(targets)
    assert objective.score(right, targets) == {"rmse": 0.0, "r2": 1.0}
    assert objective_of(data, in_units=True).score(targets[:, None], targets) == {"rmse": 0.0, "r2": 1.0}
    two = load_dataset((samples()[0], np.column_stack([samples()[1]] * 2)), task="values", seed=1)
    assert objective_of(two).outputs == 2
    assert objective.score_each(guess, targets) == {}


@pytest.mark.parametrize("in_units", [False, True])
def test_each_of_several_targets_has_a_score_in_its_own_unit(in_units):
    objective = Values(np.array([150.0, -2.0, 0.0]), np.array([70.0, 0.1, 1.0]), in_units)
    rng = np.random.default_rng(3)
    targets = rng.normal(size=(20, 3)) * objective.spread + objective.mean
    targets[:, 2] = 0.5
    off = rng.normal(size=(20, 3)) * [7.0, 0.05, 0.1]
    outputs = targets + off if in_units else objective.in_spreads(targets + off)
    found = objective.score_each(outputs, targets)
    np.testing.assert_allclose(found["rmse"], np.sqrt((off**2).mean(axis=0)))
    np.testing.assert_allclose(found["r2"][:2], 1.0 - (off**2).sum(axis=0)[:2] / (20 * targets[:, :2].var(axis=0)))
    assert found["r2"][2] is None
    assert objective.score(outputs, targets)["rmse"] == pytest.approx(np.sqrt((off**2).mean()))


def test_a_run_has_the_scores_of_each_target_by_name(tmp_path, monkeypatch, command):
    inputs, first = samples()
    table = np.column_stack([inputs, first, 1e-3 * inputs[:, 0]])
    np.savetxt(tmp_path / "two.csv", table, delimiter=",", header="a,b,c,d,mass,length", comments="", fmt="%.9g")
    words = options([*TINY, "data.source=two.csv", 'data.target=["mass","length"]', "network.layers=[4,8,2]"])
    done = command("train", "-o", "run", *words, "--set", 'methods=["raw"]', cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = read_record(tmp_path / "run" / "results.json", Results)
    for key in ("rmse_of_targets", "r2_of_targets"):
        assert {name: list(own) for name, own in found[key].items()} == {
            name: ["mass", "length"] for name in ("digital", "raw")
        }
    mass, length = (found["rmse_of_targets"]["raw"][name] for name in ("mass", "length"))
    assert found["rmse"]["raw"] == pytest.approx(np.sqrt((mass**2 + length**2) / 2))
    assert f"{mass:.4g}, {found['r2_of_targets']['raw']['mass']:.3f}" in done.stdout


def check(found, folder, network):
    assert "accuracy_percent" not in found
    assert list(found["rmse"]) == ["digital", "raw", "calibration", "in_situ", "calibration_in_situ"]
    assert found["r2"]["digital"] > 0.9
    assert found["rmse"]["digital"] < found["rmse"]["calibration"] < found["rmse"]["raw"]
    assert found["r2"]["in_situ"] > found["r2"]["raw"]
    assert found["target_mean"][0] == pytest.approx(150.0, abs=20.0)
    assert found["history"]["raw"][0].keys() >= {"rmse", "r2", "pulses"}
    assert read_record(folder / "results.json", Results) == found
    assert read_record(folder / "digital.json", Digital)["rmse"] == found["rmse"]["digital"]
    assert "confusion" not in read_record(folder / "method_raw.json", MethodRecord)
    assert network in (folder / "config.toml").read_text()


def test_a_network_of_layers_predicts_values(home, command):
    words = options(TINY)
    done = command("train", "-o", "run", *words, cwd=home)
    assert done.returncode == 0, done.stderr
    assert "RMSE, R2" in done.stdout
    found = read_record(home / "run" / "results.json", Results)
    check(found, home / "run", 'task = "values"')
    page = (home / "run" / "report.html").read_text()
    assert "test RMSE (units of the targets)" in page
    assert "true class" not in page
    for name in ("results.json", "method_calibration_in_situ.json"):
        (home / "run" / name).unlink()
    assert resume_run(home / "run") == found


def test_a_network_of_torch_predicts_values(home):
    pytest.importorskip("torch")
    from circuitmem.torch import start_model_run

    found = start_model_run(load_run(None, [*TINY, "network.model=values_network:build"]), home / "run")
    check(found, home / "run", "values_network:build")


def test_evaluate_takes_a_trained_network_in_the_units_of_the_targets():
    torch = pytest.importorskip("torch")
    from circuitmem.torch import evaluate

    data = load_dataset(samples(), task="values", seed=1)
    model = torch.nn.Linear(4, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[70.0, -35.0, 0.0, 0.0]]))
        model.bias.fill_(150.0)
    run = evaluate(model, data, methods=["calibration"], seed=1)
    assert run.rmse["digital"] == pytest.approx(1.0, abs=0.3)  # the noise of the samples
    assert run.r2["calibration"] > 0.9
    assert "RMSE, R2" in str(run)
    assert run.accuracy_percent == {}
    with pytest.raises(ValidationError, match=r"model must give \(batch, 1\), one output a value to predict"):
        evaluate(torch.nn.Linear(4, 2), data, methods=["raw"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (['methods=["best"]'], "methods must not have .*, which is for classes: data.task is values .*best"),
        (["data.held_back=10"], "data.held_back must be 0 where data.task is values"),
        (["in_situ.evaluate_every=2"], "in_situ.evaluate_every must be 0 where data.task is values"),
        (["network.layers=[4,8,2]"], "network.layers must begin with 4, .* and end with 1, its values"),
    ],
)
def test_what_is_only_for_classes_is_one_line(home, settings, message):
    with pytest.raises(CircuitmemError, match=message) as error:
        start_run(load_run(None, TINY + settings), home / "run")
    assert "\n" not in str(error.value)
    assert not (home / "run").exists()


def test_commands_that_know_only_classes_say_so():
    spec = load_run(None, TINY)
    with pytest.raises(ValidationError, match=r"data\.task must be classes: only train and summary take values"):
        calibrate_run(spec, ["affine"], 10)
    with pytest.raises(ValidationError, match=r"data\.task must be classes"):
        load_data(spec.data, spec.network, 1)
    constant = load_dataset((samples()[0], np.column_stack([samples()[1], np.ones(160)])), task="values", seed=1)
    with pytest.raises(ValidationError, match="data targets must differ in training; all of value 1 are"):
        objective_of(constant)


def test_a_record_has_a_score_of_one_kind(home):
    for content, message in (
        ({}, "accuracy_percent must be there, or rmse and r2"),
        ({"rmse": 1.0}, "r2 must be there"),
    ):
        (home / "digital.json").write_text(json.dumps({"format": 1, **content}))
        with pytest.raises(DataFileError, match=message):
            read_record(home / "digital.json", Digital)
