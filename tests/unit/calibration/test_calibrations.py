"""Calibrations: each heals what it is for, learns from codes alone, and its cost is what was read and kept."""

import json

import numpy as np
import pytest
from builders import EXACT, one_layer, options

from circuitmem import DefectMap
from circuitmem.calibration import (
    CalibrationRecord,
    calibrate_layer,
    calibration_of,
    find_stuck,
    mac_error,
)
from circuitmem.config import AdcSpec, CalibrationSpec, DacSpec
from circuitmem.errors import ValidationError
from circuitmem.network import Partition
from circuitmem.registry import find, names

SIZES, ROWS, COLUMNS, VECTORS, GROUPS = (20, 9), 10, 8, 60, 5
ERRORS = {"dac": DacSpec(gain_error=0.01), "adc": AdcSpec(gain_error=0.05, offset_error=0.02, noise=1e-3)}
SPEC = CalibrationSpec(vectors=VECTORS, groups=GROUPS)


def calibrated(name, network):
    """Calibrate, and return the errors before and after with the record."""
    layer, chip, rng, record = network.layers[0], network.chip, np.random.default_rng(1), CalibrationRecord()
    seen, unseen = rng.random((VECTORS, SIZES[0])), rng.random((80, SIZES[0]))
    wanted = unseen @ network.model.weights[0]
    chip.run(calibrate_layer(find("calibrations", "none")(SPEC), layer, seen, CalibrationRecord()))
    before = chip.run(mac_error(layer, unseen, wanted))
    chip.run(calibrate_layer(calibration_of(name.split("+"), SPEC), layer, seen, record))
    return before, chip.run(mac_error(layer, unseen, wanted)), record


OFFSETS = {"dac": DacSpec(bits=12), "adc": AdcSpec(bits=12, minimum=-0.3, offset_error=0.05)}
HEALED = {
    "offset": ({"converters": OFFSETS}, 0.2),
    "affine": ({"converters": ERRORS}, 0.25),
    "split-affine": ({"converters": ERRORS, "yield_": 0.8}, 0.35),
    "defect-subtract": ({"yield_": 0.8}, 0.1),
    "out-of-range": ({"converters": ERRORS, "yield_": 0.8}, 0.3),
    "global-scale": ({"wire": 5.0}, 0.5),
    "conversion": ({"wire": 5.0}, 0.2),
    "redundant-column": ({"yield_": 0.9}, 0.95),
    "batch-norm": ({"converters": ERRORS, "yield_": 0.9}, 0.6),
}


def test_what_is_declared_is_there():
    assert set(names("calibrations")) == {"none", *HEALED}


@pytest.mark.parametrize("name", sorted(HEALED))
def test_each_heals_what_it_is_for_on_held_out_vectors(name):
    chip, bound = HEALED[name]
    before, after, _ = calibrated(name, one_layer(**chip))
    assert after.rmse < bound * before.rmse
    assert 0.0 < after.largest < 1.01 * before.largest  # nor does it harm the worst output


@pytest.mark.parametrize("name", sorted(HEALED))
def test_a_method_learns_from_codes_alone(name):
    """On a chip of other devices and defects, given the codes of the first, it learns the same to the last bit."""
    states, codes = [], []
    for turn in range(3):
        network = one_layer(yield_=0.8, wire=1.0, converters=ERRORS)
        layer, chip = network.layers[0], network.chip
        answer, replay = chip.read_all, iter(list(codes))
        if turn:
            for unit in layer.units:
                unit.tile.damage(DefectMap.random(unit.tile.spec, yield_=0.5, seed=99, key=(unit.index,)))

        def read(units, asked, kind, *rest, turn=turn, answer=answer, replay=replay):
            found = yield from answer(units, asked, kind, *rest)
            if turn == 0:
                codes.append(found)
            return next(replay) if turn == 1 else found

        def cut(*_):
            yield from ()

        chip.read_all, chip.read_layer = read, cut  # a layer's sums come from codes too, where the digital core adds
        seen = np.random.default_rng(1).random((VECTORS, SIZES[0]))
        chip.run(calibrate_layer(find("calibrations", name)(SPEC), layer, seen, CalibrationRecord()))
        states.append(json.dumps(layer.state(), default=lambda array: array.tolist()))
        gains = [unit.readout.adc.pga_gain.tolist() for unit in layer.units]
        states[-1] += json.dumps(gains)
        # What was learnt stays as it is when the chip changes, until it reads again.
        for unit in layer.units:
            unit.tile.damage(DefectMap.random(unit.tile.spec, yield_=0.5, seed=7, key=(unit.index,)))
        assert json.dumps(layer.state(), default=lambda array: array.tolist()) + json.dumps(gains) == states[-1]
    assert states[0] == states[1] != states[2]


