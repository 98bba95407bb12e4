"""Methods that know the stuck cells: what they find, where they put weights, what they freeze, and that it helps."""

from functools import partial

import numpy as np
import pytest
from builders import trained

from circuitmem.config import RetrainingSpec, load_run
from circuitmem.control import Chip
from circuitmem.data import load_mnist
from circuitmem.errors import ValidationError
from circuitmem.network import Ask, HardwareNetwork, Network, Partition, Perceptron, Placement
from circuitmem.tile import DefectMap, PairMapping
from circuitmem.training import METHODS, Hooks, MethodRun, build_network, run_method
from circuitmem.training.bring_up import prepare_chip
from circuitmem.training.checkpoint import load_state, save_state
from circuitmem.training.input_ranges import InputRanges
from circuitmem.training.loss import cross_entropy
from circuitmem.training.offline import inject_defects, retrain, significance
from circuitmem.training.remapping import place_columns, place_rows_and_columns, placement_damage

SMALL = ["data.side=8", "network.layers=[64, 40, 10]", "chip.tile.rows=70", "chip.tile.columns=96"]
SMALL += ["in_situ.batch=20", "in_situ.epochs=1", "calibration.vectors=60", "chip.tile.word_line_resistance=0.0"]
SMALL += ["chip.tile.bit_line_resistance=0.0", "retraining.epochs=3", "retraining.batch=20", "ex_situ.epochs=20"]
SMALL += [f"chip.converters.adc.{error}_error=0.0" for error in ("gain", "offset")]
SMALL += [f"chip.converters.dac.{error}=0.0" for error in ("gain_error", "offset_error", "resistor_mismatch")]
# A start that leaves much to gain: large weights, which fill the range, and columns that are calibrated whole.
SMALL += ["ex_situ.weight_limit=4.0", "calibration.method=split-affine", "in_situ.learning_rate=0.1"]


@pytest.fixture(scope="module")
def start():
    digits = load_mnist().resized(8).first(1500, 400)
    spec = load_run(None, SMALL)
    return digits, trained(spec, digits)


def reached(name, start, *settings):
    digits, model = start
    spec = load_run(None, [*SMALL, *settings])
    return run_method(name, spec, build_network(spec, model, digits), digits, lambda *_: None)


def test_the_partner_of_a_stuck_device_makes_up_for_it():
    mapping, nan = PairMapping(1e-6, 301e-6, 1.0), np.nan
    weights = np.array([[0.5, -0.5, 0.2, 0.2]])
    stuck = np.array([[200e-6, nan, nan, 100e-6, nan, nan, 700e-6, 5e-6]])
    pairs = mapping.conductances(weights, stuck)
    found = np.where(np.isnan(stuck), pairs, stuck)
    made = (found[:, 0::2] - found[:, 1::2]) / mapping.scale
    np.testing.assert_allclose(made, [[0.5, -0.99 / 3, 0.2, 695 / 300]], atol=1e-12)
    lowest, highest = mapping.limits(stuck)
    np.testing.assert_allclose(lowest, [[-101 / 300, -0.33, -1.0, 695 / 300]], atol=1e-12)
    np.testing.assert_allclose(highest, [[199 / 300, 201 / 300, 1.0, 695 / 300]], atol=1e-12)
    assert mapping.conductances(weights).tolist() == mapping.conductances(weights, np.full((1, 8), nan)).tolist()


def test_remapping_lowers_the_damage_and_keeps_every_place_once():
    rng = np.random.default_rng(0)
    mapping = PairMapping(1e-6, 300e-6, 1.0)
    stuck = np.where(rng.random((12, 16)) < 0.2, rng.uniform(300e-6, 1200e-6, (12, 16)), np.nan)
    weights, cost = rng.uniform(-1, 1, (10, 6)), rng.random((10, 6))
    place = Placement(np.arange(10), np.arange(6))
    damage = [placement_damage(mapping, stuck, place, weights, cost)]
    for assign in (place_columns, place_rows_and_columns):
        placed = assign(mapping, stuck, place, weights, cost)
        assert len(set(placed.rows)) == 10
        assert len(set(placed.pairs)) == 6
        assert placed.pairs.max() < 8
        damage.append(placement_damage(mapping, stuck, placed, weights, cost))
    assert damage[2] < damage[1] < 0.8 * damage[0]
    huge = PairMapping(1e-6, 300e-6, 2.0**100)  # weights of 1e30, whose squares single precision does not hold
    for assign in (place_columns, place_rows_and_columns):
        placed = assign(mapping, stuck, place, weights, cost)
        again = assign(huge, stuck, place, weights * 2.0**100, cost)
        assert (again.rows.tolist(), again.pairs.tolist()) == (placed.rows.tolist(), placed.pairs.tolist())


