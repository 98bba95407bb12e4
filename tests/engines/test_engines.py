"""What every engine must do. Expected values are worked out by hand, or follow from conservation alone."""

from functools import partial

import numpy as np
import pytest
from builders import random_tile
from scipy.optimize import brentq

from circuitmem import DefectMap, SinhCell, Tile, TileSpec
from circuitmem.config import Pulse, PulseTrain, YakopcicSpec
from circuitmem.device import conductance
from circuitmem.engine import Engine, Solution
from circuitmem.errors import ValidationError

LINEAR = 1e-9
"""Agreement of linear tiles, relative to the largest current or voltage (physics.md, section 9)."""

NON_LINEAR = 1e-7
"""Agreement of tiles whose cells are not linear (the same)."""


make_tile = partial(random_tile, rows=4, columns=3, ohms=(1.5, 2.0))


def ideal_tile(conductance, defects=None, **spec):
    rows, columns = np.shape(conductance)
    return Tile(TileSpec(rows=rows, columns=columns, **spec), conductance, defects)


def drawn_voltages(tile, batch=3, seed=1):
    return np.random.default_rng(seed).uniform(-0.2, 0.2, (batch, tile.spec.rows))


def close(actual, expected, tolerance=LINEAR):
    """Agree to the tolerance, relative to the largest expected value."""
    expected = np.asarray(expected)
    np.testing.assert_allclose(actual, expected, rtol=0.0, atol=tolerance * np.abs(expected).max())


EVERYTHING = DefectMap(
    stuck=np.eye(4, 3, dtype=bool),
    stuck_conductance=0.01,
    open_word_segments=np.arange(12).reshape(4, 3) == 4,
    open_bit_segments=np.arange(12).reshape(4, 3) == 5,
    bridges=[(("word", 2, 1), ("word", 3, 1), 50.0), (("word", 0, 2), ("bit", 3, 0), 500.0)],
    dead_drivers=[False, False, True, False],
)


def test_it_is_an_engine_with_a_name(engine):
    assert isinstance(engine, Engine)
    assert engine.name


def test_ideal_wires_give_the_product(engine):
    tile = ideal_tile(make_tile().conductance)
    voltages = drawn_voltages(tile)
    solution = engine.solve(tile, voltages)
    close(solution.column_current, voltages @ tile.conductance)
    close(solution.driver_current, voltages * tile.conductance.sum(axis=1))
    close(solution.word_line_voltage, np.repeat(voltages[:, :, None], 3, axis=2))
    assert np.abs(solution.bit_line_voltage).max() == 0.0


def test_one_cell_in_series_with_everything(engine):
    tile = ideal_tile(
        [[0.1]], word_line_resistance=1.0, bit_line_resistance=2.0, driver_resistance=3.0, sense_resistance=4.0
    )
    solution = engine.solve(tile, [1.0])
    current = 1.0 / (3 + 1 + 10 + 2 + 4)
    close(solution.column_current, [current])
    close(solution.driver_current, [current])
    close(solution.word_line_voltage, [[1.0 - 4 * current]])
    close(solution.bit_line_voltage, [[6 * current]])
    close(solution.power, current)


def test_both_ends_halve_the_resistance(engine):
    tile = ideal_tile(
        [[0.1]],
        word_line_resistance=[[1.0, 6.0]],
        bit_line_resistance=[[7.0], [2.0]],
        driver_resistance=3.0,
        sense_resistance=4.0,
        word_line_drive="both",
        bit_line_sense="both",
    )
    current = 1.0 / (1 / (1 / 4 + 1 / 9) + 10 + 1 / (1 / 11 + 1 / 6))
    solution = engine.solve(tile, [1.0])
    close(solution.column_current, [current])
    close(solution.driver_current, [current])
    close(solution.power, current)


def test_segments_have_their_places(engine):
    """Only the segment before cell (0, 1) and the one after cell (1, 1) have a resistance."""
    word, bit = np.zeros((2, 2)), np.zeros((2, 2))
    word[0, 1], bit[1, 1] = 100.0, 50.0
    tile = ideal_tile(np.full((2, 2), 0.01), word_line_resistance=word, bit_line_resistance=bit)
    solution = engine.solve(tile, [1.0, 0.0])
    b = 1 / 200 / (1 / 200 + 1 / 100 + 1 / 50)  # column 1: 200 Ω from 1 V, 100 Ω to row 1 at 0 V, 50 Ω to ground
    close(solution.bit_line_voltage, [[0.0, b], [0.0, b]])
    close(solution.word_line_voltage, [[1.0, (1.0 + b) / 2], [0.0, 0.0]])
    close(solution.column_current, [0.01, b / 50])


