"""Runs of networks of torch behave as any run: they resume, are audited, give warnings, and refuse other networks."""

import json
import shutil

import numpy as np
import pytest

from circuitmem.config import UseSpec, load_run
from circuitmem.errors import CircuitmemError, DataFileError, ValidationError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from circuitmem.control import Chip  # noqa: E402
from circuitmem.torch import evaluate, resume_model_run, start_model_run  # noqa: E402
from circuitmem.torch.plan import RunPlan  # noqa: E402
from circuitmem.torch.run import train_model  # noqa: E402
from circuitmem.training.serve import age_run  # noqa: E402

MODULE = """
from torch import nn

def build():
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))
"""
TINY = ["data.source=mine.npz", "network.model=network_of_a_run:build", "chip.tile.rows=8", "chip.tile.columns=8"]
TINY += ["ex_situ.epochs=5", "ex_situ.learning_rate=0.02", "in_situ.batch=30", "in_situ.epochs=2"]
TINY += ["in_situ.optimiser=adam", "in_situ.learning_rate=0.003", "audit.tiles=0", "audit.fraction=0.0"]
TINY += ["checkpoint_interval=0.0", 'methods=["raw","calibration_in_situ"]']


class Stopped(Exception):
    pass


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torch-run")
    rng = np.random.default_rng(0)
    kinds = np.arange(90) % 3
    np.savez(folder / "mine.npz", x=3.0 * rng.normal(size=(3, 5))[kinds] + rng.normal(size=(90, 5)), y=kinds)
    (folder / "network_of_a_run.py").write_text(MODULE)
    return folder


@pytest.fixture(autouse=True)
def here(home, monkeypatch):
    monkeypatch.chdir(home)
    monkeypatch.syspath_prepend(home)


@pytest.fixture(scope="module")
def whole(home):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.syspath_prepend(home)
        torch.manual_seed(5)
        start_model_run(load_run(None, TINY), home / "whole")
    return home / "whole"


def same(folder, whole):
    for path in whole.iterdir():
        if path.suffix == ".npz" or path.name in ("results.json", "method_calibration_in_situ.json", "weights.json"):
            assert (folder / path.name).read_bytes() == path.read_bytes(), path.name
    assert not list(folder.glob("checkpoint_*"))
    assert not list(folder.glob("partial_*"))


def stopping(*moments):
    """Return a progress function that stops a run at each of these moments in turn, (what, steps done)."""
    left = list(moments)

    def progress(what, done, _):
        if left and (what, done) == left[0]:
            left.pop(0)
            raise Stopped

    return progress


def test_a_run_that_is_stopped_again_and_again_ends_with_the_same_bits(whole, tmp_path):
    folder = tmp_path / "run"
    moments = [("digital", 2), ("raw", 0), ("calibration_in_situ", 0), ("calibration_in_situ", 1)]
    moments += [("calibration_in_situ", 3), ("calibration_in_situ", 4), ("audit", 0)]
    progress = stopping(*moments)
    with pytest.raises(Stopped):
        start_model_run(load_run(None, TINY), folder, progress)
    torch.manual_seed(99)  # random draws of others do not matter
    for number in range(1, len(moments)):
        torch.rand(number)
        with pytest.raises(Stopped):
            resume_model_run(folder, progress)
        if number == 5:
            partial = json.loads((folder / "partial_calibration_in_situ.json").read_text())
            assert [entry["epoch"] for entry in partial["history"]] == [0, 1]
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # bits do not depend on the number of threads
    resume_model_run(folder)
    torch.set_num_threads(threads)
    same(folder, whole)


def test_a_run_with_other_bits_would_be_seen(whole, tmp_path):
    start_model_run(load_run(None, [*TINY, "seed=2"]), tmp_path / "run")
    with pytest.raises(AssertionError):
        same(tmp_path / "run", whole)


def begun(folder, **settings):
    extra = [f"{key.replace('__', '.')}={value}" for key, value in settings.items()]
    with pytest.raises(Stopped):
        start_model_run(load_run(None, TINY + extra), folder, stopping(("calibration_in_situ", 1)))