def test_a_methods_cost_is_what_it_read_and_keeps():
    tiles, used = Partition(*SIZES, ROWS, COLUMNS).tiles, 2 * 2 * SIZES[1]
    expected = {
        "none": (0, 0, 1),
        "offset": (16, used, 1),
        "affine": (VECTORS, 2 * used, 1),
        "split-affine": (VECTORS * GROUPS, 2 * GROUPS * used, GROUPS),
        "global-scale": (VECTORS, tiles, 1),
        "batch-norm": (VECTORS, 2 * SIZES[1], 1),
        "conversion": (0, 0, 1),
        "defect-subtract": (2 * (ROWS + 1), None, 1),
        "out-of-range": (2 * (ROWS + 1) + VECTORS, None, 1),
        "redundant-column": (4 * (ROWS + 1), None, 1),
    }
    assert set(expected) == set(names("calibrations"))
    for name, (reads, words, each) in expected.items():
        network = one_layer(yield_=0.8, converters=ERRORS)
        _, _, record = calibrated(name, network)
        assert record.reads == tiles * reads, name
        assert record.reads_per_product == each
        assert (record.time_s > 0.0) == (record.energy_j > 0.0) == (name != "none")
        assert (record.pulses > 0) == (name in ("redundant-column", "conversion"))
        if words is not None:
            assert record.stored_words == words
    _, _, record = calibrated("defect-subtract", one_layer(yield_=0.8))
    stuck = sum(unit.tile.stuck.sum() for unit in one_layer(yield_=0.8).chip.units)
    assert 0.5 * stuck < record.stored_words < 1.5 * stuck
    assert record.digital_products == record.stored_words
    assert record.products == SIZES[0] * SIZES[1]


def test_out_of_range_subtracts_used_cells_outside_the_working_range_alone():
    network = one_layer(yield_=0.8)
    layer = network.layers[0]
    _, _, record = calibrated("out-of-range", network)
    conductance = np.array([unit.tile.effective_conductance for unit in layer.units])
    outside = conductance > layer.mapping.maximum + SPEC.threshold
    used = np.zeros_like(outside)
    for tile, place in zip(used, layer.placements, strict=True):
        tile[place.cells] = True
    assert (used & outside).sum() > 10
    assert (outside & ~used).any()
    assert np.array_equal(layer.correction.excess != 0.0, used & outside)
    columns = 2 * 2 * SIZES[1]
    assert record.stored_words == (used & outside).sum() + 2 * columns
    assert record.digital_products == (used & outside).sum()


JOINED = ["defect-subtract+affine", "out-of-range+affine", "offset+affine", "affine+split-affine"]
JOINED += ["redundant-column+conversion+affine"]


@pytest.mark.parametrize("names", JOINED)
def test_a_joined_calibration_learns_on_what_the_former_leave(names):
    """It is as good as the best of its parts alone, and costs what they cost."""
    chip = {"converters": ERRORS, "yield_": 0.8, "wire": 2.0}
    _, joined, record = calibrated(names, one_layer(**chip))
    parts = [calibrated(name, one_layer(**chip)) for name in names.split("+")]
    assert joined.rmse < 1.05 * min(part.rmse for _, part, _ in parts)
    assert record.reads == sum(cost.reads for _, _, cost in parts)
    assert record.reads_per_product == max(cost.reads_per_product for _, _, cost in parts)
    assert record.time_s > max(cost.time_s for _, _, cost in parts)
    assert record.energy_j > max(cost.energy_j for _, _, cost in parts)


@pytest.mark.parametrize("names", ["split-affine+affine", "split-affine+defect-subtract", "global-scale+out-of-range"])
def test_calibrations_of_other_groups_and_cells_follow_each_other(names):
    chip = {"converters": ERRORS, "yield_": 0.8, "wire": 2.0}
    before, after, record = calibrated(names, one_layer(**chip))
    assert after.rmse < 0.5 * before.rmse
    assert record.reads_per_product == (GROUPS if "split" in names else 1)


def test_an_affine_fit_after_subtraction_is_one_of_each_output():
    network = one_layer(yield_=0.8, converters=ERRORS)
    _, alone, _ = calibrated("defect-subtract", one_layer(yield_=0.8, converters=ERRORS))
    _, joined, record = calibrated("defect-subtract+affine", network)
    correction = network.layers[0].correction
    assert correction.output_scale.shape == (SIZES[1],)
    assert (correction.scale == 1.0).all()
    assert record.stored_words == record.digital_products + 2 * SIZES[1]
    assert joined.rmse < 0.5 * alone.rmse


