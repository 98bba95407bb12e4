"""Whatever way a tile's state is changed, no answer is stale: the way is refused, or the answer changes."""

import numpy as np
import pytest

from circuitmem import DefectMap, Tile, TileSpec
from circuitmem.config import ChipSpec
from circuitmem.control import Chip
from circuitmem.engine import BehavioralEngine

STUCK = np.arange(12).reshape(4, 3) % 5 == 0
DEFECTS = DefectMap(stuck=STUCK, stuck_conductance=2e-4, open_word_segments=np.arange(12).reshape(4, 3) == 4)


def make_tile():
    spec = TileSpec(rows=4, columns=3, word_line_resistance=np.full((4, 3), 2.0), bit_line_resistance=1.0)
    return Tile(spec, np.full((4, 3), 1e-4), DEFECTS)


@pytest.mark.parametrize("name", ["spec", "defects", "conductance", "effective_conductance", "version", "mesh"])
def test_attributes_of_a_tile_cannot_be_replaced(name):
    tile = make_tile()
    with pytest.raises(AttributeError):
        setattr(tile, name, getattr(make_tile(), name))


@pytest.mark.parametrize(
    "array",
    [
        lambda tile: tile.conductance,
        lambda tile: tile.effective_conductance,
        lambda tile: tile.mesh.conductance,
        lambda tile: tile.mesh.word_resistance,
        lambda tile: tile.mesh.bit_resistance,
        lambda tile: tile.defects.stuck,
        lambda tile: tile.defects.stuck_conductance,
        lambda tile: tile.defects.open_word_segments,
    ],
)
def test_arrays_of_a_tile_are_read_only(array):
    with pytest.raises(ValueError, match="read-only"):
        array(make_tile())[0, 0] = 1.0


@pytest.mark.parametrize("name", ["stuck", "stuck_conductance", "open_bit_segments", "dead_drivers", "bridges"])
def test_a_defect_map_cannot_be_changed(name):
    with pytest.raises(AttributeError, match=name):
        setattr(make_tile().defects, name, None)


@pytest.mark.parametrize("name", ["word_line_resistance", "sense_resistance", "cell"])
def test_a_specification_cannot_be_changed(name):
    with pytest.raises((AttributeError, ValueError)):
        setattr(make_tile().spec, name, 3.0)


def test_the_array_that_was_given_is_the_callers_own():
    conductance = np.full((4, 3), 1e-4)
    tile = Tile(make_tile().spec, conductance)
    before = BehavioralEngine().transfer_matrix(tile)
    conductance[:] = 1.0
    np.testing.assert_array_equal(BehavioralEngine().transfer_matrix(tile), before)


def test_a_chip_never_reads_through_the_matrix_of_an_earlier_state():
    geometry = TileSpec(rows=4, columns=4, word_line_resistance=2.0, bit_line_resistance=2.0)
    chip = Chip(ChipSpec(tile=geometry), tiles=2, seed=3)
    rng, voltages = np.random.default_rng(0), np.full((2, 4), 0.1)
    for _ in range(20):
        unit = chip.units[int(rng.integers(2))]
        if rng.random() < 0.5:
            unit.tile.program(rng.uniform(1e-6, 3e-4, (4, 4)))
        if rng.random() < 0.3:
            chip.electrics.refresh(chip.units)
        currents, power = chip.electrics.currents(unit, voltages)
        solution = BehavioralEngine().solve(unit.tile, voltages)
        np.testing.assert_allclose(currents, solution.column_current, rtol=1e-10)
        np.testing.assert_allclose(power, solution.power, rtol=1e-10)
