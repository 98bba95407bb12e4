"""The behavioral engine against badcrossbar (Joksas and Mehonic, SoftwareX 12:100617, 2020), on its own geometry.

Its published convention is ours: a segment before each cell of a word line and after each cell of a bit line. Its
metadata asks for pycairo, which only its plots need: ``pip install --no-deps badcrossbar pathvalidate sigfig``.
"""

import logging
import warnings

import numpy as np
import pytest

from circuitmem import Tile, TileSpec
from circuitmem.engine import BehavioralEngine

with warnings.catch_warnings(record=True):  # it insists on saying that its plots lack pycairo
    badcrossbar = pytest.importorskip("badcrossbar", reason="badcrossbar is not installed")

AGREEMENT = 1e-12
"""Relative to the largest value; ten times what was seen at 48 x 40, the rounding errors of its sparse factors."""


@pytest.fixture(autouse=True)
def _quiet():
    """It reports each step at level INFO, on a handler of its own."""
    logging.disable(logging.INFO)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(
    ("shape", "word", "bit"),
    [
        ((1, 1), 0.5, 0.5),
        ((3, 5), 0.5, 0.5),
        ((5, 3), 2.0, 0.1),
        ((8, 8), 0.0, 1.5),
        ((8, 8), 1.5, 0.0),
        ((8, 4), 0.0, 0.0),
        ((16, 32), 20.0, 20.0),
        ((48, 40), 1.0, 1.0),
    ],
)
def test_currents_and_voltages(shape, word, bit):
    rng = np.random.default_rng([21, *shape])
    resistance = 10 ** rng.uniform(3, 6, shape)
    if min(shape) > 1:
        resistance[rng.random(shape) < 0.1] = np.inf
    voltages = rng.uniform(-1.0, 1.0, (3, shape[0]))
    theirs = badcrossbar.compute(voltages.T, resistance, r_i_word_line=word, r_i_bit_line=bit)

    spec = TileSpec(rows=shape[0], columns=shape[1], word_line_resistance=word, bit_line_resistance=bit)
    ours = BehavioralEngine(threads=1).solve(Tile(spec, 1.0 / resistance), voltages)
    pairs = [
        (ours.column_current, np.atleast_2d(theirs.currents.output)),
        (ours.word_line_voltage, np.moveaxis(theirs.voltages.word_line, 2, 0)),
        (ours.bit_line_voltage, np.moveaxis(theirs.voltages.bit_line, 2, 0)),
    ]
    for mine, expected in pairs:
        assert np.abs(mine - expected).max() <= AGREEMENT * np.abs(expected).max()