def test_one_non_linear_cell(engine):
    tile = ideal_tile([[1e-3]], cell=SinhCell(a=5.0), word_line_resistance=100.0, bit_line_resistance=200.0)
    current = brentq(lambda i: i - 1e-3 * np.sinh(5.0 * (0.5 - 300.0 * i)) / 5.0, 0.0, 0.5 / 300, xtol=1e-18)
    solution = engine.solve(tile, [[0.5], [-0.5]])
    close(solution.column_current, [[current], [-current]], NON_LINEAR)
    close(solution.word_line_voltage[0], [[0.5 - 100.0 * current]], NON_LINEAR)


def test_stuck_open_and_shorted_cells(engine):
    stuck = np.array([[True, False], [True, True]])
    defects = DefectMap(stuck=stuck, stuck_conductance=[[5e-4, 9.0], [0.0, 1.0]])
    tile = ideal_tile(np.full((2, 2), 1e-4), defects)
    close(engine.read(tile, [1.0, 2.0]), [5e-4, 1e-4 + 2.0])


def test_a_dead_driver_holds_its_line_at_zero(engine):
    tile = ideal_tile(np.full((2, 2), 1e-4), DefectMap(dead_drivers=[True, False]), bit_line_resistance=1000.0)
    reference = ideal_tile(np.full((2, 2), 1e-4), bit_line_resistance=1000.0)
    solution = engine.solve(tile, [1.0, 2.0])
    close(solution.column_current, engine.read(reference, [0.0, 2.0]))
    assert solution.driver_current[0] < 0.0  # current flows back into it
    close(solution.power, 2.0 * solution.driver_current[1])


def test_dead_senses_do_not_change_currents(engine):
    voltages = drawn_voltages(make_tile())
    alive = engine.read(make_tile(), voltages)
    np.testing.assert_array_equal(engine.read(make_tile(defects=DefectMap(dead_senses=[1, 0, 1])), voltages), alive)


def test_a_cut_word_line(engine):
    cut = np.array([[False, True, False], [False, False, False]])
    tile = ideal_tile(np.full((2, 3), 1e-3), DefectMap(open_word_segments=cut), bit_line_resistance=10.0)
    solution = engine.solve(tile, [1.0, 0.0])
    # Behind the cut, cells 1 and 2 of row 0 tie together bit lines that are at 0 V.
    assert np.abs(solution.column_current[1:]).max() <= LINEAR * solution.column_current[0]
    assert np.abs(solution.word_line_voltage[0, 1:]).max() <= LINEAR


def test_a_cut_bit_line(engine):
    cut = np.array([[True], [False]])
    tile = ideal_tile([[1e-3], [2e-3]], DefectMap(open_bit_segments=cut))
    solution = engine.solve(tile, [1.0, 3.0])
    close(solution.column_current, [6e-3])
    close(solution.bit_line_voltage, [[1.0], [0.0]])  # the upper piece takes the voltage of the only cell on it
    assert abs(solution.driver_current[0]) <= LINEAR * 6e-3


def test_parts_that_nothing_ties_are_at_zero_volts(engine):
    """Cell (0, 1) joins a cut piece of a word line to a cut piece of a bit line, and nothing else does."""
    defects = DefectMap(open_word_segments=[[0, 1], [0, 0]], open_bit_segments=[[0, 1], [0, 0]])
    solution = engine.solve(ideal_tile([[1e-3, 1e-3], [1e-3, 0.0]], defects), [1.0, 1.0])
    assert solution.word_line_voltage[0, 1] == 0.0
    assert solution.bit_line_voltage[0, 1] == 0.0
    close(solution.column_current, [2e-3, 0.0])


