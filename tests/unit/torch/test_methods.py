"""A network of torch can do all that a network of layers can: methods, gradients, options, use, studies."""

import json
import sys

import numpy as np
import pytest
from builders import trained

from circuitmem.cli import main
from circuitmem.config import InferenceSpec, load_run
from circuitmem.data import load_mnist
from circuitmem.study.point import compute_point
from circuitmem.study.runner import plan_study
from circuitmem.study.spec import load_study
from circuitmem.training import METHODS, MethodRun, build_network, calibrate_run, serve_run

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from circuitmem.torch import resume_model_run, start_model_run  # noqa: E402
from circuitmem.torch.examples import Examples  # noqa: E402
from circuitmem.torch.plan import RunPlan  # noqa: E402

MODULE = """
from torch import nn

def build():
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, 3))
"""
TINY = ["data.source=mine.npz", "network.model=network_of_methods:build", "chip.tile.rows=8", "chip.tile.columns=12"]
TINY += ["ex_situ.epochs=5", "ex_situ.learning_rate=0.02", "in_situ.batch=30", "in_situ.epochs=1", "audit.tiles=0"]
TINY += ["audit.fraction=0.0", "checkpoint_interval=0.0", "calibration.vectors=40", "retraining.epochs=1"]
TINY += ["hardware_aware.epochs=1", "in_situ.learning_rate=0.05"]