def test_another_network_or_other_weights_are_refused(tmp_path, home):
    folder = tmp_path / "run"
    torch.save(nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 3)).state_dict(),
               home / "w.pt")  # fmt: skip
    begun(folder, network__weights="w.pt")
    source = home / "network_of_a_run.py"
    source.write_text(MODULE + "\n# one more thought\n")
    with pytest.raises(ValidationError, match=r"network\.model must be what the run was begun with: the source") as one:
        resume_model_run(folder)
    assert "\n" not in str(one.value)
    source.write_text(MODULE)
    state = torch.load(home / "w.pt", weights_only=True)
    torch.save({**state, "0.bias": state["0.bias"] + 1.0}, home / "w.pt")
    with pytest.raises(ValidationError, match=r"network\.weights must be .* the file of the weights had sha256"):
        resume_model_run(folder)
    (home / "w.pt").unlink()  # the run has a copy
    copied = tmp_path / "copied"
    shutil.copytree(folder, copied)
    other = dict(np.load(folder / "weights.npz"))
    other["0.weight"] = other["0.weight"] + 1.0
    other.pop("sha256")
    np.savez(copied / "weights.npz", **other)
    with pytest.raises(DataFileError, match=r"weights\.npz"):
        resume_model_run(copied)
    assert resume_model_run(folder)["accuracy_percent"]["calibration_in_situ"] > 0.0


def test_a_run_has_errors_of_products_layers_and_phases_as_any(whole):
    found = json.loads((whole / "results.json").read_text())
    errors = found["product_errors"]["calibration_in_situ"]
    assert [len(errors[when]) for when in ("before", "after")] == [2, 2]
    assert errors["after"][0]["rmse"] < errors["before"][0]["rmse"]
    assert list(found["product_errors"]["raw"]) == ["before"]
    layers = json.loads((whole / "method_raw.json").read_text())["layers"]
    assert [(each["name"], each["weights"]) for each in layers] == [("0", 40), ("4", 24)]
    assert all(each["adc"] > 0 and each["dac"] > 0 for each in layers)
    assert list(found["phases"]["calibration_in_situ"]) == ["bring-up", "test", "training"]
    assert len(found["losses"]["calibration_in_situ"]) == 2


def test_a_network_ages_at_the_end_of_its_run_as_when_it_is_used(home):
    """``use.after`` and ``infer --after`` age the same chip alike, at the same cost."""
    aged = ["chip.retention.drift_exponent=0.3", "chip.retention.drift_spread=1.0", 'methods=["raw"]']
    settings = [*TINY, *aged]
    found = start_model_run(load_run(None, [*settings, "use.after=3e8", "use.check_every=1e8"]), home / "aged")
    assert found["upkeep"]["raw"]["checks"] == 3
    fresh = start_model_run(load_run(None, settings), home / "fresh")
    assert found["accuracy_percent"]["raw"] != fresh["accuracy_percent"]["raw"]
    used = age_run(home / "fresh", "raw", UseSpec(check_every=1e8), [3e8])["ages"][0]
    assert used["accuracy_percent"] == found["accuracy_percent"]["raw"]
    assert used["upkeep"] == found["upkeep"]["raw"]
    with pytest.raises(ValidationError, match=r'use\.after must be 0 with data\.task = "values"'):
        load_run(None, [*settings, "data.task=values", "use.after=1.0"])


def test_a_run_warns_of_what_makes_its_numbers_mean_little(tmp_path):
    settings = [*TINY, "in_situ.learning_rate=3.0", 'methods=["in_situ"]', "ex_situ.epochs=1", "in_situ.epochs=3"]
    found = start_model_run(load_run(None, settings), tmp_path / "run")["warnings"]
    warned = {each["kind"]: each for each in found}
    assert warned["weights-clipped"]["setting"] == "network.weight_range"
    assert "at 1.5 times the largest starting weight" in warned["weights-clipped"]["message"]
    assert "of the weights of layer 1 of 2 (0)" in warned["weights-clipped"]["message"]


@pytest.mark.spice
def test_reads_and_pulses_are_done_again_in_ngspice(tmp_path):
    settings = [*TINY, "audit.tiles=2", "audit.reads=1", "audit.pulses=2", "in_situ.epochs=1", "in_situ.batch=72"]
    found = start_model_run(load_run(None, [*settings, "in_situ.rule=write-verify"]), tmp_path / "run")["audit"]
    assert found["reads"] >= 4  # two per method
    assert found["pulse_trains"] >= 4
    assert found["largest_relative_error"] < 1e-6
    assert 0.0 < found["fraction_bound"] < 1.0
    assert found["of_operations"] > 20


@pytest.mark.parametrize("rule", ["manhattan", "threshold", "write-verify", "mixed-precision"])
def test_every_rule_trains_networks_of_torch(tmp_path, rule):
    data = np.load("mine.npz")
    settings = [*TINY, f"in_situ.rule={rule}", 'methods=["in_situ"]', "in_situ.epochs=1"]
    found = start_model_run(load_run(None, settings), tmp_path / "run")
    plain = start_model_run(load_run(None, [*settings, "in_situ.rule=two-pulse"]), tmp_path / "plain")
    assert found["pulses"] != plain["pulses"]
    assert len(data["y"]) == 90


