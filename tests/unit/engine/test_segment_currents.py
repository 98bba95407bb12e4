"""Currents of wire segments: what enters a node of a line leaves it, through its cell or along the line."""

from functools import partial

import numpy as np
import pytest
from builders import random_tile

from circuitmem import DefectMap, SinhCell
from circuitmem.engine import BehavioralEngine, SpiceEngine
from circuitmem.errors import ValidationError

ROWS, COLUMNS = 6, 5


tile = partial(random_tile, ROWS, COLUMNS, seed=3, ohms=(20.0, 30.0), between=(1e-5, 3e-4))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"driver_resistance": 50.0, "sense_resistance": 40.0},
        {"cell": SinhCell(a=2.0)},
        {"word_line_drive": "both", "bit_line_sense": "both"},
        {"word_line_resistance": np.arange(1.0, ROWS * COLUMNS + 1).reshape(ROWS, COLUMNS)},
    ],
)
def test_what_enters_a_node_leaves_it(settings):
    found = BehavioralEngine().solve(tile(**settings), np.random.default_rng(0).uniform(0.0, 0.2, (3, ROWS)))
    word, bit, cell = found.word_line_current, found.bit_line_current, found.cell_current
    assert (word.shape, bit.shape) == ((3, ROWS, COLUMNS - 1), (3, ROWS - 1, COLUMNS))
    scale = {"atol": 1e-9 * float(found.driver_current.max()), "rtol": 0.0}
    np.testing.assert_allclose(word[..., :-1] - word[..., 1:], cell[..., 1:-1], **scale)
    np.testing.assert_allclose(bit[:, 1:] - bit[:, :-1], cell[:, 1:-1], **scale)
    if "word_line_drive" not in settings:
        np.testing.assert_allclose(found.driver_current - word[..., 0], cell[..., 0], **scale)
        np.testing.assert_allclose(word[..., -1], cell[..., -1], **scale)
        np.testing.assert_allclose(found.column_current - bit[:, -1], cell[:, -1], **scale)


def test_nothing_flows_in_a_cut_segment_and_a_single_vector_has_no_batch():
    cut = np.zeros((ROWS, COLUMNS), dtype=bool)
    cut[2, 3] = True  # before cell (2, 3)
    found = BehavioralEngine().solve(tile(defects=DefectMap(open_word_segments=cut)), np.full(ROWS, 0.2))
    assert found.word_line_current.shape == (ROWS, COLUMNS - 1)
    assert found.word_line_current[2, 2] == 0.0
    assert (found.word_line_current[2, :2] > 0.0).all()


def test_an_ideal_line_does_not_say():
    found = BehavioralEngine().solve(tile(bit_line_resistance=0.0), np.full(ROWS, 0.2))
    assert found.word_line_current.min() > 0.0
    with pytest.raises(ValidationError, match=r"bit_line_resistance must be > 0 for currents of segments"):
        _ = found.bit_line_current


@pytest.mark.spice
def test_ngspice_has_the_same():
    made, voltages = tile(), np.full(ROWS, 0.2)
    ours = BehavioralEngine().solve(made, voltages)
    with SpiceEngine() as engine:
        theirs = engine.solve(made, voltages)
    for name in ("word_line_current", "bit_line_current"):
        wanted = getattr(ours, name)
        np.testing.assert_allclose(getattr(theirs, name), wanted, rtol=0.0, atol=1e-6 * wanted.max())
