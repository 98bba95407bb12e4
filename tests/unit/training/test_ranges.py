"""Ranges that follow a network while it is trained, and training from random weights, which needs them."""

from copy import deepcopy

import numpy as np
import pytest
from builders import trained

from circuitmem.config import RunSpec
from circuitmem.errors import ValidationError
from circuitmem.training import build_network, load_data
from circuitmem.training.bring_up import calibrate_network
from circuitmem.training.methods import Hooks, MethodRun
from circuitmem.training.ranges import follow_ranges
from circuitmem.training.run_warnings import find_warnings


def spec_of(**in_situ):
    small = {"epochs": 2, "batch": 50, "ranges_batches": 2, **in_situ}
    data, network = {"side": 8, "train": 400, "test": 100}, {"layers": [64, 16, 10]}
    return RunSpec(data=data, network=network, ex_situ={"epochs": 0}, in_situ=small)


@pytest.fixture(scope="module")
def start():
    spec = spec_of()
    data = load_data(spec.data, spec.network, 1)
    return data, trained(spec, data)


def method(spec, start, **more):
    return MethodRun("in_situ", spec, build_network(spec, start[1], start[0]), start[0], Hooks(**more))


def test_training_may_start_from_random_weights(start):
    model = start[1]
    assert model.weights[0].std() == pytest.approx(np.sqrt(2.0 / 64), rel=0.1)
    assert not any(bias.any() for bias in model.biases)
    assert list(find_warnings(spec_of(), 10.0, None, 0.1, {})) == []
    for key in ("max_epochs", "patience"):
        with pytest.raises(ValidationError, match=rf"{key} must be 0 where epochs is: .* \(got 3\)"):
            RunSpec(ex_situ={"epochs": 0, key: 3})


@pytest.mark.parametrize("calibration", ["affine", "out-of-range", "split-affine"])
def test_what_a_calibration_adds_is_estimated_anew_with_the_range(start, calibration):
    data, spec = start[0], spec_of()
    network = build_network(spec, start[1], data)
    chip, layer = network.chip, network.layers[1]
    layer.input_scale *= 0.5  # as if activities had grown since
    chip.run(network.program(0.0))
    chip.run(calibrate_network(network, spec, data, [calibration]))
    chip.run(network.forward(data.train_inputs[:100]))
    scale, vectors = layer.input_scale, np.minimum(np.maximum(layer.seen, 0.0), 0.99 * layer.input_scale)
    before = chip.run(layer.forward(vectors))
    chip.run(network.forward(data.train_inputs[:100]))
    chip.run(follow_ranges(network))
    assert layer.input_scale > 1.2 * scale
    moved = (chip.run(layer.forward(vectors)) - before).mean(axis=0)
    assert np.abs(moved).mean() < 0.02 * np.abs(before).mean()  # 0.06 to 0.13 where shifts stay


def test_ranges_are_those_of_the_last_batch(start):
    data, spec = start[0], spec_of()
    network = build_network(spec, start[1], data)
    chip = network.chip
    chip.run(network.program(0.0))
    chip.run(network.forward(data.train_inputs[:50]))
    network.layers[1].seen = network.layers[1].seen * 7.0
    seen, before = network.layers[1].seen, [unit.readout.adc.pga_gain.copy() for unit in chip.units]
    inputs, time = network.layers[0].input_scale, chip.now
    chip.run(follow_ranges(network))
    assert network.layers[0].input_scale == inputs == 1.0
    assert network.layers[1].input_scale == np.quantile(np.maximum(seen, 0.0), 0.999)
    assert any((old != unit.readout.adc.pga_gain).any() for old, unit in zip(before, chip.units, strict=True))
    assert chip.now > time
    assert "calibration_read" in chip.ledger.accounts


def test_ranges_that_follow_keep_activities_whole_and_learn_more(start):
    fixed = method(spec_of(learning_rate=0.1, epochs=4), start).finish()
    follows = method(spec_of(learning_rate=0.1, epochs=4, ranges="follow"), start).finish()
    clipped = [result.layers[1]["dac_saturated"] / result.layers[1]["dac"] for result in (fixed, follows)]
    assert clipped[0] > 3 * clipped[1]
    assert follows.history[-1]["accuracy_percent"] > fixed.history[-1]["accuracy_percent"]
    # The same reads, and those that choose the gains.
    assert follows.accounts["calibration_read"]["operations"] > fixed.accounts["calibration_read"]["operations"]


def test_a_checkpoint_has_the_ranges(start):
    saved = []
    run = method(spec_of(ranges="follow"), start, safe=lambda ended: saved.append(deepcopy(run.state())))
    result = run.finish()
    scales = [layer.input_scale for layer in run.network.layers]
    for state in saved[3::4]:
        again = method(spec_of(ranges="follow"), start)
        again.restore(state)
        assert again.finish().history == result.history
        assert [layer.input_scale for layer in again.network.layers] == scales
