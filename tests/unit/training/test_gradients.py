"""Gradient estimates: the exact one equals finite differences through wires and defects; re-calibration in between."""

import numpy as np
import pytest
from builders import trained

from circuitmem import TileSpec
from circuitmem.config import (
    AdcSpec,
    ChipSpec,
    ConverterSpec,
    DacSpec,
    DefectSpec,
    InSituSpec,
    SinhCell,
    TwoPulseSpec,
    load_run,
)
from circuitmem.control import Chip
from circuitmem.data import load_mnist
from circuitmem.network import Correction, HardwareNetwork, Partition, Perceptron, split
from circuitmem.tile import Tile
from circuitmem.training import build_network, run_method
from circuitmem.training.gradients import LinearTileMap, TileMap, effective_map, layer_gradient, read_back_cells
from circuitmem.training.in_situ import InSituTrainer

SIZES, ROWS, COLUMNS = (11, 5), 6, 6


def network_of(rng, cell=None, groups=1):
    spec = ChipSpec(
        tile=TileSpec(
            rows=ROWS,
            columns=COLUMNS,
            word_line_resistance=20.0,
            bit_line_resistance=20.0,
            **({"cell": cell} if cell else {}),
        ),
        converters=ConverterSpec(dac=DacSpec(bits=12), adc=AdcSpec(bits=16)),
        device=TwoPulseSpec(slope_spread=0.0, set_noise=0.0),
        defects=DefectSpec(device_yield=0.9, stuck_off_range=(1e-6, 2e-6)),
    )
    tiles = Partition(*SIZES, ROWS, COLUMNS).tiles
    network = HardwareNetwork(
        Chip(spec, tiles, seed=1), Perceptron([rng.normal(size=SIZES)], [np.zeros(SIZES[1])]), [1.0]
    )
    network.chip.run(network.program(0.0))
    scale, shift = rng.uniform(0.8, 1.2, (groups, tiles, COLUMNS)), rng.normal(size=(groups, tiles, COLUMNS)) * 1e-6
    network.layers[0].correction = Correction(scale, shift)
    return network


def sums(layer, tiles, codes):
    """Add up what straight converters of a layer would give for tiles of any conductance."""
    correction, engine = layer.correction, layer.chip.electrics.behavioral
    total = np.zeros((len(codes[0]), layer.partition.outputs))
    for index, (unit, tile, own) in enumerate(zip(layer.units, tiles, codes, strict=True)):
        voltages = unit.readout.dac.voltages(split(own, correction.groups))
        currents = engine.solve(tile, voltages).column_current.reshape(correction.groups, len(own), -1)
        used = (correction.scale[:, index, None] * currents).sum(axis=0)[:, layer.placements[index].columns]
        total[:, layer.partition.output_slice(index)] += used[:, 0::2] - used[:, 1::2]
    return total / layer.current_scale


@pytest.mark.parametrize(("cell", "groups"), [(None, 1), (None, 2), (SinhCell(a=4.0), 1)])
def test_the_exact_gradient_equals_finite_differences(cell, groups):
    rng = np.random.default_rng(0)
    network = network_of(rng, cell, groups)
    layer = network.layers[0]
    activities, error = rng.random((4, SIZES[0])), rng.normal(size=(4, SIZES[1]))
    weights, _ = layer_gradient(layer, activities, error)
    codes, step = layer.input_codes(activities), 1e-3 * layer.mapping.scale
    tiles = [unit.tile for unit in layer.units]
    worst = 0.0
    for i in range(SIZES[0]):
        for j in range(SIZES[1]):
            index = next(
                t
                for t in range(len(tiles))
                if i in range(*layer.partition.input_slice(t).indices(99))
                and j in range(*layer.partition.output_slice(t).indices(99))
            )
            place = layer.placements[index]
            row = place.rows[i - layer.partition.input_slice(index).start]
            pair = place.pairs[j - layer.partition.output_slice(index).start]
            sign = 1 if layer.weights[i, j] > 0 else -1
            losses = []
            for way in (1, -1):
                changed = tiles[index].effective_conductance.copy()
                # A larger weight is more of its plus device, or less of its minus device.
                changed[row, 2 * pair + (sign < 0)] += way * sign * step
                others = list(tiles)
                others[index] = Tile(tiles[index].spec, changed)
                losses.append(float((error * sums(layer, others, codes)).sum()))
            difference = (losses[0] - losses[1]) / 2e-3
            worst = max(worst, abs(weights[i, j] - difference))
    assert worst < 1e-6 * np.abs(weights).max()