@pytest.mark.parametrize("cell", [{}, {"cell": SinhCell(a=1e-6)}])
def test_a_bridge_between_word_lines(engine, cell):
    """With 1e-6 per volt the cells are linear for all that can be seen, but not to the engine."""
    defects = DefectMap(bridges=[(("word", 0, 0), ("word", 1, 0), 30.0)])
    tile = ideal_tile([[0.01], [0.02]], defects, driver_resistance=10.0, **cell)
    matrix = [[1 / 10 + 0.01 + 1 / 30, -1 / 30], [-1 / 30, 1 / 10 + 0.02 + 1 / 30]]
    nodes = np.linalg.solve(matrix, [0.1, 0.0])
    solution = engine.solve(tile, [1.0, 0.0])
    tolerance = NON_LINEAR if cell else LINEAR
    close(solution.word_line_voltage[:, 0], nodes, tolerance)
    close(solution.column_current, [nodes @ [0.01, 0.02]], tolerance)
    close(solution.driver_current, ([1.0, 0.0] - nodes) / 10, tolerance)


def test_a_bridge_onto_a_floating_piece(engine):
    """It ties the piece, which nothing else does: the cell on the piece then carries current."""
    defects = DefectMap(open_word_segments=[[1], [0]], bridges=[(("word", 0, 0), ("word", 1, 0), 100.0)])
    tile = ideal_tile([[0.01], [0.0]], defects)
    close(engine.read(tile, [5.0, 1.0]), [1.0 / 200])


def test_a_bridge_between_bit_lines(engine):
    defects = DefectMap(bridges=[(("bit", 0, 0), ("bit", 0, 1), 10.0)])
    tile = ideal_tile([[0.1, 0.0]], defects, sense_resistance=20.0)
    # 10 Ω, then 20 Ω beside 10 + 20 Ω
    current = 1.0 / (10 + 1 / (1 / 20 + 1 / 30))
    close(engine.read(tile, [1.0]), [current * 0.6, current * 0.4])


@pytest.mark.parametrize("defects", [None, EVERYTHING])
@pytest.mark.parametrize("cell", [{}, {"cell": SinhCell(a=3.0)}])
def test_currents_and_power_balance(engine, defects, cell):
    tile = make_tile(defects=defects, driver_resistance=20.0, sense_resistance=5.0, **cell)
    voltages = drawn_voltages(tile)
    solution = engine.solve(tile, voltages)
    scale = np.abs(solution.driver_current).max()
    lost = solution.driver_current.sum(axis=1) - solution.column_current.sum(axis=1)
    assert np.abs(lost).max() <= LINEAR * scale
    driven = tile.input_voltages(voltages)
    close(solution.power, (driven * solution.driver_current).sum(axis=1))
    assert solution.power.min() > 0.0


@pytest.mark.parametrize("defects", [None, EVERYTHING])
def test_the_transfer_matrix_reproduces_reads(engine, defects):
    tile = make_tile(defects=defects, driver_resistance=20.0)
    voltages = drawn_voltages(tile, batch=50)
    matrix = engine.transfer_matrix(tile)
    assert matrix.shape == (3, 4)
    close(voltages @ matrix.T, engine.read(tile, voltages))


def test_there_is_no_transfer_matrix_of_non_linear_cells(engine):
    with pytest.raises(ValidationError, match="cell must be linear"):
        engine.transfer_matrix(make_tile(cell=SinhCell(a=1.0)))


@pytest.mark.parametrize("defects", [None, EVERYTHING])
@pytest.mark.parametrize("cell", [{}, {"cell": SinhCell(a=2.0)}])
def test_shapes_with_and_without_a_batch(engine, defects, cell):
    tile = make_tile(defects=defects, **cell)
    voltages = drawn_voltages(tile)
    many, one = engine.solve(tile, voltages), engine.solve(tile, voltages[0])
    assert isinstance(many, Solution)
    shapes = {
        "column_current": (3,),
        "driver_current": (4,),
        "word_line_voltage": (4, 3),
        "bit_line_voltage": (4, 3),
        "power": (),
    }
    for name, shape in shapes.items():
        assert np.shape(getattr(many, name)) == (3, *shape)
        assert np.shape(getattr(one, name)) == shape
        close(getattr(one, name), getattr(many, name)[0])
    assert engine.read(tile, voltages).shape == (3, 3)
    assert engine.read(tile, voltages[0]).shape == (3,)
    close(engine.read(tile, voltages), many.column_current)


@pytest.mark.parametrize("defects", [None, EVERYTHING])
@pytest.mark.parametrize("cell", [{}, {"cell": SinhCell(a=2.0)}])
def test_an_empty_batch(engine, defects, cell):
    tile = make_tile(defects=defects, **cell)
    assert engine.read(tile, np.zeros((0, 4))).shape == (0, 3)
    assert engine.solve(tile, np.zeros((0, 4))).word_line_voltage.shape == (0, 4, 3)
    assert engine.solve(tile, np.zeros((0, 4))).power.shape == (0,)


