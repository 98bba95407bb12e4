"""What calibrations work out, by hand: cells that do not follow, outputs that move, what the digital core does.

Each test here fails for mutants that all others let live (``tests/mutants.md``).
"""

import numpy as np
import pytest
from builders import one_layer

from circuitmem.calibration import CalibrationRecord, calibrate_layer, calibration_of, find_stuck, still_products
from circuitmem.calibration.conversion import TURNS
from circuitmem.calibration.one_hot import _stuck
from circuitmem.calibration.redundant_column import move_to_spares
from circuitmem.config import AdcSpec, CalibrationSpec, DacSpec
from circuitmem.control import Chip
from circuitmem.network import Partition, Placement

SIZES, ROWS, COLUMNS, VECTORS = (20, 9), 10, 8, 60
SPEC = CalibrationSpec(vectors=VECTORS, groups=5)
ERRORS = {"dac": DacSpec(gain_error=0.01), "adc": AdcSpec(gain_error=0.05, offset_error=0.02, noise=1e-3)}
TILES = Partition(*SIZES, ROWS, COLUMNS).tiles


@pytest.fixture
def booked(monkeypatch):
    """What the digital core was asked for."""
    found, compute = [], Chip.compute

    def noting(self, operations, *rest):
        found.append(operations)
        return compute(self, operations, *rest)

    monkeypatch.setattr(Chip, "compute", noting)
    return found


def test_stuck_cells_are_told_by_what_row_and_column_make_of_a_change():
    row, column = np.linspace(1.0, 0.6, 8), np.linspace(0.5, 1.0, 6)
    gain, span = np.outer(row, column), 10e-6
    before = 2e-6 * gain
    after = before + span * gain
    for place, conductance in {(1, 0): 50e-6, (6, 5): 1e-6}.items():
        before[place] = after[place] = conductance * gain[place]
    found = _stuck(before[None], after[None], span)[0]
    assert np.array_equal(np.argwhere(~np.isnan(found)), [(1, 0), (6, 5)])
    # As the line's own driver and converter show it: both are off by what a stuck cell keeps from two means.
    assert found[1, 0] == pytest.approx(50e-6, rel=0.05)
    assert found[6, 5] == pytest.approx(1e-6, rel=0.05)


def test_a_row_that_does_not_answer_is_stuck_at_what_was_read():
    before, after = np.full((6, 4), 2e-6), np.full((6, 4), 12e-6)
    after[3] = before[3] = 5e-6
    found = _stuck(before[None], after[None], 10e-6)[0]
    np.testing.assert_array_equal(found[3], 5e-6)
    assert np.isnan(np.delete(found, 3, axis=0)).all()


def test_one_cell_that_follows_is_enough_for_its_row():
    before, after = np.full((8, 4), 2e-6), np.full((8, 4), 12e-6)
    after[3, 1:] = 2e-6
    found = _stuck(before[None], after[None], 10e-6)[0]
    np.testing.assert_allclose(found[3, 1:], 2e-6, rtol=1e-12)
    assert np.isnan(found[3, 0])


def test_the_worst_output_moves_first_and_to_the_place_that_suits_it():
    damage = np.array(
        [
            [4.0, 0.0, 0.0, 1.0, 3.0],
            [0.0, 9.0, 0.0, 2.0, 5.0],
            [1.0, 8.0, 1.0, 1.0, 1.0],
        ]
    )
    moved = move_to_spares(Placement(np.arange(2), np.arange(3)), damage)
    # Output 1 is worst and takes place 3; output 0 finds place 1, which that left, to do no harm; output 2, damaged
    # as much at each of the others, stays.
    assert moved.pairs.tolist() == [1, 3, 2]
    assert move_to_spares(Placement(np.arange(2), np.arange(3)), damage[:, :3]).pairs.tolist() == [0, 1, 2]


def test_an_output_moves_for_less_damage_only():
    moved = move_to_spares(Placement(np.arange(2), np.arange(1)), np.array([[2.0, 2.0]]))
    assert moved.pairs.tolist() == [0]


def test_a_moved_output_is_a_stored_word():
    network, record = one_layer(yield_=0.8), CalibrationRecord()
    layer, seen = network.layers[0], np.random.default_rng(1).random((VECTORS, SIZES[0]))
    network.chip.run(calibrate_layer(calibration_of(["redundant-column"], SPEC), layer, seen, record))
    # Nine outputs on tiles of four pairs: the last tile's three spare places are all that there is to move to.
    moved = [place.pairs != np.arange(len(place.pairs)) for place in layer.placements]
    assert record.stored_words == sum(int(each.sum()) for each in moved)
    assert 0 < record.stored_words < sum(len(each) for each in moved)


def test_an_output_without_spread_gets_the_mean_that_it_should_have():
    layer = one_layer().layers[0]
    inputs = np.repeat(np.random.default_rng(1).random((1, SIZES[0])), 5, axis=0)
    layer.chip.run(calibrate_layer(calibration_of(["batch-norm"], SPEC), layer, inputs, CalibrationRecord()))
    np.testing.assert_allclose(layer.chip.run(layer.forward(inputs)), inputs @ layer.weights, rtol=1e-12)


def test_negative_activities_count_where_inputs_have_a_sign_alone():
    layer = one_layer().layers[0]
    inputs = np.random.default_rng(1).uniform(-1.0, 1.0, (5, SIZES[0]))
    positive = still_products(layer, np.maximum(inputs, 0.0), layer.weights)
    np.testing.assert_array_equal(still_products(layer, inputs, layer.weights), positive)


def test_the_digital_core_is_booked_for_what_each_works_out(booked):
    cells = TILES * ROWS * COLUMNS
    expected = {
        "global-scale": [4 * VECTORS * TILES * COLUMNS],
        "batch-norm": [6 * VECTORS * SIZES[1]],
        "conversion": TURNS * [2 * cells * (ROWS + COLUMNS)],
    }
    for name, operations in expected.items():
        network = one_layer(converters=ERRORS)
        layer, rng = network.layers[0], np.random.default_rng(1)
        method = calibration_of([name], SPEC)
        before = calibration_of(["none"], SPEC)
        seen = rng.random((VECTORS, SIZES[0]))
        layer.chip.run(calibrate_layer(before, layer, seen, CalibrationRecord()))
        booked.clear()
        layer.chip.run(calibrate_layer(method, layer, seen, CalibrationRecord()))
        for each in operations:
            assert each in booked, name
            booked.remove(each)
    network = one_layer(yield_=0.9)
    booked.clear()
    network.chip.run(find_stuck(network.layers[0]))
    assert booked == [3 * cells, 3 * cells, 16 * cells]
