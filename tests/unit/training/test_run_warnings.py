"""Warnings of a run: each kind where it is deserved, none where it is not; training that goes on until it converges."""

import json
from pathlib import Path

import numpy as np
import pytest

from circuitmem.config import ExSituSpec, load_run
from circuitmem.data import load_mnist
from circuitmem.errors import ValidationError
from circuitmem.training.ex_situ import ExSituRecord, accuracy_percent, train_ex_situ
from circuitmem.training.methods import MethodResult
from circuitmem.training.run import start_run
from circuitmem.training.run_warnings import find_warnings

LAYER = {"adc": 10_000, "adc_saturated": 5, "dac": 10_000, "dac_saturated": 5, "least_gain": 0}
LAYER |= {"weights": 1000, "limited_before": 60, "limited_after": 300}
DONE = ExSituRecord(20, 0.05, True)


def result(accuracies=(50.0, 80.0, 85.0), losses=(0.9, 0.4), **layer):
    history = [{"epoch": epoch, "accuracy_percent": each} for epoch, each in enumerate(accuracies)]
    return MethodResult(history=history, losses=list(losses), layers=[LAYER | layer], confusion=[[2000]])


def kinds(found):
    return {each["kind"]: each["setting"] for each in found}


def test_a_run_without_troubles_has_no_warning():
    assert find_warnings(load_run(), 93.0, DONE, 0.11, {"in_situ": result()}) == []


@pytest.mark.parametrize(
    ("name", "given", "kind", "setting"),
    [
        ("in_situ", result((73.0, 20.0)), "diverged", "in_situ.learning_rate"),
        ("best", result((73.0, 20.0)), "diverged", "best.learning_rate"),
        ("in_situ", result((10.0, 10.0, 10.0), (3.0, 9.0)), "diverged", "in_situ.learning_rate"),
        ("raw", result(adc_saturated=101), "adc-saturated", "methods"),
        ("raw", result(adc_saturated=101, least_gain=2), "adc-saturated", "chip.converters.tia.feedback_resistance"),
        ("calibration", result(dac_saturated=101), "dac-saturated", "calibration.method"),
        ("calibration_in_situ", result(dac_saturated=101), "dac-saturated", "in_situ.learning_rate"),
        ("in_situ", result(limited_after=501), "weights-clipped", "ex_situ.weight_limit"),
    ],
)
def test_each_kind_names_the_setting_to_change(name, given, kind, setting):
    (found,) = find_warnings(load_run(), 93.0, DONE, 0.11, {name: given})
    assert (found["kind"], found["setting"]) == (kind, setting)
    assert setting.rpartition(".")[2] in found["message"]
    assert "\n" not in found["message"]


def test_conductances_beyond_a_table_are_told():
    spec = load_run("joshi2020", ["chip.device.maximum_conductance=30e-6"])
    (found,) = find_warnings(spec, 93.0, DONE, 0.11, {})
    assert (found["kind"], found["setting"]) == ("beyond-the-table", "chip.device.programming_error")
    assert "from 1e-07 to 3e-05 S" in found["message"]
    assert find_warnings(load_run("joshi2020"), 93.0, DONE, 0.11, {}) == []
    assert find_warnings(load_run("wan2022"), 93.0, DONE, 0.11, {}) == []


@pytest.mark.parametrize(("resistance", "setting"), [(2e4, "chip.converters.tia.feedback_resistance"), (200.0, None)])
def test_amplifiers_that_saturate_at_gain_1_are_found_in_a_run(tmp_path, resistance, setting):
    settings = ["data.side=4", "data.train=20", "data.test=10", "network.layers=[16,6,10]", "chip.tile.rows=8"]
    settings += ["chip.tile.columns=8", "ex_situ.epochs=1", "calibration.vectors=5", "audit.tiles=0", "methods=['raw']"]
    settings += ["audit.fraction=0.0", f"chip.converters.tia.feedback_resistance={resistance}"]
    found = start_run(load_run(None, settings), tmp_path / "run")["warnings"]
    assert kinds(found).get("adc-saturated") == setting


def test_a_kind_is_said_once_and_names_the_worst():
    methods = {"raw": result(dac_saturated=200), "in_situ": result(dac_saturated=4000)}
    (found,) = find_warnings(load_run(), 93.0, DONE, 0.11, methods)
    assert found["message"].startswith(
        "40.0% of the inputs of layer 1 of 1 saturate its DACs in in-situ only (4,000 conversions)"
    )
    assert "also in 1 more method" in found["message"]


@pytest.mark.parametrize(
    ("accuracy", "training", "wanted"),
    [
        (24.0, ExSituRecord(1, 2.26, False), {"near-chance": "ex_situ.max_epochs"}),
        (24.0, DONE, {"near-chance": "network.layers"}),
        (80.0, ExSituRecord(1, 0.9, False), {"not-converged": "ex_situ.max_epochs"}),
        (80.0, None, {}),
    ],
)
def test_the_digital_network(accuracy, training, wanted):
    assert kinds(find_warnings(load_run(), accuracy, training, 0.11, {})) == wanted


def test_a_dip_within_the_sampling_error_is_none():
    few = MethodResult(history=result((40.0, 20.0)).history, layers=[LAYER], confusion=[[50]])
    assert find_warnings(load_run(), 93.0, DONE, 0.11, {"in_situ": few}) == []


