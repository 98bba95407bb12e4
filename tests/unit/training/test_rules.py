"""Update rules and optimisers: what each asks of the cells, that each of them learns, and what is declared of them."""

from copy import deepcopy

import numpy as np
import pytest
from builders import trained

from circuitmem.config import InSituSpec, RunSpec, load_run
from circuitmem.config.training import LEARNING_RATES
from circuitmem.data import load_mnist
from circuitmem.errors import ValidationError
from circuitmem.registry import find, names
from circuitmem.training import METHODS, InSituTrainer, build_network, run_method
from circuitmem.training.methods import training_of

SMALL = [
    "data.side=8",
    "network.layers=[64, 24, 10]",
    "chip.tile.rows=32",
    "chip.tile.columns=32",
    "in_situ.batch=50",
    "in_situ.epochs=1",
    "calibration.vectors=60",
    # A start that leaves much to gain: large weights, which fill the range, and columns that are calibrated whole.
    "ex_situ.weight_limit=4.0",
    "calibration.method=split-affine",
]

FAST = {"tiki-taka", "chopped-tiki-taka", "agad"}
"""Rules with arrays of their own: test_fast_arrays.py."""
RULES = [name for name in names("rules") if name not in FAST]


@pytest.fixture(scope="module")
def start():
    digits = load_mnist().resized(8).first(1000, 300)
    spec = load_run(None, SMALL)
    return digits, trained(spec, digits)


def test_what_is_declared_is_there_and_nothing_else():
    assert set(METHODS) == set(names("methods"))
    assert set(names("optimisers")) == set(LEARNING_RATES)


def test_the_step_size_is_the_optimisers_own_unless_it_is_declared():
    assert InSituSpec(optimiser="rmsprop").learning_rate == 0.002
    assert InSituSpec(optimiser="rmsprop", learning_rate=0.5).learning_rate == 0.5
    assert load_run(None, ["in_situ.optimiser=adam"]).in_situ.learning_rate == LEARNING_RATES["adam"]
    with pytest.raises(ValidationError, match=r"in_situ.optimiser must be one of sgd, momentum, rmsprop, adam, or pa"):
        load_run(None, ["in_situ.optimiser=adagrad"])


def test_methods_that_calibrate_have_a_step_size_of_their_own():
    own = InSituSpec()
    assert (own.learning_rate, own.calibrated_learning_rate) == (LEARNING_RATES["momentum"], 0.02)
    assert InSituSpec(optimiser="adam").calibrated_learning_rate == LEARNING_RATES["adam"]
    assert InSituSpec(learning_rate=0.07).calibrated_learning_rate == 0.07  # what is declared holds for both
    assert InSituSpec(learning_rate=0.07, calibrated_learning_rate=0.03).learning_rate == 0.07
    spec = load_run(None, ["in_situ.calibrated_learning_rate=0.03", "best.learning_rate=0.01"])
    rates = {
        name: training_of(METHODS[name], spec).learning_rate for name in ("in_situ", "calibration_in_situ", "best")
    }
    assert rates == {"in_situ": LEARNING_RATES["momentum"], "calibration_in_situ": 0.03, "best": 0.01}
    assert RunSpec(**spec.model_dump()) == spec
    with pytest.raises(ValidationError, match=r"in_situ.calibrated_learning_rate must be greater than 0"):
        load_run(None, ["in_situ.calibrated_learning_rate=0.0"])


@pytest.mark.parametrize("name", names("optimisers"))
def test_an_optimiser_goes_downhill_and_goes_on_from_its_state(name):
    spec = InSituSpec(optimiser=name)
    place, copy = np.array([3.0, -2.0]), np.array([3.0, -2.0])
    first = find("optimisers", name)(spec, [place])
    for turn in range(1000):
        if turn == 500:
            again = find("optimisers", name)(spec, [place])
            again.restore(first.state())
            first = again
        place += first.changes([place], spec.learning_rate * 4)[0]
    straight = find("optimisers", name)(spec, [copy])
    for _ in range(1000):
        copy += straight.changes([copy], spec.learning_rate * 4)[0]
    assert np.array_equal(place, copy)
    assert np.abs(place).max() < 0.1 * 3.0


def test_rules_ask_for_what_they_say(start):
    digits, model = start
    spec = load_run(None, SMALL)
    network = build_network(spec, model, digits)
    layer, change = network.layers[0], np.array([[1e-3, -5e-3], [0.0, 1e-2]])
    asked = {name: find("rules", name)(spec.in_situ, network).asked(layer, change) for name in RULES}
    assert np.array_equal(asked["two-pulse"], change)
    assert np.array_equal(asked["threshold"], [[1e-3, -5e-3], [0.0, 1e-2]])
    step = spec.in_situ.manhattan_step * layer.mapping.largest_weight
    assert np.array_equal(asked["manhattan"], [[step, -step], [0.0, step]])
    step = spec.in_situ.mixed_precision_step * layer.mapping.largest_weight
    assert np.array_equal(asked["mixed-precision"], np.trunc(change / step) * step)
    strict = InSituSpec(rule="threshold", threshold=0.4)
    assert np.array_equal(find("rules", "threshold")(strict, network).asked(layer, change), [[0.0, -5e-3], [0.0, 1e-2]])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("optimiser", "rate"), [("sgd", 0.3), ("momentum", 0.1), ("rmsprop", 0.01), ("adam", 0.01)])
