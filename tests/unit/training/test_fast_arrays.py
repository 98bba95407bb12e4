"""Rules with fast arrays: pulses on arrays of their own, transfers by reads, choppers, and references."""

from copy import deepcopy

import numpy as np
import pytest
from builders import trained

from circuitmem.config import load_run
from circuitmem.control import ChipAuditor
from circuitmem.data import load_mnist
from circuitmem.errors import ValidationError
from circuitmem.registry import find
from circuitmem.training import build_network, run_method
from circuitmem.training.fast_array import FastArray, symmetry
from circuitmem.training.methods import Hooks, MethodRun

RULES = ("tiki-taka", "chopped-tiki-taka", "agad")
SMALL = (
    "data.side=4",
    "network.layers=[16, 8, 10]",
    "chip.tile.rows=12",
    "chip.tile.columns=16",
    "ex_situ.epochs=2",
    "in_situ.batch=20",
    "in_situ.epochs=2",
    "in_situ.optimiser=sgd",
    "in_situ.learning_rate=0.3",
)
EXACT = (
    "chip.defects.device_yield=1.0",
    "chip.device.cycle_noise=0.0",
    "chip.tile.word_line_resistance=0.0",
    "chip.tile.bit_line_resistance=0.0",
    "chip.converters.adc.bits=16",
    *(f"chip.converters.{what}=0.0" for what in ("adc.gain_error", "adc.offset_error", "adc.noise")),
)
CURVED = ("chip.device.potentiation=5.0", "chip.device.depression=-3.0")


@pytest.fixture(scope="module")
def start():
    digits = load_mnist().resized(4).first(100, 60)
    spec = load_run("epiram", SMALL)
    return digits, trained(spec, digits)


def built(start, rule, *more):
    digits, model = start
    spec = load_run("epiram", [*SMALL, f"in_situ.rule={rule}", *more])
    return spec, build_network(spec, model, digits)


def test_a_curve_is_symmetric_where_a_pulse_up_does_as_much_as_one_down(start):
    _, network = built(start, "tiki-taka", *CURVED)
    devices = network.chip.units[0].devices
    middle, step = symmetry(devices)
    low, high = devices.limits
    up = (devices.nominal_up.ceiling - (middle - low) / (high - low)) * -np.expm1(-devices.nominal_up.fade)
    down = (devices.nominal_down.ceiling - (high - middle) / (high - low)) * -np.expm1(-devices.nominal_down.fade)
    assert step == pytest.approx(np.mean(up) * (high - low), rel=0.06)  # steps are finite
    assert np.mean(up) == pytest.approx(np.mean(down), rel=0.05)
    assert not np.isclose(middle, 0.5 * (low + high), rtol=0.05)  # the two curves differ


def test_pulses_of_weights_are_given_and_read_again(start):
    _, network = built(start, "tiki-taka", *EXACT, "chip.device.potentiation=1e-4", "chip.device.depression=-1e-4")
    chip, rng = network.chip, np.random.default_rng(3)
    array = FastArray(network.layers[0])
    chip.run(array.settle(2))
    _, settled = chip.run(array.read(0, array.lines, differential=False))
    before = chip.ledger.pulses
    wanted = rng.integers(-9, 10, (16, 8))
    chip.run(chip.pulse_all(array.layer.units, array.counts(wanted)))
    assert chip.ledger.pulses - before == np.abs(wanted).sum()
    assert chip.ledger.accounts["set_row_pulse"].energy > 0
    for first, count in ((0, array.lines), (3, 4), (array.lines - 1, 2)):
        began = chip.clock
        read, found = chip.run(array.read(first, count, differential=False))
        assert chip.clock - began == min(count, array.lines) * array.layer.units[0].read_time
        assert len(found) == read.sum() >= count
        assert np.abs((found - settled[read]) / array.step - wanted[read]).max() < 0.1
    assert chip.ledger.accounts["transfer_read"].operations > 0