def test_fewer_samples_than_vectors_are_said_where_something_is_calibrated():
    few = load_run(None, ["calibration.vectors=50"])
    calibrated = {"calibration": MethodResult(product_errors={"before": [], "after": []})}
    (found,) = find_warnings(few, 93.0, DONE, 0.11, calibrated, 49)
    assert (found["kind"], found["setting"], found["value"]) == ("few-vectors", "calibration.vectors", 50)
    assert "from 49 inputs" in found["message"]
    assert find_warnings(few, 93.0, DONE, 0.11, calibrated, 50) == []
    assert find_warnings(few, 93.0, DONE, 0.11, {"raw": MethodResult()}, 49) == []


def trained(*settings):
    spec = load_run(None, ["data.train=300", "data.test=500", *settings])
    data = load_mnist().first(300, 500).resized(spec.data.side or 28)
    record = ExSituRecord()
    model = train_ex_situ(spec.ex_situ, spec.network, data.train_inputs, data.train_targets, 1, lambda *_: None, record)
    return record, accuracy_percent(model.logits(data.test_inputs).argmax(axis=1), data.test_targets)


def test_300_digits_are_trained_until_the_network_has_converged():
    small = "data.side=8", "network.layers=[64,12,10]"
    declared, before = trained(*small, "ex_situ.epochs=20")
    record, after = trained(*small)
    assert (declared.epochs, declared.converged) == (20, False)
    assert record.epochs > 20
    assert record.loss < 0.5 * declared.loss
    assert after > before + 30.0


def test_the_digits_of_the_default_network_with_300_digits_converge():
    record, _ = trained()
    assert record.converged
    assert 20 < record.epochs < 320


def test_declared_epochs_are_all_that_is_done():
    assert ExSituSpec(epochs=3).max_epochs == 3
    assert ExSituSpec().max_epochs == 320
    with pytest.raises(ValidationError, match=r"^max_epochs must be >= epochs"):
        ExSituSpec(epochs=30, max_epochs=20)


def test_a_step_that_overflows_is_refused():
    with pytest.raises(ValidationError, match=r"^ex_situ\.learning_rate must be smaller"), np.errstate(all="ignore"):
        trained(
            "data.side=8",
            "network.layers=[64,4,4,4,4,4,4,10]",  # what overflows: the product of all layers' weights
            "ex_situ.epochs=20",
            "ex_situ.learning_rate=1e60",
            "ex_situ.weight_limit=1e60",
        )


def test_warnings_are_on_stderr_in_the_results_and_on_the_page(command, tmp_path):
    settings = ["data.side=8", "data.train=100", "data.test=50", "network.layers=[64,12,10]", "chip.tile.rows=16"]
    settings += ["chip.tile.columns=16", "ex_situ.epochs=1", "in_situ.epochs=1", "audit.tiles=0", "audit.fraction=0.0"]
    words = [word for each in [*settings, 'methods=["raw"]'] for word in ("--set", each)]
    run = tmp_path / "run"
    for line in (["train", *words, "-o", run], ["report", run]):
        ended = command(*line)
        assert ended.returncode == 0, ended.stderr
        warnings = json.loads((run / "results.json").read_text())["warnings"]
        assert warnings[0].keys() == {"kind", "message", "setting", "value"}
        assert (warnings[0]["kind"], warnings[0]["value"]) == ("near-chance", 1)
        for warning in warnings:
            assert ended.stderr.count(f"circuitmem: warning: {warning['message']}\n") == 1
    assert '<h2 id="warnings">' in Path(run, "report.html").read_text()


def silent_result(pulses):
    found = result()
    found.phases = {"bring-up": {"pulses": 900}, "training": {"pulses": pulses}}
    return found


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("in_situ", "a step size of 0.07 (in_situ.learning_rate)"),
        ("calibration_in_situ", "a step size of 0.03 (in_situ.calibrated_learning_rate)"),
        ("best", "a step size of 0.02 (best.learning_rate)"),
    ],
)
def test_training_without_a_pulse_is_said(name, rate):
    settings = ["chip.programming.deadband=3e-6", "in_situ.learning_rate=0.07"]
    spec = load_run(None, [*settings, "in_situ.calibrated_learning_rate=0.03", "best.learning_rate=0.02"])
    (found,) = find_warnings(spec, 93.0, DONE, 0.11, {"raw": MethodResult(), name: silent_result(0)})
    assert (found["kind"], found["setting"], found["value"]) == ("no-pulses", "chip.programming.deadband", 3e-6)
    assert f"with a dead band of 3e-06 S and {rate}; at most biases have moved" in found["message"]
    assert find_warnings(spec, 93.0, DONE, 0.11, {name: silent_result(1)}) == []


def test_a_run_with_a_wide_dead_band_warns_that_nothing_was_programmed_in_training(tmp_path):
    settings = ["data.side=4", "data.train=20", "data.test=10", "network.layers=[16,6,10]", "chip.tile.rows=8"]
    settings += [
        "chip.tile.columns=8",
        "ex_situ.epochs=1",
        "calibration.vectors=5",
        "audit.tiles=0",
        "in_situ.epochs=1",
    ]
    settings += ["audit.fraction=0.0", "methods=['in_situ','calibration_in_situ']"]
    wide = start_run(load_run(None, [*settings, "chip.programming.deadband=1e-4"]), tmp_path / "wide")
    (said,) = [each for each in wide["warnings"] if each["kind"] == "no-pulses"]
    assert "in in-situ only, calibration + in-situ: all" in said["message"]
    assert wide["calibration_and_in_situ_against_in_situ"] is not None
    none = start_run(load_run(None, [*settings, "in_situ.epochs=0"]), tmp_path / "none")
    assert "no-pulses" not in kinds(none["warnings"])
    assert none["calibration_and_in_situ_against_in_situ"] is None
