"""A network of any size on a user's own table: through every command, refused where it cannot be."""

import json
from pathlib import Path

import numpy as np
import pytest

from circuitmem.cli import main
from circuitmem.config import DataSpec, load_run
from circuitmem.errors import ValidationError
from circuitmem.study.cost import estimate_seconds
from circuitmem.study.point import compute_point
from circuitmem.study.provenance import study_provenance
from circuitmem.study.spec import load_study
from circuitmem.training import build_network, calibrate_run, load_data, load_source, summarize, train_ex_situ
from circuitmem.training.ex_situ import ExSituRecord, initial_perceptron
from circuitmem.training.run import resume_run, start_run

CONFIG = """
methods = ["raw", "calibration_in_situ"]
[data]
source = "mine.csv"
target = "kind"
licence = "CC0"
[network]
layers = [5, 8, 3]
[chip.tile]
rows = 16
columns = 16
[ex_situ]
epochs = 40
learning_rate = 0.02
[in_situ]
epochs = 1
[audit]
tiles = 0
fraction = 0.0
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a table of three kinds of five numbers of both signs, and a configuration for it."""
    rng = np.random.default_rng(0)
    centres, kinds = 3.0 * rng.normal(size=(3, 5)), np.arange(90) % 3
    inputs = centres[kinds] + rng.normal(size=(90, 5))
    lines = [",".join([*map("{:.4f}".format, row), "abc"[kind]]) for row, kind in zip(inputs, kinds, strict=True)]
    (tmp_path / "mine.csv").write_text("\n".join(["u,v,w,x,y,kind", *lines]) + "\n")
    (tmp_path / "c.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(monkeypatch, capsys, *words):
    """Return exit code, stdout and stderr of a command."""
    monkeypatch.setattr("sys.argv", ["circuitmem", *words])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capsys.readouterr()
    return end.value.code, out, err


def test_a_table_is_trained_with_shown_and_put_to_use(folder, monkeypatch, capsys):
    results = start_run(load_run("c.toml"), "run")
    assert results["accuracy_percent"]["digital"] > 90.0
    assert np.array(results["confusion"]["raw"]).sum(axis=1).tolist() == [6, 6, 6]
    provenance = json.loads((folder / "run" / "provenance.json").read_text())
    record = json.loads((folder / "run" / "data.json").read_text())
    assert provenance["data"] == {"name": "mine.csv", "sha256": record["sha256"], "licence": "CC0", "credit": ""}
    assert record["scaling"]["kind"] == "range"
    assert record["samples"] == {"train": 63, "validation": 9, "test": 18}
    assert list(record["classes"]) == ["a", "b", "c"]
    monkeypatch.chdir("/")  # the run knows where its table is
    run = str(folder / "run")
    code, out, err = command(monkeypatch, capsys, "infer", run, "--duration", "1e-5", "--rate", "1e7", "--json")
    assert code == 0, err
    assert json.loads(out)["accuracy_percent"] is not None
    monkeypatch.chdir(folder)
    found = calibrate_run(load_run("c.toml"), ["affine"], 18)
    assert found["affine"]["accuracy_percent"] > 50.0


def test_a_study_takes_a_table(folder):
    (folder / "own").mkdir()
    (folder / "own" / "study.toml").write_text(
        'title = "own"\nbase = "../c.toml"\nmethods = ["raw"]\nrepeats = 1\n'
        '[axes.yield]\nkey = "chip.defects.device_yield"\nvalues = [0.9, 1.0]\n'
    )
    study = load_study("own")
    points = study.points()
    assert estimate_seconds(points, [])[points[0].id] > 0.0
    record = compute_point(points[0])
    assert record["status"] == "finished", record
    assert record["digital_percent"] > 90.0
    assert study_provenance(study, points, [record], {})["data"][0][0] == "mine.csv"


def test_data_that_changed_are_not_resumed(folder):
    spec = load_run("c.toml")

    def stop(what, done, total):
        if what == "calibration_in_situ":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start_run(spec, "run", stop)
    table = (folder / "mine.csv").read_text()
    (folder / "mine.csv").write_text(table.replace("a\n", "b\n", 1))
    with pytest.raises(
        ValidationError, match=r"data\.sha256 must be .*as when the run was begun: mine.csv has changed"
    ):
        resume_run("run")
    (folder / "mine.csv").write_text(table)
    resumed = resume_run("run")
    assert resumed["accuracy_percent"] == start_run(spec, "again")["accuracy_percent"]


def test_infer_takes_the_last_finished_chip_and_says_how_to_finish_a_run(folder, monkeypatch, capsys):
    start_run(load_run("c.toml", ['methods=["calibration","raw"]']), "run")
    code, out, err = command(monkeypatch, capsys, "infer", "run", "--rate", "1e7", "--duration", "1e-6", "--json")
    assert (code, json.loads(out)["method"]) == (0, "raw"), err
    (folder / "run" / "results.json").unlink()
    (folder / "run" / "chip_raw.npz").unlink()
    code, _, err = command(monkeypatch, capsys, "infer", "run", "--method", "raw")
    hint = "the run was interrupted; circuitmem resume run goes on"
    assert (code, err.strip()[-len(hint) :]) == (2, hint)
    (folder / "run" / "chip_calibration.npz").unlink()
    code, _, err = command(monkeypatch, capsys, "infer", "run")
    assert (code, f"run: has no finished chip: {hint}" in err) == (2, True)


@pytest.mark.parametrize("words", [("--rate", "1e7", "--duration", "1e-6"), ("--after", "1s")])
def test_data_that_changed_are_not_used_with_a_finished_chip(folder, monkeypatch, capsys, words):
    start_run(load_run("c.toml"), "run")
    table = folder / "mine.csv"
    table.write_text(table.read_text().translate(str.maketrans("abc", "bca")))
    code, out, err = command(monkeypatch, capsys, "infer", "run", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "data.sha256 must be " in err
    assert "mine.csv has changed" in err


def test_what_a_summary_says_is_what_a_run_books(folder):
    spec = load_run("c.toml", ["network.layers=[5,20,3]"])
    data = load_data(spec.data, spec.network, spec.seed)
    found = summarize(spec, data)
    assert [(each.inputs, each.outputs, each.tiles) for each in found.layers] == [(5, 20, 3), (20, 3, 2)]
    network = build_network(spec, initial_perceptron(spec.network, spec.seed), data)
    for layer, weights in zip(network.layers, network.model.weights, strict=True):
        layer.set_cells(weights)
    network.chip.run(network.outputs(data.train_inputs[:8]))
    assert network.chip.now == pytest.approx(8 * found.time_s, rel=1e-9)
    assert network.chip.ledger.energy == pytest.approx(8 * found.energy_j, rel=0.1)  # of what layer 1 truly gives
    assert network.chip.ledger.accounts["mac_read"].operations == 8 * found.reads


def test_summary_and_data_print_tables(folder, monkeypatch, capsys):
    code, out, _ = command(monkeypatch, capsys, "summary", "c.toml")
    assert code == 0
    assert out.splitlines()[0].split() == [
        "layer", "kind", "matrix", "tiles", "columns", "cells", "used", "vectors", "sign", "reads", "time", "energy",
    ]  # fmt: skip
    code, out, _ = command(monkeypatch, capsys, "summary", "c.toml", "--json")
    found = json.loads(out)
    assert (code, found["tiles"], len(found["layers"])) == (0, 2, 2)
    code, out, _ = command(monkeypatch, capsys, "data", "c.toml")
    assert code == 0
    assert "mine.csv: 63 train, 9 validation, 18 test samples" in out
    code, out, _ = command(monkeypatch, capsys, "data", "c.toml", "--json")
    assert json.loads(out)["features"] == ["u", "v", "w", "x", "y"]
    code, out, err = command(monkeypatch, capsys, "data", "c.toml", "--set", "data.target=kynd", "--json")
    assert (code, err.count("\n")) == (2, 1)
    assert "did you mean 'kind'" in json.loads(out)["error"]["message"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["network.layers=[784,100,10]"], r"network.layers must begin with 5, the inputs of mine.csv, and end with 3"),
        (["network.layers=[5,8,4]"], "network.layers must begin with 5"),
        (["data.scale=standard"], "data.scale must be range or none"),
        (["data.scale=none"], "data.scale must be range: a network of layers reads inputs from 0 up"),
        (
            ["data.target=u", 'data.ignore=["kind"]', "data.task=values"],
            "data.task must be classes: only train and summary",
        ),
        (["data.side=4"], r"data.side must be left out: samples of shape \(5,\) are no square images"),
        (["data.validation=10"], "data.validation must be <= 9, the validation part"),
        (["data.train=64"], "data.train must be <= 63"),
        (["data.split=[0.9,0.1,0.1]"], "data.split must be three fractions"),
        (["data.sorce=x"], "data.sorce is not a known key; did you mean 'source'"),
    ],
)
def test_what_cannot_be_is_one_line(folder, settings, message):
    def load():
        spec = load_run("c.toml", settings)
        load_data(spec.data, spec.network, spec.seed)

    with pytest.raises(ValidationError, match=message) as error:
        load()
    assert "\n" not in str(error.value)


