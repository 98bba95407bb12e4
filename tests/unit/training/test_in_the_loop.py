"""Chip in the loop: later layers are trained on what the chip makes of the layers before them."""

import numpy as np
import pytest
from builders import trained

from circuitmem.config import load_run
from circuitmem.data import load_mnist
from circuitmem.errors import ValidationError
from circuitmem.training import METHODS, build_network, run_method
from circuitmem.training.bring_up import prepare_chip
from circuitmem.training.methods import MethodRun

SMALL = ["data.side=8", "network.layers=[64, 24, 10]", "chip.tile.rows=32", "chip.tile.columns=48"]
SMALL += [
    "calibration.vectors=60",
    "ex_situ.epochs=10",
    "retraining.epochs=30",
    "retraining.learning_rate=0.01",
    "chip.defects.layers=[0]",
]
SMALL += ["calibration.method=affine"]


@pytest.fixture(scope="module")
def start():
    digits = load_mnist().resized(8).first(600, 300)
    spec = load_run(None, SMALL)
    return digits, trained(spec, digits)


def test_later_layers_make_up_for_what_the_first_one_does_on_the_chip(start):
    digits, model = start
    spec = load_run(None, SMALL)
    found = {
        name: run_method(name, spec, build_network(spec, model, digits), digits, lambda *_: None)
        for name in ("calibration", "chip_in_the_loop")
    }
    assert found["chip_in_the_loop"].accuracy_percent > found["calibration"].accuracy_percent + 5.0
    assert found["chip_in_the_loop"].energy_j > found["calibration"].energy_j  # forward passes with all samples
    assert found["chip_in_the_loop"].pulses > found["calibration"].pulses
    for name, result in found.items():
        own, products = result.calibration, 64 * 24 + 24 * 10
        assert own["products"] == products, name  # calibrated twice, counted once
        assert own["stored_words"] == found["calibration"].calibration["stored_words"]


def test_the_first_layer_stays_as_it_was_programmed(start):
    digits, model = start
    spec = load_run(None, SMALL)
    networks = {}
    for name in ("calibration", "chip_in_the_loop"):
        networks[name] = build_network(spec, model, digits)
        networks[name].chip.run(prepare_chip(networks[name], spec, digits, METHODS[name]))
    one, other = networks.values()
    assert np.array_equal(one.model.weights[0], other.model.weights[0])
    assert not np.array_equal(one.model.weights[1], other.model.weights[1])
    for before, after in zip(one.layers[0].units, other.layers[0].units, strict=True):
        assert np.array_equal(before.tile.conductance, after.tile.conductance)


def test_it_takes_convolutions_as_they_are():
    more = ["network.kind=cnn", "network.convolutions=[[4,3]]", "network.layers=[64,8,10]", "retraining.epochs=1"]
    digits = load_mnist().resized(8).first(60, 30)
    spec = load_run(None, [*SMALL, *more])
    model = trained(spec, digits)
    run = MethodRun("chip_in_the_loop", spec, build_network(spec, model, digits), digits)
    run.finish()
    assert np.array_equal(run.network.model.weights[0], model.weights[0])
    assert not np.array_equal(run.network.model.weights[2], model.weights[2])


def test_its_place_among_the_steps_is_checked():
    for steps in ('["fine-tune","program"]', '["program","fine-tune","calibrate"]'):
        with pytest.raises(ValidationError, match="must have fine-tune after program, and after calibrate"):
            load_run(None, [f"methods={{own={{steps={steps}}}}}"])
    with pytest.raises(ValidationError, match="must have fine-tune by itself"):
        load_run(None, ['methods={own={steps=["program","fine-tune=2"]}}'])
