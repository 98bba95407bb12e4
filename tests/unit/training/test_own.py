"""Networks of one's own that ask for products: the protocol, a run from the command's own door, what is refused."""

import copy
import importlib
import sys
import textwrap

import numpy as np
import pytest

from circuitmem.config import InferenceSpec, load_run
from circuitmem.control import Chip
from circuitmem.data import load_mnist
from circuitmem.errors import ValidationError
from circuitmem.network import Ask, HardwareNetwork, Network, Perceptron, answer_digitally, on_chip
from circuitmem.training import MethodRun, build_network, calibrate_run, serve_run, summarize
from circuitmem.training.data import load_data
from circuitmem.training.in_situ import InSituTrainer
from circuitmem.training.loss import cross_entropy
from circuitmem.training.methods import Hooks
from circuitmem.training.own import own_network
from circuitmem.training.run import resume_run, start_run

CODE = """
import numpy as np
from circuitmem.network import Ask, Network

class Two(Network):
    def __init__(self):
        rng = np.random.default_rng(0)
        weights = [rng.normal(size=(16, 6)) / 3, rng.normal(size=(6, 6)) / 2, rng.normal(size=(6, 10))]
        super().__init__(weights, [np.zeros(10)])

    def steps(self, inputs):
        (sums,) = yield Ask([(0, inputs)])
        hidden = np.tanh(sums)
        again, scores = yield Ask([(1, hidden), (2, hidden)], operations=sums.size)
        (once_more,) = yield Ask([(1, np.tanh(again))])
        (more,) = yield Ask([(2, np.tanh(once_more))])
        return scores + more + self.biases[0]

class Trained(Two):
    def gradients(self, activities, error, ceilings=()):
        back = error @ self.weights[2].T
        hidden = activities[2][: len(error)]
        found = [activities[0].T @ (back * (1 - hidden**2)), np.zeros((6, 6)), hidden.T @ error]
        return found, [error.sum(axis=0)]

made = Two()

class Broken(Network):
    def __init__(self):
        raise KeyError("x")

    def steps(self, inputs):
        yield Ask([])

class Wrong(Two):
    asks = 3
    width = 6

    def steps(self, inputs):
        (sums,) = yield Ask([(0, inputs)])
        (scores,) = yield Ask([(self.asks, sums[:, : self.width])])
        return scores

class Narrow(Wrong):
    asks, width = 2, 5

class Lazy(Wrong):
    asks = 2

class Short(Two):
    def steps(self, inputs):
        found = yield from super().steps(inputs)
        return found[:, :7]

class Flat(Two):
    def __init__(self):
        super().__init__()
        self.weights = [np.zeros(3)]
"""
TINY = [
    "data.side=4",
    "data.train=40",
    "data.test=10",
    "chip.tile.rows=8",
    "chip.tile.columns=8",
    "chip.defects.device_yield=1.0",
    "in_situ.epochs=1",
    "in_situ.batch=10",
    "in_situ.read_batches=2",
    "calibration.method=affine",
    "calibration.vectors=20",
    "audit.tiles=0",
    "audit.fraction=0.0",
]


CHIP = load_run(None, [*TINY, "network.layers=[16,10]"]).chip


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_networks_of_a_test.py").write_text(textwrap.dedent(CODE))
    sys.path.insert(0, str(folder))
    yield "own_networks_of_a_test"
    sys.path.remove(str(folder))


def run_of(module, name, *more):
    return load_run(None, [*TINY, f"network.model='{module}:{name}'", *more])


