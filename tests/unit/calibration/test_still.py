"""Errors of products that nobody paid for: what real reads find, and nothing moves."""

import json

import numpy as np
import pytest

from circuitmem import TileSpec
from circuitmem.calibration import CalibrationRecord, calibrate_layer, calibration_of, mac_error, still_error
from circuitmem.calibration.record import MacError
from circuitmem.config import AdcSpec, CalibrationSpec, ChipSpec, ConverterSpec, DacSpec, DefectSpec, load_run
from circuitmem.control import Chip
from circuitmem.network import HardwareNetwork, Partition, Perceptron
from circuitmem.training.run import start_run

SIZES, TILE = (20, 9), (10, 8)


def layer_of(*, serial=False):
    """Return a programmed layer on tiles with wires and stuck cells, whose reads have no noise."""
    spec = ChipSpec(
        tile=TileSpec(rows=TILE[0], columns=TILE[1], word_line_resistance=2.0, bit_line_resistance=2.0),
        converters=ConverterSpec(
            dac=DacSpec(input="serial" if serial else "parallel"), adc=AdcSpec(noise=0.0, gain_error=0.03)
        ),
        defects=DefectSpec(device_yield=0.8),
    )
    model = Perceptron([np.random.default_rng(0).normal(size=SIZES)], [np.zeros(SIZES[1])])
    network = HardwareNetwork(Chip(spec, Partition(*SIZES, *TILE).tiles, seed=1), model, [1.0])
    network.chip.run(network.program(0.0))
    return network.layers[0]


def frozen(layer):
    """Return all that a look could have changed, as text."""
    state = [layer.chip.state(), layer.state(), [unit.readout.adc.pga_gain for unit in layer.units]]
    return json.dumps(state, default=lambda array: array.tolist(), sort_keys=True)


@pytest.mark.parametrize("serial", [False, True])
@pytest.mark.parametrize("methods", [["none"], ["split-affine"], ["out-of-range", "affine"], ["batch-norm"]])
def test_a_still_look_finds_what_reads_find_and_changes_nothing(methods, serial):
    layer, rng = layer_of(serial=serial), np.random.default_rng(1)
    seen, unseen = rng.random((60, SIZES[0])), rng.random((40, SIZES[0]))
    layer.chip.run(
        calibrate_layer(calibration_of(methods, CalibrationSpec(vectors=60)), layer, seen, CalibrationRecord())
    )
    before = frozen(layer)
    found = still_error(layer, unseen, layer.weights)
    still_error(layer, unseen, layer.weights, raw=True)
    assert frozen(layer) == before
    read = layer.chip.run(mac_error(layer, unseen, unseen @ layer.weights))
    assert found.rmse == pytest.approx(read.rmse, rel=1e-9)
    assert found.largest == pytest.approx(read.largest, rel=1e-9)
    assert frozen(layer) != before  # real reads are booked: what is compared would show it


def test_raw_products_are_those_of_a_layer_without_calibration():
    inputs = np.random.default_rng(1).random((40, SIZES[0]))
    plain, calibrated = layer_of(), layer_of()
    plain.chip.run(calibrate_layer(calibration_of(["none"], CalibrationSpec()), plain, inputs, CalibrationRecord()))
    wanted = plain.chip.run(mac_error(plain, inputs, inputs @ plain.weights))
    method = calibration_of(["split-affine"], CalibrationSpec())
    calibrated.chip.run(calibrate_layer(method, calibrated, inputs, CalibrationRecord()))
    found = still_error(calibrated, inputs, calibrated.weights, raw=True)
    assert found.rmse == pytest.approx(wanted.rmse, rel=1e-9)
    assert still_error(calibrated, inputs, calibrated.weights).rmse < 0.5 * found.rmse


def test_activities_beyond_the_range_count_as_the_dacs_say_them():
    layer = layer_of()
    inputs = np.random.default_rng(1).random((5, SIZES[0]))
    inside = still_error(layer, np.minimum(2.0 * inputs, 1.0), layer.weights, raw=True)
    assert still_error(layer, 2.0 * inputs, layer.weights, raw=True) == inside
    assert layer.saturated == 0


def test_a_run_says_what_products_cost_and_how_wrong_they_are_before_and_after_calibration(tmp_path):
    settings = ["data.side=8", "data.train=200", "data.test=50", "network.layers=[64,12,10]", "audit.tiles=0"]
    settings += ["chip.tile.rows=16", "chip.tile.columns=16", "ex_situ.epochs=3", "calibration.vectors=50"]
    settings += ['methods=["raw","calibration"]', "calibration.method=out-of-range"]
    results = start_run(load_run(None, settings), tmp_path / "run")
    errors = results["product_errors"]
    assert set(errors["raw"]) == {"before"}
    assert errors["calibration"]["before"] == errors["raw"]["before"]
    for before, after in zip(*errors["calibration"].values(), strict=True):
        assert after["rmse"] < 0.6 * before["rmse"]
        assert after["largest"] < before["largest"]
    cost = results["calibration"]["calibration"]
    assert cost["products"] == 64 * 12 + 12 * 10
    assert 0 < cost["digital_products"] < 0.3 * cost["products"]
    assert results["calibration"]["raw"]["digital_products"] == 0


@pytest.mark.parametrize(
    ("found", "wanted", "rmse", "largest"),
    [
        ([3.0, 4.0], [3.0, 4.0], 0.0, 0.0),
        ([3.0, 6.0], [3.0, 4.0], 2.0**0.5 / 4.0, 0.5),
        ([0.0, -2.0], [0.0, 0.0], 0.5**0.5, 1.0),  # an error of weights that are all 0 is no infinite one
        ([0.0, 0.0], [0.0, 0.0], 0.0, 0.0),
    ],
)
def test_errors_are_relative_and_finite(found, wanted, rmse, largest):
    error = MacError.of(np.array(found), np.array(wanted))
    assert (error.rmse, error.largest) == pytest.approx((rmse, largest), rel=1e-15)