def test_inputs_that_are_not_scaled_have_the_range_that_training_shows(folder):
    spec = load_run("c.toml", ["data.scale=none"])
    table = (folder / "mine.csv").read_text()
    (folder / "mine.csv").write_text(table.replace("-", ""))  # magnitudes
    data = load_data(spec.data, spec.network, spec.seed)
    network = build_network(spec, initial_perceptron(spec.network, 1), data)
    assert network.layers[0].input_scale == pytest.approx(np.quantile(data.train_inputs, 0.999))
    beyond = data.test_inputs[:3] * 100.0 - 1.0
    network.chip.run(network.forward(beyond))
    assert network.layers[0].saturated == int(((beyond > network.layers[0].input_scale) | (beyond < 0.0)).sum())


def test_digits_are_what_they_were(folder):
    assert DataSpec(side=28) == DataSpec()
    assert load_source(DataSpec(side=8, train=20, test=10), 1).shape == (64,)
    with pytest.raises(ValidationError, match="side must be <= 28"):
        DataSpec(side=29)
    with pytest.raises(ValidationError, match="must end with 10, one output a digit"):
        load_run(None, ["network.layers=[784,10,3]"])


def test_few_samples_are_trained_with_until_their_loss_is_small_or_there_were_many_steps():
    table = Path(__file__).parents[3] / "docs" / "sensors.csv"  # the noise of its losses looks like convergence
    spec = load_run(None, [f"data.source={table}", "data.target=state", "network.layers=[6,24,3]"])
    data = load_data(spec.data, spec.network, spec.seed)
    record = ExSituRecord()
    model = train_ex_situ(spec.ex_situ, spec.network, data.train_inputs, data.train_targets, 1, lambda *_: None, record)
    assert record.epochs == 320
    assert (model.logits(data.test_inputs).argmax(axis=1) == data.test_targets).mean() > 0.9
