"""Samples that are held back: training that ends with them, tests within epochs, and the test part at the end only."""

from copy import deepcopy
from dataclasses import replace
from math import cos, pi

import numpy as np
import pytest
from builders import trained

from circuitmem.config import NetworkSpec, RetrainingSpec, RunSpec
from circuitmem.data import load_dataset
from circuitmem.errors import ValidationError
from circuitmem.training import accuracy_percent, load_data, train_ex_situ
from circuitmem.training.ex_situ import ExSituRecord
from circuitmem.training.methods import Hooks, MethodRun, build_network
from circuitmem.training.offline import retrain
from circuitmem.training.schedules import Patience, rate_factor

SMALL = {
    "network": {"layers": [64, 12, 10]},
    "data": {"side": 8, "train": 260, "test": 50, "held_back": 60},
    "ex_situ": {"epochs": 3},
    "in_situ": {"epochs": 2, "batch": 50},
    "calibration": {"vectors": 20},
}


def spec_of(**tables):
    return RunSpec(**{name: {**SMALL.get(name, {}), **tables.get(name, {})} for name in {*SMALL, *tables}})


@pytest.fixture(scope="module")
def start():
    spec = spec_of()
    data = load_data(spec.data, spec.network, 1)
    return data, trained(spec, data)


def method(spec, start, name="in_situ", data=None, **more):
    data = start[0] if data is None else data
    return MethodRun(name, spec, build_network(spec, start[1], data), data, Hooks(**more))


@pytest.mark.parametrize("last", [0.0, 0.1])
def test_schedules_fall_from_1_to_where_they_should(last):
    assert [rate_factor(name, 0.0, last) for name in ("linear", "cosine", "step", "constant")] == [1.0] * 4
    assert rate_factor("linear", 0.5, last) == pytest.approx((1.0 + last) / 2)
    assert rate_factor("cosine", 0.25, last) == pytest.approx(last + (1.0 - last) * (1.0 + cos(pi / 4)) / 2)
    assert [rate_factor(name, 1.0, last) for name in ("linear", "cosine")] == pytest.approx([last, last])
    assert [rate_factor("step", done, last) for done in (0.66, 0.67)] == [1.0, 0.1]
    assert rate_factor("constant", 0.99, last) == 1.0


def test_patience_counts_epochs_in_a_row():
    samples = np.zeros((1, 1)), np.zeros(1, dtype=int)
    patience = Patience("patience", 2, samples)
    assert [(patience.note(percent), patience.is_over) for percent in (50.0, 50.0, 60.0, 59.0, 60.0)] == [
        (True, False), (False, False), (True, False), (False, False), (False, True),
    ]  # fmt: skip
    forever = Patience("patience", 0, samples)
    assert not any(forever.note(0.0) and forever.is_over for _ in range(9))
    with pytest.raises(ValidationError, match=r"patience must be 0 unless there are validation samples .* \(got 2\)"):
        Patience("patience", 2, None)


def test_what_is_held_back_has_all_classes_alike_and_is_trained_with_no_more():
    data = load_dataset("bundled").first(1000, 100)
    held = data.holding_back(200, 3)
    inputs, targets = held.validation
    share = np.bincount(targets) - np.bincount(data.train_targets) / 5
    assert (len(targets), len(held.train_targets)) == (200, 800)
    assert np.abs(share).max() < 1.0
    before = {sample.tobytes() for sample in data.train_inputs}
    parts = [{sample.tobytes() for sample in part} for part in (inputs, held.train_inputs)]
    assert parts[0] | parts[1] == before
    assert not parts[0] & parts[1]
    again, other = data.holding_back(200, 3), data.holding_back(200, 4)
    assert np.array_equal(inputs, again.validation[0])
    assert not np.array_equal(inputs, other.validation[0])
    assert data.holding_back(0, 3) is data
    assert len(held.holding_back(50, 9).validation[1]) == 50  # the data have a part of their own
    assert np.array_equal(held.validating(200).test_targets, targets)
    for few, rule in ((data, "must leave each class a sample"), (held, "must be <= 200, the validation part")):
        with pytest.raises(ValidationError, match=f"data.held_back {rule}.* [(]got 1000[)]"):
            few.holding_back(1000, 1)