def test_layers_ask_for_what_they_are_said_to_multiply():
    rng = np.random.default_rng(0)
    model = Perceptron([rng.normal(size=(5, 4)), rng.normal(size=(4, 3))], [rng.normal(size=4), rng.normal(size=3)])
    inputs, seen = rng.random((7, 5)), []

    def note(matrix, vectors):
        seen.append((matrix, vectors))
        return vectors

    outputs = answer_digitally(model.steps(inputs), model.weights, note)
    hidden = np.maximum(inputs @ model.weights[0] + model.biases[0], 0.0)
    np.testing.assert_array_equal(outputs, hidden @ model.weights[1] + model.biases[1])
    assert [matrix for matrix, _ in seen] == [0, 1]
    for found, wanted in zip(model.activities(inputs), [inputs, hidden, outputs], strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_products_of_one_ask_are_read_at_the_same_time_and_operations_are_booked():
    class Both(Network):
        def steps(self, inputs):
            return np.hstack((yield Ask([(0, inputs), (1, inputs)], operations=self.operations)))

    spec, times = CHIP, []
    for operations in (0, 64000):
        network = Both([np.eye(4), np.eye(4)])
        network.operations = operations
        chip = Chip(spec, 2)
        hardware = HardwareNetwork(chip, network, [1.0, 1.0])
        chip.run(hardware.program(0.0))
        begun = chip.clock
        chip.run(hardware.forward(np.full((3, 4), 0.5)))
        times.append(chip.clock - begun)
    one = Chip(spec, 1)
    alone = HardwareNetwork(one, Perceptron([np.eye(4)], [np.zeros(4)]), [1.0])
    one.run(alone.program(0.0))
    begun = one.clock
    one.run(alone.forward(np.full((3, 4), 0.5)))
    reading = 3 * one.units[0].read_time
    assert reading < times[0] < one.clock - begun + reading
    assert times[1] - times[0] == 1_000_000  # at 64 operations a nanosecond [ps]


def test_vectors_below_0_are_read_in_two_halves(module):
    spec = run_of(module, "Two", "chip.converters.adc.bits=14", "chip.converters.dac.bits=12")
    data = load_data(spec.data, spec.network, 1, values=True)
    network = build_network(spec, own_network(spec.network), data)
    chip = network.chip
    for layer, weights in zip(network.layers, network.model.weights, strict=True):
        layer.set_cells(weights)
        vectors = np.random.default_rng(0).uniform(-layer.input_scale, layer.input_scale, (9, len(weights)))
        chip.run(layer.set_range(layer.input_codes(np.abs(vectors)), 1))
        reads = chip.ledger.accounts["mac_read"].operations if "mac_read" in chip.ledger.accounts else 0
        sums, within = chip.run(network.multiply(network.layers.index(layer), vectors))
        assert chip.ledger.accounts["mac_read"].operations - reads == 2 * 9 * len(layer.units)
        np.testing.assert_allclose(within, vectors)
        assert layer.saturated == 0
        wanted = vectors @ weights
        assert np.abs(sums - wanted).max() < 0.15 * np.abs(wanted).max()


def test_an_answer_from_elsewhere_is_taken_as_it_is(module):
    model = own_network(run_of(module, "Two").network)
    chip, inputs = Chip(CHIP, 0), np.random.default_rng(0).random((4, 16))

    def product(matrix, vectors):
        yield from chip.wait_until(chip.clock + 1000)
        return vectors @ model.weights[matrix]

    np.testing.assert_array_equal(chip.run(on_chip(chip, model.steps(inputs), product)), model.logits(inputs))
    seen = model.activities(inputs)
    assert [len(each) for each in seen] == [4, 8, 8, 4]  # two asks for the second matrix and the third


def test_a_run_from_its_name_goes_on_after_an_interruption_to_the_same_bits(module, tmp_path):
    spec = run_of(module, "Trained", "methods=['calibration','in_situ']", "checkpoint_interval=0.0")
    whole = start_run(spec, tmp_path / "whole")
    assert set(whole["accuracy_percent"]) == {"digital", "calibration", "in_situ"}
    assert whole["pulses"]["in_situ"] > whole["pulses"]["calibration"] > 0

    class Stop(Exception):
        pass

    def stop(what, done, total):
        if what == "in_situ" and done == 1:
            raise Stop

    with pytest.raises(Stop):
        start_run(spec, tmp_path / "cut", stop)
    assert resume_run(tmp_path / "cut") == whole


def test_a_checkpoint_in_the_middle_of_an_epoch_leads_to_the_same_end(module):
    spec = run_of(module, "Trained", "in_situ.gradient=read")
    data = load_data(spec.data, spec.network, spec.seed, values=True)
    saved, networks = [], [build_network(spec, own_network(spec.network), data) for _ in range(2)]
    one = MethodRun("in_situ", spec, networks[0], data, Hooks(safe=lambda _: saved.append(copy.deepcopy(one.state()))))
    one.finish()
    other = MethodRun("in_situ", spec, networks[1], data)
    other.restore(saved[len(saved) // 2])
    other.finish()
    assert other.result.as_dict() == one.result.as_dict()


def test_it_is_put_to_use_and_its_calibrations_are_compared(module, tmp_path):
    spec = run_of(module, "made", "methods=['calibration']")
    start_run(spec, tmp_path / "run")
    found = serve_run(
        tmp_path / "run", "calibration", InferenceSpec(rate=1e6, duration=1e-4, check_every=1e-5, vectors=3)
    )
    assert found["requests"] > 0
    assert found["checks"]
    compared = calibrate_run(spec, ["none", "affine"], 10)
    for before, after in zip(compared["none"]["layers"], compared["affine"]["layers"], strict=True):
        assert after["rmse_after"] < before["rmse_after"]


def test_a_summary_knows_signs_and_vectors(module):
    spec = run_of(module, "made")
    found = summarize(spec, load_data(spec.data, spec.network, spec.seed, values=True))
    assert [(each.inputs, each.outputs, each.vectors, each.signed) for each in found.layers] == [
        (16, 6, 1.0, False),
        (6, 6, 2.0, True),
        (6, 10, 2.0, True),
    ]


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("Broken", (), "network.model must be a class that is called without arguments; it raises KeyError: 'x'"),
        ("Wrong", (), "network.model must ask for matrices from 0 to 2 (got 3)"),
        ("Narrow", (), "network.model must ask for matrix 2 with vectors (vectors, 6) (got (2, 5))"),
        ("Lazy", (), "network.model must ask for every matrix; it never asks for (got 1)"),
        ("Short", (), "network.model must give (2, 10) numbers, (samples, classes), for 2 samples (got (2, 7))"),
        ("Flat", (), "network.model must have weights, each (inputs, outputs) (got [(3,)])"),
        ("Two", ("methods=['in_situ']",), "network.model must have gradients(activities, error, ceilings)"),
        (
            "Trained",
            ("methods=['in_situ']", "in_situ.gradient=adjoint", "chip.tile.cell={kind='sinh',a=2.0}"),
            "in_situ.gradient must be read or ideal",
        ),
        ("Trained", ("methods=['best']",), "methods must not have remap-rows-and-columns"),
        ("Two", ("methods=['raw']", "network.digital=['a']"), "network.digital must be left out"),
        ("Two", ("methods=['raw']", "in_situ.ranges=follow"), "in_situ.ranges must be fixed"),
        ("Two", ("methods=['raw']", "chip.defects.layers=[3]"), "chip.defects.layers must be < 3"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(module, tmp_path, name, more, message):
    methods = () if any("methods" in each for each in more) else ("methods=['raw']",)
    with pytest.raises(ValidationError) as caught:
        start_run(run_of(module, name, *methods, *more), tmp_path / "run")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "results.json").exists()


EXACT = ["chip.converters.adc.bits=16", "chip.converters.dac.bits=12", "chip.converters.adc.noise=0.0"]
EXACT += ["chip.converters.adc.gain_error=0.0", "chip.converters.adc.offset_error=0.0"]
EXACT += ["chip.converters.dac.gain_error=0.0", "chip.converters.dac.offset_error=0.0"]
EXACT += ["chip.converters.dac.resistor_mismatch=0.0", "chip.converters.tia.open_loop_gain=1e9"]
EXACT += ["chip.device.slope_spread=0.0", "chip.device.set_noise=0.0"]
EXACT += [f"chip.tile.{line}_line_resistance=0.0" for line in ("word", "bit")]


def programmed(module, name, *more):
    """Return a network on a perfect chip, with its gains chosen, and digits."""
    spec = run_of(module, name, *EXACT, *more)
    digits = load_mnist().resized(4).first(40, 10)
    model = own_network(spec.network)
    network = build_network(spec, model, digits)
    network.chip.run(network.program(0.0))
    for layer, vectors in zip(network.layers, model.activities(digits.train_inputs), strict=False):
        network.chip.run(layer.set_range(layer.input_codes(np.abs(vectors).clip(0, layer.input_scale)), 1))
    return spec, network, digits


def test_errors_go_back_through_the_tiles_as_they_are(module):
    spec, network, digits = programmed(module, "Trained", "in_situ.gradient=adjoint", "in_situ.learning_rate=0.3")
    activities = network.chip.run(network.forward(digits.train_inputs))
    _, error = cross_entropy(activities[-1], digits.train_targets)
    found, biases = InSituTrainer(spec.in_situ, network)._gradients(activities, error)
    ideal = spec.in_situ.model_copy(update={"gradient": "ideal"})
    wanted, same = InSituTrainer(ideal, network)._gradients(activities, error)
    for own, exact in zip(found, wanted, strict=True):
        np.testing.assert_allclose(own, exact, atol=1e-6 * np.abs(wanted[0]).max())
    np.testing.assert_array_equal(biases, same)
    result = MethodRun("in_situ", spec, network, digits).finish()
    assert result.history[-1]["pulses"] > result.history[0]["pulses"]


def test_a_network_that_is_not_trained_answers_as_its_digital_twin_on_a_perfect_chip(module):
    _, network, digits = programmed(module, "Two")
    chip, model = network.chip, network.model
    wanted = model.logits(digits.test_inputs)
    found = chip.run(network.outputs(digits.test_inputs))
    assert np.abs(found - wanted).max() < 0.02 * np.abs(wanted).max()


def test_evaluate_takes_it_and_goes_on_after_an_interruption_to_the_same_bits(module, tmp_path):
    circuitmem = pytest.importorskip("circuitmem.torch", exc_type=ImportError)
    network = importlib.import_module(module).Trained()
    digits = load_mnist().resized(4).first(40, 10)
    eager = CHIP.programming.model_copy(update={"deadband": 0.0})  # for its small steps
    chip = CHIP.model_copy(update={"programming": eager})
    given = {"chip": chip, "methods": ["raw", "in_situ"], "calibration": "affine", "batch": 20, "audit": 0}

    def stop(what, done, total):
        if what == "in_situ" and done:
            raise KeyboardInterrupt

    wanted = circuitmem.evaluate(network, digits, **given)
    assert wanted.pulses["in_situ"] > wanted.pulses["raw"] > 0
    assert wanted.tiles == 4 + 2 + 3
    with pytest.raises(KeyboardInterrupt):
        circuitmem.evaluate(network, digits, **given, out=tmp_path / "run", progress=stop)
    found = circuitmem.evaluate(network, digits, **given, out=tmp_path / "run", resume=True)
    assert (found.accuracy_percent, found.energy_j, found.losses) == (
        wanted.accuracy_percent,
        wanted.energy_j,
        wanted.losses,
    )
    assert (tmp_path / "run" / "report.html").exists()
    network.weights[0][0, 0] += 1.0
    with pytest.raises(ValidationError, match="model must be what the run was begun with: the weights"):
        circuitmem.evaluate(network, digits, **given, out=tmp_path / "run", resume=True)
    with pytest.raises(ValidationError, match="digital must be left out: it is for networks of torch"):
        circuitmem.evaluate(network, digits, digital=["0"])