def test_every_rule_learns_with_every_optimiser(start, rule, optimiser, rate):
    digits, model = start
    how = {"rule": rule, "optimiser": optimiser, "learning_rate": rate, "epochs": 2, "batch": 20}
    chip = "epiram" if rule == "pulse-count" else None
    spec = load_run(chip, [*SMALL, *(f"in_situ.{key}={value}" for key, value in how.items())])
    result = run_method("calibration_in_situ", spec, build_network(spec, model, digits), digits, lambda *_: None)
    assert result.history[2]["accuracy_percent"] >= result.history[0]["accuracy_percent"] + 12.0


def test_small_changes_add_up_in_a_digital_memory_until_they_are_a_step(start):
    digits, model = start
    spec = load_run(None, [*SMALL, "in_situ.rule=mixed-precision", "in_situ.mixed_precision_step=0.05"])
    network = build_network(spec, model, digits)
    rule, layer = find("rules", "mixed-precision")(spec.in_situ, network), network.layers[1]
    step = 0.05 * layer.mapping.largest_weight
    wanted = np.linspace(-0.9, 0.9, layer.weights.size).reshape(layer.weights.shape) * step
    total = np.zeros_like(wanted)
    for turn in range(7):
        if turn == 4:  # as a checkpoint does
            saved = deepcopy(rule.state())
            rule = find("rules", "mixed-precision")(spec.in_situ, network)
            rule.restore(saved)
        asked = rule.asked(layer, wanted)
        assert np.array_equal(asked, np.round(asked / step) * step)
        total += asked
        assert np.abs((turn + 1) * wanted - total).max() < step  # nothing is forgotten
    assert rule.memory[0] is None
    network.chip.run(rule.program())
    booked = network.chip.ledger.accounts["digital_step"].operations
    network.chip.run(rule.program())  # nothing was added since
    assert network.chip.ledger.accounts["digital_step"].operations == booked > 0


def test_a_step_that_is_never_reached_gives_no_pulse(start):
    digits, model = start
    found = {}
    for step in (0.01, 50.0):
        how = ["in_situ.rule=mixed-precision", f"in_situ.mixed_precision_step={step}", "in_situ.batch=100"]
        spec = load_run(None, [*SMALL, *how, "in_situ.epochs=1"])
        result = run_method("in_situ", spec, build_network(spec, model, digits), digits, lambda *_: None)
        found[step] = result.history[1]["pulses"] - result.history[0]["pulses"]
    assert found[0.01] > 1000
    assert found[50.0] == 0


def test_each_kind_of_device_has_a_rule_of_its_own():
    assert load_run(None).in_situ.rule == "two-pulse"
    assert load_run("epiram").in_situ.rule == "pulse-count"
    assert load_run("epiram", ["in_situ.rule=manhattan"]).in_situ.rule == "manhattan"
    for chip, rule, other in (("epiram", "two-pulse", "pulse-count"), (None, "pulse-count", "two-pulse")):
        with pytest.raises(ValidationError, match=f"such as {other} \\(got '{rule}'\\)"):
            load_run(chip, [f"in_situ.rule={rule}"])


def test_write_verify_leaves_cells_nearer_to_what_was_asked(start):
    digits, model = start
    found = {}
    for rule in ("two-pulse", "write-verify"):
        errors = ["gain_error=0.0", "offset_error=0.0", "noise=1e-4"]
        exact = [f"chip.converters.adc.{error}" for error in errors]
        noisy = ["chip.device.set_noise=25e-6", "chip.programming.verify_tolerance=15e-6"]
        spec = load_run(None, [*SMALL, *exact, *noisy, f"in_situ.rule={rule}", "in_situ.verify_tries=3"])
        network = build_network(spec, model, digits)
        chip, trainer = network.chip, InSituTrainer(spec.in_situ, network)
        chip.run(network.program(0.0))
        chip.run(trainer.rule.program())
        off = [np.abs(unit.tile.conductance - unit.asked)[~unit.tile.stuck] for unit in chip.units]
        found[rule] = np.sqrt(np.mean(np.concatenate(off) ** 2))
        assert ("verify_read" in chip.ledger.accounts) == (rule == "write-verify")
    assert found["write-verify"] < 0.9 * found["two-pulse"]


def test_defects_can_be_kept_to_a_layer(start):
    digits, model = start
    for layers in ([0], [1], [], [0, 1]):
        spec = load_run(None, [*SMALL, f"chip.defects.layers={layers}"])
        network = build_network(spec, model, digits)
        stuck = [any(unit.tile.stuck.any() for unit in layer.units) for layer in network.layers]
        assert stuck == [0 in layers, 1 in layers]
    with pytest.raises(ValidationError, match=r"chip.defects.layers must be < 2, each \(got \(2,\)\)"):
        load_run(None, [*SMALL, "chip.defects.layers=[2]"])


def test_three_layers_learn_too():
    digits = load_mnist().resized(8).first(1000, 300)
    spec = load_run(None, [*SMALL, "network.layers=[64, 32, 32, 10]", "in_situ.epochs=2"])
    model = trained(spec, digits)
    history = run_method(
        "calibration_in_situ", spec, build_network(spec, model, digits), digits, lambda *_: None
    ).history
    assert history[2]["accuracy_percent"] >= history[0]["accuracy_percent"] + 15.0
