"""Currents that are small beside those that circulate in a tile, against sixty decimal digits; and hard tiles."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from circuitmem import DefectMap, SelectorCell, Tile, TileSpec
from circuitmem.engine import BehavioralEngine

_spec = importlib.util.spec_from_file_location("exact_tiles", Path(__file__).with_name("exact.py"))
exact = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(exact)

AGREEMENT = 1e-9
"""Largest difference of a current, relative to the largest of its kind; what the project promises."""


def largest_error(tile, source, engine):
    """Return the largest error of column and of driver currents, relative to the largest of each."""
    found = engine.solve(tile, source)
    expected = exact.Exact(tile).solve(source, (found.word_line_voltage, found.bit_line_voltage))
    errors = [
        np.abs(ours - theirs).max() / np.abs(theirs).max()
        for ours, theirs in (
            (found.column_current, expected.column),
            (engine.read(tile, source), expected.column),
            (found.driver_current, expected.driver),
        )
    ]
    return max(errors)


@pytest.mark.parametrize("name", ["singular_factor", "selector_picoampere"])
def test_small_currents_are_right(name):
    tile, voltages = exact.load(name)
    for source in voltages:
        assert largest_error(tile, source, BehavioralEngine(threads=1)) <= AGREEMENT


def selectors(seed, bridge):
    """Draw a tile of steep selectors with 3 % of its word segments cut, and the voltages of its drivers."""
    rng = np.random.default_rng([17, seed])
    rows, columns = (int(size) for size in rng.integers(4, 17, 2))
    ends = [(str(rng.choice(["word", "bit"])), int(rng.integers(rows)), int(rng.integers(columns))) for _ in "ab"]
    spec = TileSpec(
        rows=rows,
        columns=columns,
        word_line_resistance=float(rng.uniform(0.5, 20.0)),
        bit_line_resistance=float(rng.uniform(0.5, 20.0)),
        cell=SelectorCell(threshold=float(rng.uniform(0.2, 0.6)), swing=float(rng.uniform(0.03, 0.1))),
    )
    defects = DefectMap(
        open_word_segments=rng.random((rows, columns)) < 0.03,
        bridges=[(*ends, float(10 ** rng.uniform(0, 4)))] if bridge and ends[0] != ends[1] else [],
    )
    return Tile(spec, 10 ** rng.uniform(-7, -3, (rows, columns)), defects), rng.uniform(-1.0, 1.0, rows)


@pytest.mark.parametrize("bridge", [True, False])
def test_steep_selectors_with_cut_lines_converge(bridge):
    engine = BehavioralEngine(threads=1)
    for seed in range(75):
        tile, source = selectors(seed, bridge)
        found = engine.solve(tile, source)  # or ConvergenceError
        assert (
            np.abs(found.column_current.sum() - found.driver_current.sum())
            <= AGREEMENT * np.abs(found.driver_current).max()
        )


def test_a_steep_selector_tile_is_what_sixty_digits_say():
    sizes = [selectors(seed, True)[0].spec.shape for seed in range(75)]
    small = sorted(range(75), key=lambda seed: np.prod(sizes[seed]))[:4]
    for seed in small:
        assert largest_error(*selectors(seed, True), BehavioralEngine(threads=1)) <= AGREEMENT
