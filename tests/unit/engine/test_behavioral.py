"""What is particular to the behavioral engine; what every engine must do is in the common suite."""

from functools import partial

import numpy as np
import pytest
from builders import random_tile

from circuitmem import DefectMap, SinhCell, Tile, TileSpec
from circuitmem.engine import BehavioralEngine, Transfer
from circuitmem.engine.direct import solve_directly
from circuitmem.errors import ValidationError

SOLVED = 1e-12
"""Ten times the engine's tolerance: currents are sums over the nodes of a line."""

BRIDGE = (("word", 1, 2), ("word", 2, 2), 40.0)
CUT = np.arange(20).reshape(5, 4) == 6  # word line 1 before cell 2


make_tile = partial(random_tile, rows=5, columns=4, ohms=(1.0, 2.0), driver_resistance=10.0)


def name_of(tile, batch=1):
    return str(BehavioralEngine().plan(tile, batch)).partition(":")[0]


def drawn_voltages(tile, batch):
    return np.random.default_rng(1).uniform(-0.2, 0.2, (batch, tile.spec.rows))


def close(actual, expected, tolerance=SOLVED):
    np.testing.assert_allclose(actual, expected, rtol=0.0, atol=tolerance * np.abs(expected).max())


TILES = {
    "conjugate gradients": make_tile(),
    "conjugate gradients, bridges superposed": make_tile(
        defects=DefectMap(bridges=[BRIDGE, (("bit", 0, 0), ("word", 4, 3), 7.0)])
    ),
    "direct": make_tile(defects=DefectMap(bridges=[BRIDGE], open_word_segments=CUT)),
}


@pytest.mark.parametrize("name", TILES)
def test_the_method_is_named_and_every_method_gives_the_same(name):
    tile, engine = TILES[name], BehavioralEngine(threads=1)
    assert name_of(tile) == name
    voltages = drawn_voltages(tile, 3)
    ours, expected = engine.solve(tile, voltages), solve_directly(tile, voltages, 1e-13)
    for field in ("column_current", "driver_current", "word_line_voltage", "bit_line_voltage", "power"):
        close(getattr(ours, field), getattr(expected, field))


def test_non_linear_cells_with_bridges_are_solved_directly():
    assert name_of(make_tile(cell=SinhCell(a=1.0))) == "newton"
    assert name_of(make_tile(defects=DefectMap(bridges=[BRIDGE]), cell=SinhCell(a=1.0))) == "direct"


def test_a_second_driver_ties_what_a_cut_leaves():
    tile = make_tile(defects=DefectMap(bridges=[BRIDGE], open_word_segments=CUT), word_line_drive="both")
    assert name_of(tile) == "conjugate gradients, bridges superposed"
    voltages = drawn_voltages(tile, 2)
    close(BehavioralEngine().read(tile, voltages), solve_directly(tile, voltages, 1e-13).column_current)


@pytest.mark.parametrize("name", TILES)
@pytest.mark.parametrize("batch", [1, 6, 100])
def test_few_and_many_vectors_give_the_same(name, batch):
    tile, engine = TILES[name], BehavioralEngine()
    voltages = drawn_voltages(tile, batch)
    close(engine.read(tile, voltages), engine.solve(tile, voltages).column_current)


@pytest.mark.parametrize("name", TILES)
@pytest.mark.parametrize("batch", [30, 100])
def test_bits_do_not_depend_on_threads(name, batch):
    cut = np.zeros((50, 60), dtype=bool)
    cut[:5, :4] = CUT
    defects = TILES[name].defects
    wide = DefectMap(bridges=defects.bridges, open_word_segments=cut if name == "direct" else None)
    tile = make_tile(seed=3, defects=wide, rows=50, columns=60)
    assert name_of(tile) == name
    voltages = drawn_voltages(tile, batch)
    one, two = BehavioralEngine(threads=1), BehavioralEngine(threads=2)
    np.testing.assert_array_equal(one.read(tile, voltages), two.read(tile, voltages))
    np.testing.assert_array_equal(one.solve(tile, voltages).power, two.solve(tile, voltages).power)


def test_transfer_of_many_tiles():
    tiles = [*TILES.values(), make_tile(seed=7, defects=DefectMap(dead_drivers=[False, True, False, False, True]))]
    engine = BehavioralEngine()
    transfer = engine.transfer(tiles)
    assert isinstance(transfer, Transfer)
    assert transfer.matrix.shape == (4, 4, 5)
    assert transfer.input_admittance.shape == (4, 5, 5)
    voltages = drawn_voltages(tiles[0], 2)
    for tile, matrix, admittance in zip(tiles, transfer.matrix, transfer.input_admittance, strict=True):
        solution = engine.solve(tile, voltages)
        close(voltages @ matrix.T, solution.column_current)
        close(np.einsum("bi,ij,bj->b", voltages, admittance, voltages), solution.power)
        close(admittance, admittance.T)
        np.testing.assert_array_equal(engine.transfer_matrix(tile), matrix)
    assert np.abs(transfer.matrix[3][:, [1, 4]]).max() == 0.0


def test_tiles_of_a_transfer_must_be_alike_and_linear():
    engine = BehavioralEngine()
    with pytest.raises(ValidationError, match="tiles must have at least one tile"):
        engine.transfer([])
    with pytest.raises(ValidationError, match="tiles must all be of 5x4"):
        engine.transfer([make_tile(), make_tile(rows=4)])
    with pytest.raises(ValidationError, match="cell must be linear for a transfer matrix"):
        engine.transfer([make_tile(), make_tile(cell=SinhCell(a=1.0))])


@pytest.mark.parametrize("bad", [{"threads": 0}, {"threads": 1.5}, {"tolerance": 0.0}, {"tolerance": float("nan")}])
def test_bad_arguments_are_refused(bad):
    with pytest.raises(ValidationError, match=f"^{next(iter(bad))} must"):
        BehavioralEngine(**bad)


def test_a_looser_tolerance_is_kept():
    tile = make_tile(rows=40, columns=40)
    voltages = drawn_voltages(tile, 2)
    exact = BehavioralEngine().solve(tile, voltages).word_line_voltage
    loose = BehavioralEngine(tolerance=1e-6).solve(tile, voltages).word_line_voltage
    assert 0.0 < np.abs(loose - exact).max() <= 1e-6 * np.abs(voltages).max()


@pytest.mark.parametrize("ohms", [1e-3, 1e-6])
def test_a_direct_solution_keeps_its_digits(ohms):
    """The wires of a cut piece that only cells of 1e-12 S tie: at 1e-6 Ω its nodal matrix is singular in doubles."""
    cut = np.zeros((3, 4), dtype=bool)
    cut[1, 2] = True
    defects = DefectMap(open_bit_segments=cut, bridges=[(("bit", 0, 2), ("bit", 1, 2), ohms)])
    spec = TileSpec(rows=3, columns=4, word_line_resistance=ohms, bit_line_resistance=ohms)
    tile = Tile(spec, np.full((3, 4), 1e-12), defects)
    close(BehavioralEngine().solve(tile, [1.0, 0.5, 0.25]).bit_line_voltage[:2, 2], [0.75, 0.75])