def test_the_error_goes_back_through_the_tiles_as_they_are():
    """Of the activities too: one code of the DAC up and down, on converters that are straight lines."""
    rng = np.random.default_rng(0)
    network = network_of(rng)
    layer = network.layers[0]
    activities, error = rng.uniform(0.2, 0.8, (3, SIZES[0])), rng.normal(size=(3, SIZES[1]))
    _, back = layer_gradient(layer, activities, error)
    tiles, code = [unit.tile for unit in layer.units], 1.0 / 4095
    for sample, unit in ((0, 0), (1, 5), (2, 10)):
        losses = []
        for way in (4, -4):
            moved = activities.copy()
            moved[sample, unit] = np.rint(moved[sample, unit] / code) * code + way * code
            losses.append(float((error * sums(layer, tiles, layer.input_codes(moved))).sum()))
        assert back[sample, unit] == pytest.approx((losses[0] - losses[1]) / (8 * code), rel=1e-6)


@pytest.mark.parametrize("groups", [1, 2])
def test_tiles_of_linear_cells_are_a_matrix_to_go_back_through(groups):
    rng = np.random.default_rng(0)
    layer = network_of(rng, None, groups).layers[0]
    activities, error = rng.random((4, SIZES[0])), rng.normal(size=(4, SIZES[1]))
    weights, back = layer_gradient(layer, activities, error, quantised=False)
    found = LinearTileMap(layer)
    np.testing.assert_allclose(error @ found.weights.T, back, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found.gradient(activities.T @ error), weights, rtol=1e-9, atol=1e-12 * weights.max())


def test_without_wires_and_defects_the_exact_gradient_is_the_ideal_one():
    rng = np.random.default_rng(1)
    spec = ChipSpec(
        tile=TileSpec(rows=ROWS, columns=COLUMNS),
        converters=ConverterSpec(dac=DacSpec(bits=12), adc=AdcSpec(bits=16)),
        device=TwoPulseSpec(slope_spread=0.0, set_noise=0.0),
        defects=DefectSpec(device_yield=1.0),
    )
    model = Perceptron([rng.normal(size=(6, 5)), rng.normal(size=(5, 3))], [np.zeros(5), np.zeros(3)])
    network = HardwareNetwork(Chip(spec, 4, seed=1), model, [1.0, 5.0])
    network.chip.run(network.program(0.0))
    inputs, error = rng.integers(0, 4096, (7, 6)) / 4095, rng.normal(size=(7, 3))
    activities = model.activities(inputs)
    activities[1] = np.minimum(np.rint(activities[1] / 5.0 * 4095) / 4095 * 5.0, 5.0)
    exact = network.back(activities, error, [TileMap(layer) for layer in network.layers])
    ideal = model.gradients(activities, error)
    for one, other in zip([*exact[0], *exact[1]], [*ideal[0], *ideal[1]], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3 * np.abs(other).max())


def test_the_gradient_of_clipped_activities_equals_finite_differences():
    rng = np.random.default_rng(2)
    model = Perceptron([rng.normal(size=(6, 5)), rng.normal(size=(5, 3))], [rng.normal(size=5), np.zeros(3)])
    inputs, error, ceilings = rng.random((7, 6)), rng.normal(size=(7, 3)), [1.0, 0.8]

    def clipped():
        hidden = np.clip(inputs @ model.weights[0] + model.biases[0], 0.0, ceilings[1])
        return [inputs, hidden, hidden @ model.weights[1] + model.biases[1]]

    saturated = clipped()[1] == ceilings[1]
    assert 5 < saturated.sum() < 30
    weights, biases = model.gradients(clipped(), error, ceilings)
    for gradients, parameters in ((weights, model.weights), (biases, model.biases)):
        for gradient, values in zip(gradients, parameters, strict=True):
            for place in np.ndindex(values.shape):
                losses = []
                for way in (1e-6, -2e-6):
                    values[place] += way
                    losses.append(float((error * clipped()[2]).sum()))
                values[place] += 1e-6
                assert gradient[place] == pytest.approx((losses[0] - losses[1]) / 2e-6, abs=1e-7)