STUDY = """
title = "a network of torch"
methods = ["raw", "in_situ"]
repeats = 1
[run.network]
model = "network_of_methods:build"
[run.data]
source = "mine.npz"
[run.ex_situ]
epochs = 3
[run.in_situ]
epochs = 1
batch = 30
[run.chip.tile]
rows = 8
columns = 12
[axes.yield]
key = "chip.defects.device_yield"
values = [1.0, 0.9]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("methods")
    rng = np.random.default_rng(0)
    kinds = np.arange(120) % 3
    np.savez(folder / "mine.npz", x=3.0 * rng.normal(size=(3, 5))[kinds] + rng.normal(size=(120, 5)), y=kinds)
    (folder / "network_of_methods.py").write_text(MODULE)
    return folder


@pytest.fixture(autouse=True)
def here(home, monkeypatch):
    monkeypatch.chdir(home)
    monkeypatch.syspath_prepend(home)


CASES = [("read", "two-pulse", []), ("ideal", "manhattan", []), ("adjoint", "mixed-precision", [])]
CASES += [("read", "write-verify", ["in_situ.recalibrate=once", "in_situ.recalibrate_batches=2"])]


@pytest.mark.parametrize(("gradient", "rule", "more"), CASES)
def test_a_converted_mlp_is_the_built_in_one_in_training_too(gradient, rule, more):
    data = load_mnist().resized(6).first(120, 40)
    settings = ["network.layers=[36,12,10]", "data.side=6", "chip.tile.rows=32", "chip.tile.columns=32"]
    settings += ["in_situ.batch=40", "in_situ.epochs=1", f"in_situ.gradient={gradient}", f"in_situ.rule={rule}"]
    spec = load_run(None, [*settings, *more, "in_situ.optimiser=adam"])
    model = trained(spec, data)
    own = build_network(spec, model, data)
    net = nn.Sequential(nn.Linear(36, 12), nn.ReLU(), nn.Linear(12, 10)).double()
    for layer, weights, biases in zip((net[0], net[2]), model.weights, model.biases, strict=True):
        layer.weight.data, layer.bias.data = torch.tensor(weights.T.copy()), torch.tensor(biases)
    converted = RunPlan(spec, net, Examples.of(data)).network()
    for product, layer in zip(converted.products, own.layers, strict=True):
        product.set_input_scale(layer.input_scale)  # only for grey values is the range known to be that of the data
    name = "calibration_in_situ"
    first, second = (MethodRun(name, spec, each, data) for each in (own, converted))
    wanted, found = first.finish(), second.finish()
    assert first.chip.clock == second.chip.clock
    assert wanted.pulses == found.pulses > 0
    assert wanted.accounts == found.accounts
    assert wanted.phases == found.phases
    assert wanted.calibration == found.calibration
    assert wanted.saturated_codes == found.saturated_codes
    assert [entry["accuracy_percent"] for entry in wanted.history] == [e["accuracy_percent"] for e in found.history]
    # torch adds the errors of a batch for a bias in another order.
    np.testing.assert_allclose(found.losses, wanted.losses, rtol=1e-12)
    for one, other in zip(own.model.weights, converted.model.weights, strict=True):
        np.testing.assert_allclose(other, one, rtol=0.0, atol=1e-12)
    inputs = data.test_inputs
    logits = [each.chip.run(each.outputs(inputs)) for each in (own, converted)]
    np.testing.assert_allclose(logits[1], logits[0], rtol=0.0, atol=1e-12)


def test_every_method_does_on_a_network_of_torch_what_its_steps_say(tmp_path):
    known = list(METHODS)
    names = [*known, "mine"]
    steps = '["find-defects", "use-partners", "program", "calibrate=redundant-column+affine", "train"]'
    recipes = [f"methods.{name}={{}}" for name in known]
    found = start_model_run(load_run(None, [*TINY, *recipes, f"methods.mine.steps={steps}"]), tmp_path / "run")
    assert list(found["accuracy_percent"]) == ["digital", *names]
    costs = {(found["pulses"][name], found["energy_j"][name]) for name in names}
    # Two may cost the same as another: only the weights differ, or training was only digital.
    assert len(costs) >= len(names) - 2
    assert found["accuracy_percent"]["best"] > 60.0


@pytest.mark.parametrize("gradient", ["read", "adjoint"])
def test_options_of_training_are_heeded_and_a_stopped_run_ends_with_the_same_bits(tmp_path, gradient):
    settings = [*TINY, 'methods=["calibration_in_situ"]', "data.held_back=12", "in_situ.evaluate_every=1"]
    settings += ["in_situ.epochs=4", "in_situ.patience=1", "in_situ.recalibrate=every", "in_situ.recalibrate_batches=2"]
    settings += ["in_situ.ranges=follow", "in_situ.ranges_batches=2", "in_situ.schedule=cosine", "ex_situ.patience=2"]
    settings += [f"in_situ.gradient={gradient}"]
    spec = load_run(None, settings)
    found = start_model_run(spec, tmp_path / "whole")
    method = json.loads((tmp_path / "whole" / "method_calibration_in_situ.json").read_text())
    assert method["between"]
    assert len(found["losses"]["calibration_in_situ"]) <= 4
    assert "validation" in method["phases"]
    assert method["calibration"]["reads"] > 1.5 * 40 * 3  # learnt more than once

    class Stopped(Exception):
        pass

    def stop(what, done, _):
        if (what, done) == ("calibration_in_situ", 2):
            raise Stopped

    with pytest.raises(Stopped):
        start_model_run(spec, tmp_path / "stopped", stop)
    assert resume_model_run(tmp_path / "stopped") == found
    for name in ("chip_calibration_in_situ.npz", "method_calibration_in_situ.json"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_finished_chip_serves_requests_that_follow_each_other_through_its_layers(tmp_path, capsys, monkeypatch):
    start_model_run(load_run(None, [*TINY, 'methods=["calibration"]']), tmp_path / "run")
    busy, alone = (
        serve_run(tmp_path / "run", "calibration", InferenceSpec(rate=3e6, duration=1.5e-5, queue=queue))
        for queue in (8, 1)
    )
    assert busy["on_chip"]["largest"] > 4
    assert busy["throughput_per_s"] > 1.2 * alone["throughput_per_s"]
    load = InferenceSpec(rate=1e5, duration=1e-4, check_every=2e-5, refresh_every=4e-5, vectors=4, limit=1e-9)
    idle = serve_run(tmp_path / "run", "calibration", load)
    assert idle["checks"][0]["recalibrated"]
    assert idle["refreshes"]
    assert serve_run(tmp_path / "run", "calibration", load) == idle
    words = ["infer", str(tmp_path / "run"), "--method", "calibration", "--duration", "1e-5", "--json"]
    monkeypatch.setattr(sys, "argv", ["circuitmem", *words])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert json.loads(capsys.readouterr().out)["method"] == "calibration"


def test_calibrations_are_compared_on_a_network_of_torch():
    found = calibrate_run(load_run(None, TINY), None, 20)
    assert len(found) >= 10
    assert len(found["affine"]["layers"]) == 2
    assert found["defect-subtract"]["layers"][0]["rmse_after"] < found["none"]["layers"][0]["rmse_after"]


def test_a_study_has_networks_of_torch(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    study = load_study(tmp_path)
    plan = plan_study(study, tmp_path / "out")
    assert len(plan["points"]) == 2
    assert all(point["seconds"] >= 0.0 for point in plan["points"])
    records = [compute_point(point) for point in study.points()]
    assert [record["status"] for record in records] == ["finished"] * 2
    assert [len(record["histories"]["in_situ"]) for record in records] == [2, 2]
    whole, defective = (record["histories"]["raw"][0]["pulses"] for record in records)
    assert whole != defective
    assert records[0]["digital_percent"] == records[1]["digital_percent"] > 50.0
    again = compute_point(study.points()[1])  # from the network that the points share
    assert again["histories"] == records[1]["histories"]