def test_tests_within_epochs_change_nothing_and_cost_nothing(start):
    still = {"chip": {"converters": {"adc": {"noise": 0.0}}}}  # noise is drawn anew at every read
    plain = method(spec_of(**still), start).finish()
    dense = method(spec_of(in_situ={"evaluate_every": 3}, **still), start).finish()
    assert plain.between == []
    # Four batches an epoch: after 3 and 6 in all; the third multiple is beyond the end.
    assert [entry["epoch"] for entry in dense.between] == [0.75, 1.5]
    assert [*map(pytest.approx, dense.history)] == plain.history
    assert [entry["pulses"] for entry in (*dense.history[:1], dense.between[0], dense.history[1])] == sorted(
        {dense.history[0]["pulses"], dense.between[0]["pulses"], dense.history[1]["pulses"]}
    )
    assert plain.history[0]["simulated_time_s"] < dense.between[0]["simulated_time_s"]
    assert dense.between[0]["simulated_time_s"] < plain.history[1]["simulated_time_s"]


def test_a_method_that_is_restored_within_an_epoch_tests_as_often(start):
    spec, saved = spec_of(in_situ={"evaluate_every": 2}), []
    whole = method(spec, start, safe=lambda ended: saved.append(deepcopy(run.state())) if not ended else None)
    run = whole
    result = run.finish()
    for state in saved:
        again = method(spec, start)
        again.restore(state)
        assert again.finish().between == result.between
        assert again.result.history == result.history


def test_test_samples_are_looked_at_at_the_end_only(start):
    data = start[0]
    other = replace(data, test_targets=(data.test_targets + 1) % 10)
    spec = spec_of(in_situ={"evaluate_every": 2, "patience": 5})
    (right, wrong) = (method(spec, start, data=each).finish() for each in (data, other))
    assert (right.history, right.between) == (wrong.history, wrong.between)
    assert right.accuracy_percent > wrong.accuracy_percent
    assert sum(map(sum, right.confusion)) == 50
    tested = method(spec_of(data={"held_back": 0}), start).finish()
    assert tested.accuracy_percent == tested.history[-1]["accuracy_percent"]


def test_training_on_the_chip_ends_when_it_brings_no_more_and_pays_for_its_looks(start):
    still = {"epochs": 6, "learning_rate": 1e-9}
    ended = method(spec_of(in_situ=still | {"patience": 2}), start).finish()
    assert len(ended.history) == 3
    went_on = method(spec_of(in_situ=still | {"epochs": 2}), start).finish()
    assert ended.history[-1]["simulated_time_s"] > went_on.history[-1]["simulated_time_s"]
    assert ended.history[-1]["energy_j"] > went_on.history[-1]["energy_j"]
    assert "validation" in ended.phases
    assert "validation" not in went_on.phases
    with pytest.raises(ValidationError, match=r"in_situ.patience must be 0 unless there are validation samples"):
        method(spec_of(in_situ={"patience": 2}), start, data=replace(start[0], validation_inputs=None))


def test_training_ex_situ_ends_with_the_weights_of_its_best_epoch(start):
    data = start[0]
    train = data.train_inputs, data.train_targets
    network, record = NetworkSpec(layers=(64, 12, 10)), ExSituRecord()
    spec = spec_of(ex_situ={"epochs": 200, "learning_rate": 0.02, "schedule": "constant", "patience": 4}).ex_situ
    seen = []
    model = train_ex_situ(spec, network, *train, 1, lambda done, _: seen.append(done), record, data.validation)
    assert 4 < record.epochs == seen[-1] < 200
    assert record.converged
    shorter = spec.model_copy(update={"epochs": record.epochs - 4, "max_epochs": record.epochs - 4, "patience": 0})
    best = train_ex_situ(shorter, network, *train, 1, lambda *_: None)
    assert all(np.array_equal(one, other) for one, other in zip(model.weights, best.weights, strict=True))
    with pytest.raises(ValidationError, match=r"ex_situ.patience must be 0 unless"):
        train_ex_situ(spec, network, *train, 1, lambda *_: None)


def test_training_off_line_ends_with_the_weights_of_its_best_epoch(start):
    data, limits = start[0], [(np.full(w.shape, -1.0), np.full(w.shape, 1.0)) for w in start[1].weights]

    def accuracies(model):
        return accuracy_percent(model.logits(data.validation[0]).argmax(axis=1), data.validation[1])

    ended, spec = start[1].copy(), RetrainingSpec(epochs=300, learning_rate=0.05, schedule="constant", patience=3)
    retrain(ended, limits, spec, data.train_inputs, data.train_targets, 1, validation=data.validation)
    found = []
    for epochs in range(1, 30):
        model = start[1].copy()
        own = spec.model_copy(update={"epochs": epochs, "patience": 0})
        retrain(model, limits, own, data.train_inputs, data.train_targets, 1)
        found.append(accuracies(model))
        if epochs > 3 and max(found[:-3]) >= max(found[-3:]):
            break
    assert len(found) < 29
    assert accuracies(ended) == max(found)
    with pytest.raises(ValidationError, match=r"retraining.patience must be 0 unless"):
        retrain(ended, limits, spec, data.train_inputs, data.train_targets, 1)
