"""The kernel of the row drivers' power: against its twin, and against the solved network."""

import importlib

import numpy as np
import pytest

from circuitmem import DefectMap, Tile, TileSpec
from circuitmem._kernels import rows
from circuitmem._kernels.rows import ground_resistance, row_power
from circuitmem._kernels.select import load
from circuitmem.engine import BehavioralEngine

SHAPES = [(1, 1), (1, 9), (9, 1), (8, 8), (17, 6), (64, 64)]
SOLVED = 1e-12
"""Powers are sums over the row; the engine knows voltages to 1e-13."""


def drawn(shape, seed, both, ohms=5.0):
    """A tile with ideal and cut segments, open and shorted cells, and which of them are selected."""
    rng = np.random.default_rng(seed)
    word = rng.uniform(0.0, ohms, (shape[0], shape[1] + both)) * (rng.random((shape[0], shape[1] + both)) < 0.8)
    bit = rng.uniform(0.0, ohms, (shape[0] + both, shape[1])) * (rng.random((shape[0] + both, shape[1])) < 0.8)
    ends = {"word_line_drive": "both", "bit_line_sense": "both"} if both else {}
    spec = TileSpec(rows=shape[0], columns=shape[1], word_line_resistance=word, bit_line_resistance=bit, **ends)
    cuts = {
        "open_word_segments": rng.random(shape) < 0.05 if 1 not in shape else None,
        "open_bit_segments": rng.random(shape) < 0.05 if 1 not in shape else None,
    }
    conductance = rng.choice([0.0, 1e-6, 1e-4, 1e-2], shape) * rng.uniform(0.5, 1.0, shape)
    return Tile(spec, conductance, DefectMap(**cuts)), rng.random(shape) < 0.7


def test_a_compiled_variant_runs():
    assert load("rows").module is not None


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("both", [False, True])
def test_it_is_the_power_of_the_solved_network_with_one_row_selected(shape, both):
    for seed in range(3):
        tile, selected = drawn(shape, seed, both)
        mesh = tile.mesh
        power = row_power(tile.conductance, selected, mesh.word_resistance, ground_resistance(mesh.bit_resistance), 2.0)
        for row in range(0, shape[0], max(1, shape[0] // 7)):
            alone = np.zeros(shape)
            alone[row] = np.where(selected[row], tile.conductance[row], 0.0)
            other = Tile(tile.spec, alone, tile.defects)
            solved = float(BehavioralEngine().solve(other, 2.0 * np.eye(shape[0])[row]).power)
            assert power[row] == pytest.approx(solved, rel=SOLVED, abs=SOLVED * 4.0 * alone.sum() + 1e-300)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("suffix", ["", "_v3", "_v4"])
def test_every_variant_agrees_with_the_twin(shape, both, suffix):
    cpu = importlib.import_module("circuitmem._kernels._cpu")
    if cpu.level() < {"": 1, "_v3": 3, "_v4": 4}[suffix]:
        pytest.skip("this processor cannot run it")
    module = importlib.import_module(f"circuitmem._kernels._rows{suffix}")
    tile, selected = drawn(shape, 7, both)
    mesh = tile.mesh
    given = (
        tile.conductance,
        selected.view(np.uint8),
        mesh.word_resistance,
        ground_resistance(mesh.bit_resistance),
        1.5,
    )
    np.testing.assert_allclose(module.row_power(*given), rows._reference(*given), rtol=1e-13, atol=0.0)


def test_nothing_selected_takes_no_power_and_a_second_driver_none_from_the_first():
    for both in (False, True):
        tile, _ = drawn((6, 5), 3, both)
        none = np.zeros((6, 5), dtype=bool)
        mesh = tile.mesh
        power = row_power(tile.conductance, none, mesh.word_resistance, ground_resistance(mesh.bit_resistance), 1.0)
        np.testing.assert_array_equal(power, 0.0)