def test_fast_devices_come_to_where_they_are_symmetric_and_references_with_them(start):
    _, network = built(start, "tiki-taka", *EXACT, *CURVED, "chip.device.nonlinearity_spread=0.5")
    array = FastArray(network.layers[0])
    chip = network.chip
    chip.run(array.settle(0))
    drifts = []
    for _ in range(2):
        _, before = chip.run(array.read(0, array.lines, differential=False))
        chip.run(array.settle(0) if not drifts else _pairs(array, 30))
        if not drifts:
            chip.run(_pairs(array, 30))
        _, after = chip.run(array.read(0, array.lines, differential=False))
        drifts.append(np.abs(after - before).mean())
    assert drifts[1] < 0.3 * drifts[0]  # each device has a place of its own, from which further pulses do not lead
    _, network = built(start, "tiki-taka", *EXACT, *CURVED)
    array, chip = FastArray(network.layers[0]), network.chip
    chip.run(array.settle(5))
    chip.run(array.set_references())
    _, left = chip.run(array.read(0, array.lines, differential=True))
    assert np.abs(left).max() < 2.0 * array.step


def _pairs(array, pairs):
    ones = [(up, up) for _, up in array.counts(np.ones((16, 8), dtype=np.int64))]
    for _ in range(pairs):
        yield from array.layer.chip.pulse_all(array.layer.units, ones)


def test_fast_arrays_have_the_defects_of_their_layer(start):
    _, network = built(start, "agad", "chip.defects.layers=[1]", "chip.defects.device_yield=0.5")
    rule = find("rules", "agad")(load_run("epiram", [*SMALL, "in_situ.rule=agad"]).in_situ, network)
    stuck = [any(unit.tile.stuck.any() for unit in array.layer.units) for array in rule.arrays]
    assert stuck == [False, True]
    main = [unit for layer in network.layers for unit in layer.units]
    assert not set(main) & {unit for array in rule.arrays for unit in array.layer.units}
    copied = deepcopy(network.chip)
    for unit, own in zip(network.chip.units, copied.units, strict=True):
        assert np.array_equal(unit.tile.stuck, own.tile.stuck)


@pytest.mark.parametrize("rule", RULES)
def test_a_network_learns_from_random_weights(rule):
    digits = load_mnist().resized(8).first(400, 200)
    small = ["data.side=8", "network.layers=[64, 10]", "chip.tile.rows=32", "chip.tile.columns=32"]
    soft = ["chip.device.potentiation=5.0", "chip.device.depression=-5.0", "chip.device.states=100"]
    how = ["ex_situ.epochs=0", f"in_situ.rule={rule}", "in_situ.learning_rate=0.3", "in_situ.optimiser=sgd"]
    how += ["in_situ.epochs=3", "in_situ.batch=20", f"in_situ.options.{rule}.lines=32"]
    spec = load_run("epiram", [*small, *soft, *how, "chip.device.cycle_noise=0.01"])
    model = trained(spec, digits)
    result = run_method("in_situ", spec, build_network(spec, model, digits), digits, lambda *_: None)
    assert result.accuracy_percent > 25.0, [entry["accuracy_percent"] for entry in result.history]


@pytest.mark.parametrize("rule", RULES)
def test_what_is_wanted_all_the_time_is_asked_in_the_end(start, rule):
    """A change of one sign gathers in the memory with that sign, whatever the choppers do."""
    spec, network = built(start, rule, *EXACT, *CURVED, f"in_situ.options.{rule}.lines=12")
    made = find("rules", rule)(spec.in_situ, network)
    wanted = [np.where(np.arange(layer.weights.size) % 2, 1e-3, -1e-3) for layer in network.layers]
    total = [np.zeros(layer.weights.shape) for layer in network.layers]
    for _ in range(40):
        for place, layer in enumerate(network.layers):
            total[place] += made.asked(layer, wanted[place].reshape(layer.weights.shape))
        network.chip.run(made.program())
    for place, asked in enumerate(total):
        gathered = asked + made.memory[place]
        assert np.mean(np.sign(gathered) == np.sign(wanted[place].reshape(asked.shape))) > 0.95


