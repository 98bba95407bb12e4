"""The gradient ``read`` belongs to the forward pass: through every calibration it is the exact one, layer by layer."""

import itertools

import numpy as np
import pytest
from builders import trained

from circuitmem import TileSpec
from circuitmem._kernels.tiling import Tiling
from circuitmem.config import load_run
from circuitmem.data import load_mnist
from circuitmem.registry import names
from circuitmem.training import build_network
from circuitmem.training.bring_up import calibrate_network
from circuitmem.training.gradients import ReadMap, TileMap, read_back_cells
from circuitmem.training.loss import cross_entropy
from circuitmem.training.wires import WireModel

SMALL = ["data.side=8", "network.layers=[64, 24, 10]", "chip.tile.rows=32", "chip.tile.columns=32"]
SMALL += ["calibration.vectors=200", "ex_situ.weight_limit=1.5", "ex_situ.epochs=20"]


@pytest.fixture(scope="module")
def start():
    digits = load_mnist().resized(8).first(1000, 300)
    spec = load_run(None, SMALL)
    return digits, trained(spec, digits)


def brought_up(start, method, yield_, wire):
    digits, model = start
    chip = [f"chip.defects.device_yield={yield_}"]
    chip += [f"chip.tile.{line}_line_resistance={wire}" for line in ("word", "bit")]
    spec = load_run(None, [*SMALL, *chip])
    network = build_network(spec, model, digits)
    network.chip.run(network.program(0.0))
    network.chip.run(calibrate_network(network, spec, digits, method.split("+")))
    return network


def read_maps(network, cells, **options):
    """Return the maps of all layers, for what was measured of their cells."""
    return [ReadMap(layer, own, **options) for layer, own in zip(network.layers, cells, strict=True)]


def angle_and_length(one, other):
    """Return the cosine between two gradients and the ratio of their norms."""
    lengths = np.linalg.norm(one), np.linalg.norm(other)
    return float((one * other).sum() / (lengths[0] * lengths[1])), float(lengths[0] / lengths[1])


JOINED = ["defect-subtract+affine", "out-of-range+affine"]
CASES = list(itertools.product([*names("calibrations"), *JOINED], (0.8, 0.5), (0.0, 1.0)))


@pytest.mark.parametrize(("method", "yield_", "wire"), CASES)
def test_read_is_the_exact_gradient_through_every_calibration(start, method, yield_, wire):
    digits, _ = start
    network = brought_up(start, method, yield_, wire)
    activities = network.chip.run(network.forward(digits.train_inputs[:200]))
    _, error = cross_entropy(activities[-1], digits.train_targets[:200])
    maps = read_maps(network, network.chip.run(read_back_cells(network)))
    found, biases = network.back(activities, error, maps)
    exact, exact_biases = network.back(activities, error, [TileMap(layer) for layer in network.layers])
    for one, other in zip([*found, *biases], [*exact, *exact_biases], strict=True):
        # Where half of the cells are stuck, the steps in which those that conduct most were read count.
        assert angle_and_length(one, other)[0] >= (0.99 if yield_ == 0.8 else 0.985)
    for one, other in zip(found, exact, strict=True):
        assert 0.95 <= angle_and_length(one, other)[1] <= 1.05


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("chip.tile.word_line_drive=both", "chip.tile.bit_line_sense=both"),
        ("chip.tile.word_line_resistance=0.0", "chip.tile.driver_resistance=50.0"),
    ],
)
def test_it_is_the_exact_gradient_behind_the_wires_of_a_default_tile_too(more):
    digits = load_mnist().resized(14).first(600, 100)
    spec = load_run(None, ["data.side=14", "network.layers=[196, 24, 10]", "ex_situ.epochs=5", *more])
    assert spec.chip.tile.shape == (64, 64)
    model = trained(spec, digits)
    network = build_network(spec, model, digits)
    network.chip.run(network.program(0.0))
    network.chip.run(calibrate_network(network, spec, digits, ["out-of-range"]))
    activities = network.chip.run(network.forward(digits.train_inputs[:100]))
    _, error = cross_entropy(activities[-1], digits.train_targets[:100])
    cells = network.chip.run(read_back_cells(network))
    exact, _ = network.back(activities, error, [TileMap(layer) for layer in network.layers])
    for one, other in zip(network.back(activities, error, read_maps(network, cells))[0], exact, strict=True):
        cosine, ratio = angle_and_length(one, other)
        assert cosine >= 0.99
        assert 0.95 <= ratio <= 1.05
    unaware, _ = network.back(activities, error, read_maps(network, cells, wired=False))
    assert angle_and_length(unaware[0], exact[0])[1] > 1.08  # or these wires would show nothing


def test_the_model_of_wires_knows_a_cell_by_itself_and_costs_nothing_without_wires():
    spec = TileSpec(rows=3, columns=2, word_line_resistance=10.0, bit_line_resistance=20.0, driver_resistance=5.0)
    # One cell conducts: 1 V drops over driver, segments and cell, whose change dG makes dI = dG (R_cell / R)^2.
    conductance, seen = 1e-3, np.zeros((1, 3, 2))
    resistance = 5.0 + 2 * 10.0 + 2 * 20.0 + 1.0 / conductance  # cell (1, 1): two segments of each line
    seen[0, 1, 1] = 1.0 / resistance
    # Three inputs, one output: the cell is the minus device of the second weight, which moves it.
    layout = Tiling(np.arange(3, dtype=np.int32)[None], np.zeros((1, 1), dtype=np.int32), (1, 1), (3, 1)).check()
    outer, weights = np.array([[0.0], [1.0], [0.0]]), np.full((3, 1), -1.0)
    found = WireModel(spec, seen).gradient(outer, layout, np.ones((1, 1, 2)), weights)[1, 0]
    # margin: the cell is found by a few turns of a fixed point, which leave this; all values are given, none is drawn.
    assert found == pytest.approx((1.0 / conductance / resistance) ** 2, rel=5e-3)
    assert WireModel.is_needed(spec)
    assert not WireModel.is_needed(TileSpec(rows=3, columns=2, sense_resistance=0.02))


@pytest.mark.parametrize("where", ["driver_resistance", "sense_resistance", "word_line_resistance"])
@pytest.mark.parametrize("conducts", [0.0, 1e-12, 1e-3])
def test_the_model_of_wires_loses_no_digits_where_lines_let_next_to_nothing_through(where, conducts):
    """Random configurations found it: what a line sees of its end was a difference, and nothing was left of it."""
    spec = TileSpec(**{"rows": 3, "columns": 4, "bit_line_resistance": 1.0, where: 1e60})
    layout = Tiling(np.arange(3, dtype=np.int32)[None], np.arange(2, dtype=np.int32)[None], (1, 1), (3, 2)).check()
    seen = np.full((1, 3, 4), conducts)
    for sign in (1.0, -1.0):  # the plus devices, the minus devices
        given = np.ones((3, 2)), layout, np.ones((1, 1, 4)), np.full((3, 2), sign)
        with np.errstate(all="raise", under="ignore"):
            found = WireModel(spec, seen).gradient(*given)
        assert np.isfinite(found).all()
        assert np.abs(found).max() <= 1.0