@pytest.mark.parametrize("name", [*sorted(set(HEALED) - {"conversion", "redundant-column"}), "defect-subtract+affine"])
def test_calibrating_a_trained_chip_again_keeps_what_it_does(name):
    """Other weights are asked for than the chip has: again, its products stay, and its ranges follow."""
    network = one_layer(yield_=0.8, converters=ERRORS)
    layer, chip, rng = network.layers[0], network.chip, np.random.default_rng(1)
    seen, unseen = rng.random((VECTORS, SIZES[0])), rng.random((80, SIZES[0]))
    method = calibration_of(name.split("+"), SPEC)
    chip.run(calibrate_layer(method, layer, seen, CalibrationRecord()))
    chip.run(layer.program(0.6 * layer.weights, 0.0))  # training: much of it on cells that do not follow
    layer.units[0].readout.adc.set_pga_gain(0.8 * layer.units[0].readout.adc.pga_gain)
    before, record = chip.run(layer.forward(unseen)), CalibrationRecord()
    gain = layer.units[0].readout.adc.pga_gain.copy()
    for _ in range(3):
        chip.run(calibrate_layer(method, layer, seen, record, again=True))
    after = chip.run(layer.forward(unseen))
    assert np.sqrt(np.mean((after - before) ** 2)) < 0.05 * np.abs(before).max()
    assert np.sqrt(np.mean((seen @ layer.weights - seen @ network.model.weights[0]) ** 2)) > 0.5
    assert not np.array_equal(layer.units[0].readout.adc.pga_gain, gain)
    assert record.reads > 0
    assert record.time_s > 0.0


@pytest.mark.parametrize(
    ("methods", "rule"),
    [
        ((), "at least one calibration"),
        (("affine", "affine"), "each once"),
        (("none", "affine"), "must not join none"),
        (("defect-subtract", "out-of-range"), "must not subtract twice"),
        (("conversion", "redundant-column"), "redundant-column before conversion"),
    ],
)
def test_calibrations_that_cannot_follow_each_other_are_refused(methods, rule):
    with pytest.raises(ValidationError, match=f"method .*{rule}"):
        CalibrationSpec(method=methods)


@pytest.mark.parametrize(("wire", "converters"), [(0.0, EXACT), (1.0, ERRORS)])
def test_one_hot_reads_find_the_stuck_cells(wire, converters):
    network = one_layer(yield_=0.8, wire=wire, converters=converters)
    layer = network.layers[0]
    found = network.chip.run(find_stuck(layer))
    true = np.array([unit.tile.stuck for unit in layer.units])
    assert np.array_equal(~np.isnan(found), true)
    conductance = np.array([unit.tile.defects.stuck_conductance for unit in layer.units])
    error = np.abs(found - conductance)[true]
    # margin: behind wires the drop of the other cells of a line is in a one-hot read; seeded, so no chance is in it.
    assert error.max() < (5e-6 if wire == 0.0 else 0.15 * conductance.max())


def test_a_dead_sense_channel_is_found_stuck():
    network = one_layer(yield_=0.9)
    layer = network.layers[0]
    layer.units[0].readout.adc.alive = np.arange(COLUMNS) != 3
    found = network.chip.run(find_stuck(layer))
    assert not np.isnan(found[0][:, 3]).any()
    assert np.isnan(found[0][:, 2]).any()


TINY = ["data.side=8", "data.train=200", "data.test=50", "network.layers=[64, 12, 10]", "ex_situ.epochs=2"]
TINY += ["chip.tile.rows=32", "chip.tile.columns=16", "calibration.vectors=20"]


@pytest.fixture
def calibrate(command):
    settings = options(TINY)
    return lambda *words: command("calibrate", *settings, *words)


def test_the_command_compares_methods_on_one_chip(calibrate):
    done = calibrate("--json", "--held-out", "30", "-m", "none", "-m", "affine")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found) == ["none", "affine"]
    before = [[layer["rmse_before"] for layer in entry["layers"]] for entry in found.values()]
    assert before[0] == before[1]
    affine = found["affine"]
    assert all(layer["rmse_after"] < layer["rmse_before"] for layer in affine["layers"])
    assert affine["reads"] == 20 * 6
    assert affine["stored_words"] == 2 * (2 * 2 * 12 + 2 * 10)
    assert affine["time_s"] > 0.0
    table = calibrate()
    assert table.returncode == 0, table.stderr
    assert "…" not in table.stdout
    assert all(name in table.stdout for name in names("calibrations"))


def test_an_unknown_method_is_one_line(calibrate):
    done = calibrate("-m", "affin")
    assert done.returncode == 2
    assert "method must be one of none, offset, affine" in done.stderr
    assert "did you mean 'affine'?" in done.stderr
    assert done.stderr.count("\n") == 1
    done = calibrate("-m", "affine+none")
    assert done.returncode == 2
    assert done.stderr == "circuitmem: error: method must not join none with others (got ['affine', 'none'])\n"