def test_choppers_and_dynamic_references_take_out_what_a_wrong_reference_adds(start):
    drift = {}
    for rule in RULES:
        more = [f"in_situ.options.{rule}.lines=12"]
        more += ["in_situ.options.chopped-tiki-taka.flip=0.5"] if rule == "chopped-tiki-taka" else []
        spec, network = built(start, rule, *EXACT, *CURVED, *more)
        made, layer = find("rules", rule)(spec.in_situ, network), network.layers[0]
        total = np.zeros(layer.weights.shape)
        for turn in range(30):
            total += made.asked(layer, np.zeros(layer.weights.shape))
            made.sizes = [1e-3 for _ in made.sizes]
            network.chip.run(made.program())
            if turn == 0 and rule != "agad":
                made.reference[0] += 1.0  # a pulse more than is there
        drift[rule] = np.abs(total + made.memory[0]).mean()
    assert drift["chopped-tiki-taka"] < 0.4 * drift["tiki-taka"]
    assert drift["agad"] < 0.1 * drift["tiki-taka"]


@pytest.mark.parametrize("rule", RULES)
def test_a_run_that_is_resumed_ends_the_same_in_bursts_and_by_pulses(start, rule):
    digits = start[0].first(60, 20)
    found, saved, short = [], [], ["in_situ.epochs=1", "in_situ.batch=30"]
    short += [] if rule == "agad" else [f"in_situ.options.{rule}.settling=2"]
    for granularity in ("burst", "pulse"):
        spec, network = built(start, rule, f"granularity={granularity}", *short)
        run = MethodRun("in_situ", spec, network, digits)
        run._hooks = Hooks(safe=lambda ended, run=run: saved.append(deepcopy(run.state())))
        result = run.finish()
        found.append(([unit.tile.conductance.copy() for unit in network.chip.units], result.as_dict()))
    spec, network = built(start, rule, *short)
    again = MethodRun("in_situ", spec, network, digits)
    again.restore(saved[1])
    found.append((None, again.finish().as_dict()))
    found[-1] = ([unit.tile.conductance for unit in network.chip.units], found[-1][1])
    for cells, result in found[1:]:
        assert all(np.array_equal(one, other) for one, other in zip(found[0][0], cells, strict=True))
        for key in ("accuracy_percent", "simulated_time_s", "energy_j", "pulses", "losses", "accounts"):
            assert result[key] == found[0][1][key], key


def test_the_audit_sees_the_fast_arrays(start):
    digits, _ = start
    spec, network = built(start, "tiki-taka", "in_situ.epochs=1")
    own, taken, chip = len(network.chip.units), [], network.chip
    run = MethodRun("in_situ", spec, network, digits)
    chip.context.auditor = ChipAuditor(taken.append, fraction=0.2, seed=1)
    run.finish()
    operations = {sample.operation for sample in taken if sample.tile >= own}
    assert operations == {"transfer_read", "set_row_pulse"}


def test_methods_that_do_not_train_have_no_fast_arrays(start):
    digits, _ = start
    spec, network = built(start, "agad")
    tiles = len(network.chip.units)
    run_method("raw", spec, network, digits, lambda *_: None)
    assert len(network.chip.units) == tiles


@pytest.mark.parametrize("rule", RULES)
def test_bad_numbers_and_devices_are_refused_in_one_line(rule):
    with pytest.raises(ValidationError, match=f"in_situ.rule must be another for .* two-pulse .*got '{rule}'"):
        load_run(None, [f"in_situ.rule={rule}"])
    for key, value, message in (
        ("lines", "0", "must be greater than or equal to 1"),
        ("pulses", "0.0", "must be greater than 0"),
        ("gain", "-1.0", "must be greater than 0"),
        ("speed", "1", "is not a known key"),
    ):
        with pytest.raises(ValidationError, match=f"in_situ.options.{rule}.{key} {message}"):
            load_run("epiram", [f"in_situ.rule={rule}", f"in_situ.options.{rule}.{key}={value}"])
