"""Tiles whose memristors have a transistor or a selector in series."""

import numpy as np
import pytest

from circuitmem import DefectMap, LinearCell, SelectorCell, Tile, TileSpec, TransistorCell
from circuitmem.engine import BehavioralEngine, TransferCache

SHAPE = (17, 12)


def tile_of(cell, conductance, **defects):
    spec = TileSpec(rows=17, columns=12, word_line_resistance=2.0, bit_line_resistance=3.0, cell=cell)
    return Tile(spec, conductance, DefectMap(**defects))


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    stuck = rng.random(SHAPE) < 0.2
    values = rng.choice([0.0, 1e-8, 0.1], SHAPE)
    bridges = [(("word", 0, 1), ("word", 1, 1), 40.0)]
    defects = {"stuck": stuck, "stuck_conductance": values, "bridges": bridges}
    return rng.uniform(1e-6, 300e-6, SHAPE), defects, rng.uniform(-0.3, 0.3, (5, 17))


def test_a_transistor_makes_another_linear_tile(drawn):
    """With every stuck memristor behind its transistor, too; by transfer matrix and vector by vector."""
    conductance, defects, voltages = drawn
    cell, engine = TransistorCell(on_resistance=3e3), BehavioralEngine()
    with_transistors = tile_of(cell, conductance, **defects)
    behind = cell.mesh_conductance(defects["stuck_conductance"])
    plain = tile_of(LinearCell(), cell.mesh_conductance(conductance), **(defects | {"stuck_conductance": behind}))
    np.testing.assert_array_equal(engine.transfer_matrix(with_transistors), engine.transfer_matrix(plain))
    np.testing.assert_array_equal(engine.read(with_transistors, voltages), engine.read(plain, voltages))
    np.testing.assert_array_equal(with_transistors.effective_conductance[defects["stuck"]].max(), 0.1)


def test_no_on_resistance_is_a_linear_cell(drawn):
    conductance, defects, voltages = drawn
    engine = BehavioralEngine()
    ours, plain = (
        engine.read(tile_of(c, conductance, **defects), voltages)
        for c in (TransistorCell(on_resistance=0.0), LinearCell())
    )
    np.testing.assert_array_equal(ours, plain)


def test_matrices_kept_up_to_date_know_the_transistors(drawn):
    conductance, _, _ = drawn
    tile, cache = tile_of(TransistorCell(on_resistance=5e3), conductance), TransferCache(BehavioralEngine(), 1e-6)
    cache.get(0, tile)
    rng = np.random.default_rng(1)
    for _ in range(10):
        changed = tile.conductance.copy()
        changed[rng.integers(17), rng.integers(12)] *= 1.5
        tile.program(changed)
        matrix, _ = cache.get(0, tile)
    assert cache.record.cells == 10
    exact = BehavioralEngine().transfer_matrix(tile)
    np.testing.assert_allclose(matrix, exact, rtol=0.0, atol=1e-12 * exact.max())


def test_both_ways_through_selectors_agree(drawn):
    """Newton's method in the kernel, and by factoring the whole network."""
    conductance, defects, voltages = drawn
    del defects["bridges"]
    tile = tile_of(SelectorCell(threshold=0.2), conductance, **defects)
    ours, direct = (BehavioralEngine(method=method).solve(tile, 3.0 * voltages) for method in ("newton", "direct"))
    for name in ("word_line_voltage", "bit_line_voltage", "column_current"):
        expected = getattr(direct, name)
        np.testing.assert_allclose(getattr(ours, name), expected, rtol=0.0, atol=1e-11 * np.abs(expected).max())


def test_a_selector_blocks_a_tile_below_its_threshold(drawn):
    """Half-selected cells leak by orders of magnitude less than those of a tile without selectors."""
    conductance, _, voltages = drawn
    engine = BehavioralEngine()
    quiet = engine.read(tile_of(SelectorCell(threshold=0.6, swing=0.06), conductance), voltages)
    loud = engine.read(tile_of(LinearCell(), conductance), voltages)
    assert np.abs(quiet).max() < 1e-4 * np.abs(loud).max()