@pytest.mark.parametrize("defects", [None, EVERYTHING])
@pytest.mark.parametrize("cell", [{}, {"cell": SinhCell(a=2.0)}])
def test_no_conductance_and_no_voltage_give_no_current(engine, defects, cell):
    tile = make_tile(defects=defects, **cell)
    assert np.abs(engine.solve(tile, np.zeros(4)).word_line_voltage).max() == 0.0
    dark = Tile(tile.spec, np.zeros((4, 3)))
    assert np.abs(engine.read(dark, np.ones(4))).max() == 0.0
    close(engine.solve(dark, np.ones(4)).word_line_voltage, np.ones((4, 3)))


@pytest.mark.parametrize("cell", [{}, {"cell": SinhCell(a=2.0)}])
def test_answers_do_not_depend_on_calls_before_and_leave_the_tile(engine, cell):
    tile, other = make_tile(defects=EVERYTHING, **cell), make_tile(rows=2, columns=5, seed=9)
    voltages = drawn_voltages(tile)
    before = (tile.conductance.copy(), tile.version)
    first = engine.solve(tile, voltages)
    engine.read(other, np.ones(2))
    tile.program(tile.conductance)
    second = engine.solve(tile, voltages)
    np.testing.assert_array_equal(first.column_current, second.column_current)
    np.testing.assert_array_equal(first.word_line_voltage, second.word_line_voltage)
    np.testing.assert_array_equal(before[0], tile.conductance)
    assert tile.version == before[1] + 1


def test_programming_changes_the_answer(engine):
    tile = ideal_tile([[1e-4]])
    close(engine.read(tile, [1.0]), [1e-4])
    tile.program([[2e-4]])
    close(engine.read(tile, [1.0]), [2e-4])


@pytest.mark.parametrize(
    "voltages",
    [np.ones(3), np.ones((2, 5)), np.ones((1, 1, 4)), [1.0, np.nan, 0.0, 0.0], [np.inf, 0.0, 0.0, 0.0], ["a"] * 4],
)
def test_bad_voltages_are_refused(engine, voltages):
    with pytest.raises(ValidationError, match=r"^voltages must"):
        engine.read(make_tile(), voltages)
    with pytest.raises(ValidationError, match=r"^voltages must"):
        engine.solve(make_tile(), voltages)


def test_a_pulse_moves_the_selected_device_as_its_equation_says(engine):
    device = YakopcicSpec.preset("Oblea")
    voltage, width, rise, threshold = 0.6, 3e-5, 1e-5, device.positive_threshold
    spec = TileSpec(rows=2, columns=2, cell=device.cell)
    tile = Tile(
        spec, conductance(device, np.full((2, 2), 0.05)), DefectMap(stuck=[[0, 0], [0, 1]], stuck_conductance=1e-4)
    )
    pulse = Pulse(amplitude=voltage, width=width, rise=rise, rows=(0,), columns=(0,), scheme="v/3")
    result = engine.program(tile, PulseTrain(device=device, pulses=(pulse, pulse)), samples=2)

    def moved(volt):
        # Below positive_limit nothing slows the device: the integral of e^V - e^Vp over plateau and slopes.
        push = np.exp(volt) - np.exp(threshold)
        slopes = 2.0 * rise * (push / volt - np.exp(threshold) * (1.0 - threshold / volt))
        return 2.0 * device.positive_rate * (width * push + slopes)

    third = moved(voltage / 3.0)
    expected = 0.05 + np.array([[moved(voltage), third], [third, 0.0]])
    # margin: the tolerance with which ngspice steps in time, over two pulses; the same on every machine.
    np.testing.assert_allclose(result.state, expected, rtol=0.0, atol=1e-4)
    assert expected.max() < device.positive_limit
    np.testing.assert_allclose(result.conductance[1, 1], tile.conductance[1, 1])
    np.testing.assert_allclose(result.time[[0, 3, -1]], [0.0, 5e-5, 1e-4])
    assert result.trajectory.shape == (7, 2, 2)
    assert result.energy > 0.0
    np.testing.assert_allclose(tile.conductance, conductance(device, np.full((2, 2), 0.05)))