@pytest.mark.parametrize("rule", ["chopped-tiki-taka", "agad"])
def test_rules_with_fast_arrays_train_networks_of_torch_and_go_on_where_they_were_stopped(tmp_path, rule):
    settings = [*TINY, f"in_situ.rule={rule}", 'methods=["raw","in_situ"]', "in_situ.epochs=1"]
    spec = load_run("epiram", settings)
    wanted = start_model_run(spec, tmp_path / "run")
    assert wanted["accounts"]["in_situ"]["transfer_read"]["operations"] > 0
    assert "transfer_read" not in wanted["accounts"]["raw"]
    with pytest.raises(Stopped):
        start_model_run(spec, tmp_path / "again", progress=stopping(("in_situ", 2)))
    found = resume_model_run(tmp_path / "again")
    for key in ("accuracy_percent", "simulated_time_s", "energy_j", "pulses"):
        assert found[key] == wanted[key]


def test_the_step_size_falls_as_the_schedule_says(whole, tmp_path):
    def losses(folder):
        return json.loads((folder / "results.json").read_text())["losses"]["calibration_in_situ"]

    start_model_run(load_run(None, [*TINY, "in_situ.schedule=constant"]), tmp_path / "run")
    assert losses(tmp_path / "run") != losses(whole)


def test_only_the_layers_that_are_named_have_defects(tmp_path):
    start_model_run(load_run(None, [*TINY, "chip.defects.layers=[1]", 'methods=["raw"]']), tmp_path / "run")
    stuck = np.load(tmp_path / "run" / "state_raw.npz")["stuck"].any(axis=(1, 2))
    assert not stuck[:2].any()  # 5 x 8 weights in pairs take two tiles of 8 x 8
    assert stuck[2:].all()


def test_evaluate_goes_on_with_the_same_arguments(tmp_path, monkeypatch):
    module = __import__("sys").modules["circuitmem.torch.evaluate"]
    for name in ("draw_run", "draw_run_page"):
        monkeypatch.setattr(module, name, lambda *_, **__: None)
    data = np.load("mine.npz")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 3))
    given = {"data": (data["x"], data["y"]), "methods": ["in_situ"], "audit": 0, "batch": 20}
    wanted = evaluate(net, **given)
    folder = tmp_path / "run"
    with pytest.raises(Stopped):
        evaluate(net, **given, out=folder, progress=stopping(("in_situ", 2)))
    with pytest.raises(ValidationError, match=r"in_situ\.batch must be 20 as when the run was begun"):
        evaluate(net, **{**given, "batch": 21}, out=folder, resume=True)
    with pytest.raises(ValidationError, match=r"optimiser must be SGD .*as when the run was begun"):
        evaluate(net, **given, out=folder, resume=True, optimiser=torch.optim.Adam)
    with pytest.raises(ValidationError, match=r"model must be what the run was begun with: the weights of the network"):
        evaluate(nn.Sequential(nn.Linear(5, 3)), **given, out=folder, resume=True)
    with pytest.raises(CircuitmemError, match=r"must be given to circuitmem\.evaluate"):
        resume_model_run(folder)
    found = evaluate(net, **given, out=folder, resume=True)
    assert (found.losses, found.history, found.energy_j) == (wanted.losses, wanted.history, wanted.energy_j)
    assert evaluate(net, **given, out=folder, resume=True) == found  # a finished run is returned


@pytest.mark.parametrize("defective", [None, [1]])
def test_what_is_looked_at_and_the_first_method_have_one_chip(defective, monkeypatch):
    settings = [*TINY, "chip.defects.device_yield=0.9"]
    spec = load_run(None, settings if defective is None else [*settings, f"chip.defects.layers={defective}"])
    model, examples = train_model(spec)
    made = []
    monkeypatch.setattr("circuitmem.torch.plan.Chip", lambda *given: made.append(Chip(*given)) or made[-1])
    start = RunPlan(spec, model, examples).start()
    kept = start.make("calibration_in_situ")
    looked_at = 1 if defective is None else 2  # the sound tiles are only known once a chip was made
    assert len(made) == looked_at
    assert kept.network.chip is made[-1]
    anew = start.make("calibration_in_situ")
    assert len(made) == looked_at + 1
    assert kept.finish().as_dict() == anew.finish().as_dict()
    for one, other in zip(kept.network.chip.units, anew.network.chip.units, strict=True):
        assert np.array_equal(one.tile.conductance, other.tile.conductance)


def test_weights_that_were_trained_meanwhile_get_a_chip_that_fits_them():
    model, examples = train_model(spec := load_run(None, TINY))
    plan = RunPlan(spec, model, examples)
    before = plan.network().layers[0].mapping.largest_weight
    with torch.no_grad():
        model[0].weight *= 3.0
    found = plan.start().make("raw").network.layers[0].mapping.largest_weight
    assert found == pytest.approx(3.0 * before)