def test_a_network_means_the_same_wherever_it_lies(start):
    digits, model = start
    spec = load_run(None, [*SMALL, "chip.defects.device_yield=1.0"])
    answers = []
    for shuffled in (False, True):
        network = build_network(spec, model, digits)
        for layer in network.layers if shuffled else ():
            rng = np.random.default_rng(3)
            for index, place in enumerate(layer.placements):
                rows, pairs = (rng.permutation(limit) for limit in (70, 48))
                layer.placements[index] = Placement(rows[: len(place.rows)], pairs[: len(place.pairs)])
        network.chip.run(prepare_chip(network, spec, digits, METHODS["raw"]))
        answers.append(network.chip.run(network.forward(digits.test_inputs[:50]))[-1])
    assert np.corrcoef(answers[0].ravel(), answers[1].ravel())[0, 1] > 0.97


def test_significance_is_what_a_small_error_costs():
    rng = np.random.default_rng(0)
    model = Perceptron([rng.normal(size=(6, 5)), rng.normal(size=(5, 3))], [rng.normal(size=5), np.zeros(3)])
    images, labels = rng.random((40, 6)), rng.integers(0, 3, 40)
    found = significance(model, images, labels)
    for layer in (0, 1):
        single = np.zeros_like(model.weights[layer])
        for image, label in zip(images, labels, strict=True):
            activities = model.activities(image[None])
            single += model.gradients(activities, cross_entropy(activities[-1], np.array([label]))[1])[0][layer] ** 2
        np.testing.assert_allclose(found[layer], single / 40, rtol=1e-10)


def test_retraining_leaves_frozen_weights_and_keeps_the_others_within_limits(start):
    digits, model = start
    rng, model = np.random.default_rng(0), model.copy()
    limits = [(np.full_like(w, -0.4), np.full_like(w, 0.3)) for w in model.weights]
    frozen = [rng.random(w.shape) < 0.3 for w in model.weights]
    values = [rng.normal(size=w.shape) for w in model.weights]
    for (lowest, highest), mask, value in zip(limits, frozen, values, strict=True):
        lowest[mask] = highest[mask] = value[mask]
    loss = []
    for epochs in (1, 4):
        trained = model.copy()
        retrain(trained, limits, RetrainingSpec(epochs=epochs), digits.train_inputs, digits.train_targets, 1)
        loss.append(cross_entropy(trained.activities(digits.train_inputs)[-1], digits.train_targets)[0])
        for weights, (lowest, highest), mask, value in zip(trained.weights, limits, frozen, values, strict=True):
            assert np.array_equal(weights[mask], value[mask])
            assert ((weights >= lowest) & (weights <= highest)).all()
    assert loss[1] < 0.7 * loss[0]


def test_injected_defects_have_the_declared_statistics(start):
    digits, model = start
    spec = load_run(None, [*SMALL, "chip.defects.layers=[0]", "chip.device.set_noise=0.0"])
    network = build_network(spec, model, digits)
    perturb = inject_defects(spec.chip, network.layers)
    rng = np.random.default_rng(0)
    changed = [np.abs(perturb(rng, 0, model.weights[0]) - model.weights[0]) > 1e-9 for _ in range(50)]
    assert np.mean(changed) == pytest.approx(1.0 - 0.8**2, abs=0.02)
    np.testing.assert_allclose(perturb(rng, 1, model.weights[1]), model.weights[1], atol=1e-12)


def test_what_is_known_of_defects_helps(start):
    names = ("raw", "compensation", "remapping", "schr", "schr_device", "defect_subtract")
    found = {name: reached(name, start, "seed=2") for name in names}
    percent = {name: result.accuracy_percent for name, result in found.items()}
    assert percent["remapping"] > max(percent["raw"], percent["compensation"]) + 20.0
    assert percent["schr"] > percent["raw"] + 5.0
    assert percent["schr_device"] > percent["schr"] + 10.0
    assert percent["defect_subtract"] > percent["raw"] + 40.0
    assert found["remapping"].accounts["one_hot_read"]["operations"] == 2 * 4 * 71  # 2 tiles, 4 readings


def test_statistics_and_injection_help_without_any_map(start):
    few = ("chip.defects.device_yield=0.98", "seed=2", "hardware_aware.epochs=10")
    raw, aware, normalised = (reached(name, start, *few) for name in ("raw", "hardware_aware", "batch_norm"))
    assert "one_hot_read" not in {*aware.accounts, *normalised.accounts}
    assert aware.accuracy_percent > raw.accuracy_percent + 5.0
    assert normalised.accuracy_percent > raw.accuracy_percent + 20.0


