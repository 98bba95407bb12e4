"""Convolutional networks are trained and repaired by the same means as dense ones."""

import numpy as np
import pytest
from builders import trained

from circuitmem.config import InferenceSpec, NetworkSpec, load_run
from circuitmem.data import load_mnist
from circuitmem.network import Perceptron, patches_of
from circuitmem.training import METHODS, build_network, compare_calibrations, run_method
from circuitmem.training.gradients import TileMap
from circuitmem.training.loss import cross_entropy
from circuitmem.training.offline import significance
from circuitmem.training.run import load_digital, resume_run, start_run
from circuitmem.training.serve import serve_run

SMALL = ["network.kind=cnn", "network.convolutions=[[16,3]]", "network.layers=[64,10]", "data.side=8"]
SMALL += ["chip.tile.rows=32", "chip.tile.columns=32", "calibration.vectors=60", "retraining.epochs=1"]
SMALL += ["in_situ.batch=50", "in_situ.epochs=2"]
# A start that leaves much to gain: large weights, which fill the range, and columns that are calibrated whole.
SMALL += ["ex_situ.weight_limit=4.0", "calibration.method=split-affine", "in_situ.learning_rate=0.1"]


@pytest.fixture(scope="module")
def start():
    digits = load_mnist().resized(8).first(2000, 300)
    spec = load_run(None, SMALL)
    return digits, trained(spec, digits)


def reached(name, start, *settings):
    digits, model = start
    spec = load_run(None, [*SMALL, *settings])
    return run_method(name, spec, build_network(spec, model, digits), digits, lambda *_: None)


def random_model(spec):
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape) / np.sqrt(shape[0]) for shape in spec.shapes]
    return Perceptron(weights, [rng.uniform(0.2, 1.0, n) for _, n in spec.shapes], patches_of(spec))


def test_gradients_equal_finite_differences():
    model = random_model(NetworkSpec(kind="cnn", layers=(100, 5, 3), convolutions=((2, 3), (3, 3))))
    rng = np.random.default_rng(1)
    inputs, labels = rng.random((4, 100)), rng.integers(0, 3, 4)
    activities = model.activities(inputs)
    weights, biases = model.gradients(activities, cross_entropy(activities[-1], labels)[1])
    for parameter, gradient in zip([*model.weights, *model.biases], [*weights, *biases], strict=True):
        assert np.abs(gradient).max() > 1e-4
        for index in np.ndindex(parameter.shape):
            kept, losses = parameter[index], []
            for sign in (1, -1):
                parameter[index] = kept + sign * 1e-6
                losses.append(cross_entropy(model.activities(inputs)[-1], labels)[0])
            parameter[index] = kept
            assert gradient[index] == pytest.approx((losses[0] - losses[1]) / 2e-6, abs=1e-8)


def test_significance_is_the_mean_square_of_the_gradients_of_single_digits():
    model = random_model(NetworkSpec(kind="cnn", layers=(36, 4, 3), convolutions=((2, 3),)))
    rng = np.random.default_rng(2)
    inputs, labels = rng.random((6, 36)), rng.integers(0, 3, 6)
    wanted = [np.zeros_like(weights) for weights in model.weights]
    for k in range(6):
        activities = model.activities(inputs[k : k + 1])
        gradients, _ = model.gradients(activities, cross_entropy(activities[-1], labels[k : k + 1])[1])
        for total, gradient in zip(wanted, gradients, strict=True):
            total += gradient**2 / 6
    for one, other in zip(significance(model, inputs, labels), wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-15)


def test_the_exact_gradient_of_a_sound_chip_is_that_of_its_model(start):
    digits, model = start
    exact = [f"chip.tile.{line}_line_resistance=0.0" for line in ("word", "bit")]
    exact += ["chip.defects.device_yield=1.0", "chip.device.set_noise=0.0", "chip.device.slope_spread=0.0"]
    exact += ["chip.converters.dac.bits=12", "chip.converters.dac.resistor_mismatch=0.0"]
    exact += [f"chip.converters.dac.{error}_error=0.0" for error in ("gain", "offset")]
    network = build_network(load_run(None, [*SMALL, *exact]), model, digits)
    network.chip.run(network.program(0.0))
    activities = model.activities(digits.train_inputs[:8])
    for layer, each in zip(network.layers, activities, strict=False):
        layer.input_scale = max(layer.input_scale, float(each.max()))
    error = cross_entropy(activities[-1], digits.train_targets[:8])[1]
    adjoint = network.back(activities, error, [TileMap(layer) for layer in network.layers])
    ideal = model.gradients(activities, error)
    for one, other in zip([*adjoint[0], *adjoint[1]], [*ideal[0], *ideal[1]], strict=True):
        np.testing.assert_allclose(one, other, atol=5e-3 * np.abs(other).max())


def test_training_and_calibrating_help(start):
    raw = reached("raw", start).accuracy_percent
    alone, both = reached("in_situ", start), reached("calibration_in_situ", start)
    assert alone.history[0]["accuracy_percent"] == raw
    assert both.accuracy_percent > raw + 40.0
    assert both.accuracy_percent > both.history[0]["accuracy_percent"] + 10.0
    assert alone.accuracy_percent > raw + 20.0


@pytest.mark.parametrize("name", sorted({*METHODS} - {"raw", "in_situ", "calibration_in_situ"}))
def test_every_method_takes_a_convolutional_network(start, name):
    result = reached(name, start, "in_situ.epochs=1")
    assert np.sum(result.confusion) == 300
    if METHODS[name].train:
        assert result.accuracy_percent > result.history[0]["accuracy_percent"]


def test_weights_that_were_read_back_train_too(start):
    history = reached("calibration_in_situ", start, "in_situ.gradient=read").history
    assert history[-1]["accuracy_percent"] > history[0]["accuracy_percent"] + 10.0


def test_calibrations_are_compared_with_patches(start):
    digits, model = start
    found = compare_calibrations(load_run(None, SMALL), model, digits, ["affine"], 100)
    for layer in found["affine"]["layers"]:
        assert layer["rmse_after"] < 0.7 * layer["rmse_before"]


def test_a_run_is_read_back_goes_on_and_is_put_to_use(tmp_path):
    settings = [*SMALL, "data.train=200", "data.test=50", "ex_situ.epochs=1", "in_situ.epochs=1", "audit.tiles=0"]
    spec = load_run(None, [*settings, 'methods=["raw", "in_situ"]'])
    results = start_run(spec, tmp_path / "run")
    assert load_run(str(tmp_path / "run" / "config.toml")) == spec
    assert load_digital(spec, tmp_path / "run").positions == [36, 1]
    for file in ("results.json", "method_in_situ.json"):
        (tmp_path / "run" / file).unlink()
    assert resume_run(tmp_path / "run") == results
    used = serve_run(tmp_path / "run", "raw", InferenceSpec(rate=2e4, duration=1e-3, check_every=4e-4))
    assert used["requests"] > used["refused"]
    assert used["checks"]
    assert used["latency_s"]["p50"] > 36 * 40e-9  # each patch is read and converted, one after another
