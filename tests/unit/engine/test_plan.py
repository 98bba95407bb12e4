"""How the engine chooses its way, and that every way gives the same answer."""

from functools import partial

import numpy as np
import pytest
from builders import random_tile

from circuitmem import DefectMap, SinhCell
from circuitmem.engine import BehavioralEngine
from circuitmem.errors import ValidationError

BRIDGE = (("word", 1, 2), ("word", 2, 2), 40.0)
CUT = np.arange(20).reshape(5, 4) == 6  # word line 1 before cell 2


make_tile = partial(random_tile, rows=20, columns=30, ohms=1.0)


def test_the_number_of_vectors_decides():
    engine, tile = BehavioralEngine(), make_tile()
    border = engine.plan(tile).break_even
    assert border >= 2
    assert engine.plan(tile, border - 1).method == "conjugate gradients"
    assert engine.plan(tile, border).method == "transfer matrix"
    assert engine.plan(tile, 1, known=True).method == "transfer matrix"


def test_more_iterations_lower_the_border():
    """Longer drops along the wires cost conjugate gradients more iterations, and the tree nothing."""
    engine = BehavioralEngine()
    high, low = (engine.plan(make_tile(rows=64, columns=64, ohms=ohms)).break_even for ohms in (20.0, 0.1))
    assert high < low


def test_a_plan_can_be_printed():
    tile = make_tile()
    border = BehavioralEngine().plan(tile).break_even
    assert str(BehavioralEngine().plan(tile)) == f"conjugate gradients: a transfer matrix pays from {border} vectors on"
    assert str(BehavioralEngine().plan(tile, 99)) == f"transfer matrix: it pays from {border} vectors on"
    assert str(BehavioralEngine().plan(tile, known=True)) == "transfer matrix: the transfer matrix is known"
    assert str(BehavioralEngine(method="direct").plan(tile)) == "direct: as wanted"
    assert str(BehavioralEngine().plan(make_tile(cell=SinhCell(a=1.0)))) == "newton: non-linear cells"


def test_a_plan_names_the_tolerance():
    engine, tile = BehavioralEngine(tolerance=1e-6), make_tile()
    assert engine.plan(tile).tolerance == 1e-6
    assert str(engine.plan(tile)).startswith("conjugate gradients to 1e-06: ")
    assert BehavioralEngine().plan(tile).tolerance == 1e-13


@pytest.mark.parametrize("method", ["conjugate gradients", "newton"])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-10])
def test_a_tolerance_is_kept_and_saves_work(method, tolerance):
    cell = {} if method == "conjugate gradients" else {"cell": SinhCell(a=2.0)}
    tile, voltages = make_tile(rows=48, columns=64, ohms=10.0, **cell), np.random.default_rng(2).uniform(0.0, 0.2, 48)
    exact, loose = BehavioralEngine().solve(tile, voltages), BehavioralEngine(tolerance=tolerance).solve(tile, voltages)
    for name in ("word_line_voltage", "bit_line_voltage"):
        assert np.abs(getattr(loose, name) - getattr(exact, name)).max() <= tolerance * np.abs(voltages).max()
    assert np.any(loose.bit_line_voltage != exact.bit_line_voltage)


@pytest.mark.parametrize("defects", [None, DefectMap(bridges=[BRIDGE])])
@pytest.mark.parametrize("batch", [1, 50])
def test_a_plan_can_be_overridden_and_every_way_gives_the_same(batch, defects):
    tile = make_tile(defects=defects)
    voltages = np.random.default_rng(1).uniform(-0.2, 0.2, (batch, 20))
    expected = BehavioralEngine().read(tile, voltages)
    answers = set()
    for method in ("transfer matrix", "conjugate gradients", "direct"):
        engine = BehavioralEngine(method=method)
        assert engine.plan(tile, batch).method == method
        currents = engine.read(tile, voltages)
        np.testing.assert_allclose(currents, expected, rtol=0.0, atol=1e-12 * np.abs(expected).max())
        answers.add(currents.tobytes())
    assert len(answers) > 1, "the methods must really differ"


def test_a_read_takes_the_way_of_its_plan(monkeypatch):
    tile, taken = make_tile(), []
    transfer = BehavioralEngine.transfer
    monkeypatch.setattr(BehavioralEngine, "transfer", lambda *words: (taken.append(1), transfer(*words))[1])
    border = BehavioralEngine().plan(tile).break_even
    BehavioralEngine().read(tile, np.ones((border - 1, 20)))
    assert not taken
    BehavioralEngine().read(tile, np.ones((border, 20)))
    assert taken


def test_one_vector_keeps_its_shape_whatever_the_way():
    for method in ("transfer matrix", "conjugate gradients", "direct"):
        assert BehavioralEngine(method=method).read(make_tile(), np.ones(20)).shape == (30,)


@pytest.mark.parametrize(
    ("method", "tile", "rule"),
    [
        ("transfer matrix", make_tile(cell=SinhCell(a=1.0)), "must be one of newton, direct for this tile"),
        ("newton", make_tile(), "must be one of conjugate gradients, transfer matrix, direct for this tile"),
        (
            "conjugate gradients",
            make_tile(rows=5, columns=4, defects=DefectMap(bridges=[BRIDGE], open_word_segments=CUT)),
            "must be one of direct, transfer matrix for this tile",
        ),
    ],
)
def test_a_method_that_cannot_solve_the_tile_is_refused(method, tile, rule):
    with pytest.raises(ValidationError, match=f"^method {rule}"):
        BehavioralEngine(method=method).read(tile, np.ones(tile.spec.rows))


def test_an_unknown_method_is_refused():
    with pytest.raises(ValidationError, match=r"^method must be one of .*; did you mean 'newton'"):
        BehavioralEngine(method="newtom")


def test_bridges_on_a_floating_line_go_through_the_matrix_when_there_are_many_vectors():
    tile = make_tile(rows=5, columns=4, defects=DefectMap(bridges=[BRIDGE], open_word_segments=CUT))
    assert [BehavioralEngine().plan(tile, batch).method for batch in (5, 6)] == ["direct", "transfer matrix"]


def test_single_precision_is_right_to_five_digits_and_really_single():
    tile = make_tile(rows=64, columns=48)
    double, single = (BehavioralEngine().transfer_matrix(tile, dtype) for dtype in (np.float64, np.float32))
    assert single.dtype == np.float32
    error = np.abs(single - double).max() / np.abs(double).max()
    assert 1e-9 < error < 1e-5