def test_learnt_input_ranges_follow_the_derivative_of_the_loss(start):
    """With so many codes that rounding is nothing the derivative by a range is that of cutting."""
    digits, _ = start
    spec = load_run(None, [*SMALL, "network.layers=[64, 20, 15, 10]"])
    rng = np.random.default_rng(0)
    shapes = spec.network.shapes
    model = Perceptron([rng.normal(0.0, m**-0.5, (m, n)) for m, n in shapes], [np.zeros(n) for _, n in shapes])
    ranges = InputRanges(build_network(spec, model, digits).layers, 1 << 40)
    ranges.logarithms[1:] = -0.5, -0.8  # much is cut
    inputs, loss = digits.train_inputs[:50], partial(cross_entropy, labels=digits.train_targets[:50])
    found = ranges.loss_gradients(model, inputs, loss)[-1]
    assert found[0] == 0.0
    for layer in (1, 2):
        values = []
        for change in (1e-6, -2e-6):
            ranges.logarithms[layer] += change
            values.append(ranges.loss_gradients(model, inputs, loss)[0])
        ranges.logarithms[layer] += 1e-6
        assert found[layer] == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5)


def test_input_ranges_that_are_too_wide_are_learnt_narrower(start):
    """Eight codes over ten times the activities say nearly nothing of them; learnt ones do."""
    digits, model = start
    network = build_network(load_run(None, SMALL), model, digits)
    first = network.layers[1].input_scale
    network.layers[1].input_scale = 10.0 * first
    ranges, limits = InputRanges(network.layers, 8), [layer.limits() for layer in network.layers]
    inputs, targets = digits.train_inputs, digits.train_targets
    shares = []
    for again in (False, True):
        if again:
            retrain(
                model := model.copy(),
                limits,
                RetrainingSpec(epochs=8, learning_rate=0.02),
                inputs,
                targets,
                1,
                ranges=ranges,
            )
        shares.append(np.mean(model.logits(inputs, ranges.enter).argmax(axis=1) == targets))
    assert ranges.now[0] == network.layers[0].input_scale
    assert ranges.now[1] < 5.0 * first
    assert shares[1] > shares[0] + 0.2


def test_learnt_input_ranges_are_those_of_the_chip(start):
    digits, model = start
    scales = []
    for how in ("measured", "learned"):
        spec = load_run(None, [*SMALL, f"hardware_aware.input_ranges={how}", "hardware_aware.epochs=1"])
        network = build_network(spec, model, digits)
        network.chip.run(prepare_chip(network, spec, digits, METHODS["hardware_aware"]))
        scales.append([layer.input_scale for layer in network.layers])
    assert scales[0] == [layer.input_scale for layer in build_network(spec, model, digits).layers]
    assert scales[1][0] == scales[0][0]
    assert scales[1][1] != scales[0][1]


def test_input_ranges_are_learnt_of_networks_of_layers_alone(start):
    digits, model = start

    class Other(Network):
        def steps(self, inputs):
            (products,) = yield Ask([(0, inputs)])
            return products

    ranges = InputRanges(build_network(load_run(None, SMALL), model, digits).layers, 16)
    with pytest.raises(
        ValidationError, match=r'hardware_aware.input_ranges must be "measured" for a network .*learned'
    ):
        retrain(
            Other([np.ones((64, 10))]),
            [],
            RetrainingSpec(),
            digits.train_inputs,
            digits.train_targets,
            1,
            None,
            None,
            ranges,
        )


def test_the_best_method_is_best(start):
    both, best = (reached(name, start, "in_situ.epochs=2") for name in ("calibration_in_situ", "best"))
    assert best.accuracy_percent > both.accuracy_percent + 2.0


def test_known_stuck_cells_get_no_pulses():
    spec = load_run(None, ["chip.defects.device_yield=1.0"]).chip
    chip = Chip(spec, 1, seed=1)
    network = HardwareNetwork(chip, Perceptron([np.full((20, 5), 0.5)], [np.zeros(5)]), [1.0])
    layer = network.layers[0]
    assert Partition(20, 5, *spec.tile.shape).tiles == 1
    layer.stuck = np.full((1, *spec.tile.shape), np.nan)
    layer.stuck[0, layer.placements[0].rows, 0] = 700e-6
    chip.units[0].tile.damage(DefectMap())
    chip.run(network.program(0.0))
    # The plus devices of the other four outputs, and the minus devices of the first, which are asked for their maximum.
    assert chip.ledger.pulses == 20 * 5


def test_a_method_that_knows_the_stuck_cells_goes_on_from_its_state(start, tmp_path):
    digits, model = start
    spec = load_run(None, [*SMALL, "in_situ.gradient=read", "in_situ.read_batches=7"])
    kept, whole = [], None

    def keep(ended):
        if not ended and len(kept) < 3:
            kept.append(tmp_path / f"{len(kept)}.npz")
            save_state(kept[-1], whole.state(), "checkpoint")

    whole = MethodRun("best", spec, build_network(spec, model, digits), digits, Hooks(safe=keep))
    expected = whole.finish().as_dict()
    again = MethodRun("best", spec, build_network(spec, model, digits), digits)
    again.restore(load_state(kept[1], "checkpoint"))
    assert again.finish().as_dict() == expected
