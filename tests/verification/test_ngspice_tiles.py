"""The behavioral engine against ngspice: the same tiles, computed by two programs that share only their description."""

import numpy as np
import pytest

from circuitmem import SelectorCell, SinhCell, TransistorCell
from circuitmem.engine import BehavioralEngine

pytestmark = pytest.mark.spice

LINEAR = 1e-9
"""Agreement of linear tiles, relative to the largest voltage or current (physics.md, section 9)."""

SINH = 1e-7
"""The same for cells with a sinh law: ngspice stops at its own tolerance and keeps 11 digits of their numbers."""


def check(tile, voltages, spice, bound):
    ours, theirs = BehavioralEngine(threads=2).solve(tile, voltages), spice.solve(tile, voltages)
    scale = np.abs(voltages).max(axis=1)
    for name in ("word_line_voltage", "bit_line_voltage"):
        difference = np.abs(getattr(ours, name) - getattr(theirs, name)).max(axis=(1, 2))
        assert (difference <= bound * scale).all(), name
    for name in ("column_current", "driver_current"):
        reference = getattr(theirs, name)
        difference = np.abs(getattr(ours, name) - reference).max(axis=1)
        assert (difference <= bound * np.abs(reference).max(axis=1)).all(), name
    np.testing.assert_allclose(ours.power, theirs.power, rtol=bound)
    np.testing.assert_array_equal(theirs.column_current, spice.read(tile, voltages))


@pytest.mark.parametrize("seed", range(30))
def test_random_tiles_with_defects(seed, spice, random_tile):
    rng = np.random.default_rng([2, seed])
    # Two of the thirty have the full size; the others anything from 2 to 32.
    shape = (32, 32) if seed < 2 else tuple(int(side) for side in rng.integers(2, 33, 2))
    tile = random_tile(rng, shape, wires=2 if seed < 2 else None)
    check(tile, rng.uniform(-0.3, 0.3, (3, shape[0])), spice, LINEAR)


@pytest.mark.slow
def test_a_tile_of_64x64_with_defects(spice, random_tile):
    rng = np.random.default_rng(64)
    tile = random_tile(rng, (64, 64), wires=2)
    check(tile, rng.uniform(0.0, 0.2, (3, 64)), spice, LINEAR)


@pytest.mark.parametrize("seed", range(10))
def test_sinh_cells_with_defects(seed, spice, random_tile):
    rng = np.random.default_rng([3, seed])
    shape = tuple(int(side) for side in rng.integers(2, 17, 2))
    tile = random_tile(rng, shape, SinhCell(a=float(rng.uniform(0.5, 8.0))))
    check(tile, rng.uniform(-0.5, 0.5, (3, shape[0])), spice, SINH)


@pytest.mark.parametrize("seed", range(6))
def test_cells_with_transistors_and_defects(seed, spice, random_tile):
    rng = np.random.default_rng([4, seed])
    shape = tuple(int(side) for side in rng.integers(2, 25, 2))
    tile = random_tile(rng, shape, TransistorCell(on_resistance=float(rng.uniform(100.0, 2e4))))
    check(tile, rng.uniform(-0.3, 0.3, (3, shape[0])), spice, LINEAR)


@pytest.mark.parametrize("seed", range(8))
def test_cells_with_selectors_and_defects(seed, spice, random_tile):
    """From far below the threshold to far above."""
    rng = np.random.default_rng([5, seed])
    shape = tuple(int(side) for side in rng.integers(2, 17, 2))
    cell = SelectorCell(threshold=float(rng.uniform(0.2, 0.8)), swing=float(rng.uniform(0.06, 0.2)))
    check(random_tile(rng, shape, cell), rng.uniform(-1.2, 1.2, (3, shape[0])), spice, SINH)