@pytest.mark.parametrize("gradient", ["ideal", "read", "adjoint"])
def test_a_saturated_activity_asks_for_no_change(gradient):
    """Or training winds up: what would raise it further does nothing on the chip, and so is asked for again."""
    rng = np.random.default_rng(3)
    spec = ChipSpec(tile=TileSpec(rows=ROWS, columns=COLUMNS), defects=DefectSpec(device_yield=1.0))
    model = Perceptron(
        [0.3 * rng.normal(size=(6, 5)), rng.normal(size=(5, 3))], [np.linspace(0.0, 1.5, 5), np.zeros(3)]
    )
    network = HardwareNetwork(Chip(spec, 4, seed=1), model, [1.0, 1.0])
    network.chip.run(network.program(0.0))
    for layer in network.layers:
        network.chip.run(layer.set_range(layer.input_codes(rng.random((20, layer.partition.inputs))), 1))
    activities = network.chip.run(network.forward(rng.random((1, 6))))
    saturated, silent = activities[1][0] == 1.0, activities[1][0] == 0.0
    assert saturated.any()
    assert not (saturated | silent).all()
    trainer = InSituTrainer(InSituSpec(gradient=gradient, optimiser="sgd"), network)
    network.chip.run(trainer.look())
    before = network.model.copy()
    trainer.step(activities, np.array([[0.4, -0.7, 0.3]]), 1e-3)
    moved = (network.model.weights[0] != before.weights[0]).any(axis=0)
    np.testing.assert_array_equal(moved, ~(saturated | silent))
    np.testing.assert_array_equal(network.model.biases[0] != before.biases[0], moved)
    assert (network.model.weights[1] != before.weights[1])[saturated].all()


SMALL = ["data.side=8", "network.layers=[64, 24, 10]", "chip.tile.rows=32", "chip.tile.columns=32"]
SMALL += ["in_situ.batch=20", "in_situ.epochs=1", "calibration.vectors=40", "calibration.method=split-affine"]
SMALL += ["ex_situ.weight_limit=4.0", "in_situ.learning_rate=0.1"]


@pytest.fixture(scope="module")
def start():
    digits = load_mnist().resized(8).first(600, 300)
    spec = load_run(None, SMALL)
    return digits, trained(spec, digits)


def test_weights_are_read_back_as_the_cells_have_them(start):
    digits, model = start
    network = build_network(load_run(None, [*SMALL, "chip.tile.word_line_resistance=0.0"]), model, digits)
    network.chip.run(network.program(0.0))
    found = network.chip.run(read_back_cells(network))
    for layer, cells in zip(network.layers, found, strict=True):
        weights = effective_map(layer, cells)
        for index, place in enumerate(layer.placements):
            pairs = layer.units[index].tile.effective_conductance[place.cells]
            true = (pairs[:, 0::2] - pairs[:, 1::2]) / layer.mapping.scale
            own = layer.partition.input_slice(index), layer.partition.output_slice(index)
            assert np.corrcoef(true.ravel(), weights[own].ravel())[0, 1] > 0.98


@pytest.mark.parametrize("gradient", ["read", "adjoint"])
def test_every_gradient_learns(start, gradient):
    digits, model = start
    spec = load_run(None, [*SMALL, f"in_situ.gradient={gradient}", "in_situ.read_batches=10", "in_situ.epochs=3"])
    result = run_method("calibration_in_situ", spec, build_network(spec, model, digits), digits, lambda *_: None)
    assert result.history[3]["accuracy_percent"] >= result.history[0]["accuracy_percent"] + 10.0
    reads = result.accounts.get("one_hot_read", {"operations": 0})["operations"]
    assert reads == (5 * 2 * 33 * 9 if gradient == "read" else 0)  # 5 tiles, 2 gains, 32 + 1 rows; before 9 batches


def test_calibrating_again_is_timed_and_booked(start):
    digits, model = start
    reads, words = {}, {}
    for when in ("never", "once", "every"):
        again = [f"in_situ.recalibrate={when}", "in_situ.recalibrate_batches=10"]
        spec = load_run(None, [*SMALL, *again])
        record = run_method(
            "calibration_in_situ", spec, build_network(spec, model, digits), digits, lambda *_: None
        ).calibration
        reads[when], words[when] = record["reads"], record["stored_words"]
    assert reads["never"] == 5 * 40 * 4
    assert reads["once"] == 3 * reads["never"]  # again: what the products are, and then the fit
    assert reads["every"] == 7 * reads["never"]
    assert len(set(words.values())) == 1


@pytest.mark.parametrize("method", ["out-of-range", "split-affine", '["defect-subtract", "affine"]'])
def test_calibrating_again_every_epoch_does_not_harm(start, method):
    """What the chip does is what it was trained to do: to fit it to asked-for weights again cost six points."""
    digits, model = start
    reached = {}
    for when in ("never", "every"):
        again = [f"in_situ.recalibrate={when}", "in_situ.recalibrate_batches=30", "in_situ.epochs=3"]
        spec = load_run(None, [*SMALL, *again, f"calibration.method={method}", "calibration.vectors=100"])
        result = run_method("calibration_in_situ", spec, build_network(spec, model, digits), digits, lambda *_: None)
        reached[when] = result.accuracy_percent
    assert reached["every"] >= reached["never"] - 4.0  # of 300 digits: fewer than twice their sampling error
