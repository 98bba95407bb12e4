"""Two-pulse updates and their power: against the law cell by cell, the solved network, and their twins."""

import numpy as np
import pytest

from circuitmem import DefectMap, Tile, TileSpec
from circuitmem._kernels import pulses
from circuitmem._kernels.noise import Address, normal_table, standard_normal
from circuitmem._kernels.pulses import (
    TwoPulseLaw,
    changes,
    ground_resistance,
    reset_pulse,
    row_power,
    set_pulse,
)
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
def test_every_variant_agrees_with_the_twin(kernel_variant, shape, both):
    module = kernel_variant("pulses")
    tile, selected = drawn(shape, 7, both)
    mesh = tile.mesh
    given = (
        tile.conductance,
        selected.view(np.uint8),
        mesh.word_resistance,
        ground_resistance(mesh.bit_resistance),
        1.5,
    )
    np.testing.assert_allclose(module.row_power(*given), pulses._reference_power(*given), rtol=1e-13, atol=0.0)


def test_nothing_selected_takes_no_power_and_a_second_driver_none_from_the_first():
    for both in (False, True):
        tile, _ = drawn((6, 5), 3, both)
        none = np.zeros((6, 5), dtype=bool)
        mesh = tile.mesh
        power = row_power(tile.conductance, none, mesh.word_resistance, ground_resistance(mesh.bit_resistance), 1.0)
        np.testing.assert_array_equal(power, 0.0)


LAW = TwoPulseLaw(1e-6, 3.3e-4, 0.7, 1.6, 4e-6)
NOISE = Address((17, 4), 9)


def programmable(shape, seed, both):
    """Return what a pulse needs: states, stuck cells, wanted and asked conductance, slopes and wires."""
    tile, _ = drawn(shape, seed, both)
    rng = np.random.default_rng(seed)
    asked = rng.uniform(1e-6, 3e-4, shape)
    wanted = np.where(rng.random(shape) < 0.6, rng.uniform(-1e-5, 3.5e-4, shape), asked)
    stuck = rng.random(shape) < 0.2
    programmed = asked + rng.normal(0.0, 3e-6, shape).clip(-1e-6)
    effective = np.where(stuck, 7e-4, programmed)
    slope = 3.3e-4 * rng.uniform(0.9, 1.1, shape)
    wires = tile.mesh.word_resistance, ground_resistance(tile.mesh.bit_resistance)
    return programmed, effective, stuck, wanted, asked, slope, wires


def give(rise, state):
    """Give a pulse to copies of the state; returns conductance, effective conductance, asked, and the cells it hit."""
    programmed, effective, stuck, wanted, asked, slope, _ = state
    changed = programmed.copy(), effective.copy(), asked.copy()
    falling, changing, _ = changes(wanted, asked, 5e-6)
    if rise:
        set_pulse(*changed[:2], stuck, changing, wanted, changed[2], slope, LAW, NOISE)
    else:
        reset_pulse(*changed[:2], stuck, falling, LAW)
    return *changed, changing if rise else falling


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rise", [False, True])
def test_a_pulse_follows_the_law_cell_by_cell(shape, rise):
    state = programmable(shape, 5, False)
    programmed, effective, stuck, wanted, asked, slope, _ = state
    conductance, found, remembered, cells = give(rise, state)
    noise = standard_normal(NOISE, programmed.size).reshape(shape)
    hit = np.zeros(shape, dtype=bool)
    for place in np.ndindex(shape):
        change, left = wanted[place] - asked[place], programmed[place]
        if rise and abs(change) > 5e-6:
            gate = min(max(0.7 + (wanted[place] - 1e-6) / 3.3e-4, 0.7), 1.6)
            left = max(max(1e-6 + slope[place] * (gate - 0.7), left) + 4e-6 * noise[place], 0.0)
            hit[place] = True
        elif not rise and change < -5e-6:
            left = min(left, 1e-6)
            hit[place] = True
        assert conductance[place] == pytest.approx(left, rel=1e-12)
        assert found[place] == (effective[place] if stuck[place] else conductance[place])
        assert remembered[place] == (wanted[place] if rise and hit[place] else asked[place])
    np.testing.assert_array_equal(cells, hit)
    counts = changes(wanted, asked, 5e-6)[2]
    np.testing.assert_array_equal(counts[int(rise)], hit.sum(axis=1))
    assert hit.any() or min(shape) == 1


def test_one_array_may_be_both_states():
    programmed, _, _, wanted, asked, slope, _ = programmable((9, 7), 3, False)
    none = np.zeros((9, 7), dtype=bool)
    apart, together = programmed.copy(), programmed.copy()
    cells = changes(wanted, asked, 5e-6)[1]
    for first, second in ((apart, apart.copy()), (together, together)):
        reset_pulse(first, second, none, cells, LAW)
        set_pulse(first, second, none, cells, wanted, asked.copy(), slope, LAW, NOISE)
        np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(apart, together)


@pytest.mark.parametrize("shape", SHAPES)
def test_pulses_of_every_variant_agree_with_the_twin(kernel_variant, shape):
    module = kernel_variant("pulses")
    programmed, effective, stuck, wanted, asked, slope, _ = programmable(shape, 8, True)
    for found, expected in zip(
        module.changes(wanted, asked, 5e-6), pulses._reference_changes(wanted, asked, 5e-6), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    falling, changing, _ = changes(wanted, asked, 5e-6)
    ends = []
    for reset, raise_ in (
        (module.reset_pulse, module.set_pulse),
        (pulses._reference_reset, pulses._reference_set),
    ):
        changed = programmed.copy(), effective.copy(), asked.copy()
        reset(*changed[:2], stuck.view(np.uint8), falling.view(np.uint8), 1e-6)
        masks = stuck.view(np.uint8), changing.view(np.uint8)
        raise_(*changed[:2], *masks, wanted, changed[2], slope, LAW, normal_table(), 17, 4, 9)
        ends.append(changed)
    for found, expected in zip(*ends, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-24)
