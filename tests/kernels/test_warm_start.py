"""Solving from an estimate: the same solution in fewer iterations, and never a stale one."""

import numpy as np
import pytest

from circuitmem import DefectMap, LinearCell, SinhCell, Tile, TileSpec
from circuitmem._kernels import mesh, reference
from circuitmem._kernels.mesh import solve_mesh, solve_mesh_selector, solve_mesh_sinh
from circuitmem.engine import BehavioralEngine
from circuitmem.errors import ValidationError

SAME = 2e-12
"""Two answers of tolerance 1e-13 each, relative to the largest value. The errors of these networks are up to five times
their residuals (measured); as much again is left as room."""

SOLVERS = {
    "linear": solve_mesh,
    "sinh": lambda *given, **how: solve_mesh_sinh(*given, 3.0, **how),
    "selector": lambda *given, **how: solve_mesh_selector(*given, 1e-9, 0.04, **how),
}


def wires(shape, ohms, kind):
    rows, columns = shape
    word, bit = np.full((rows, columns + 1), ohms), np.full((rows + 1, columns), ohms)
    if kind == "ideal ends":
        word[:, 0] = bit[-1] = 0.0
    if kind == "ideal words":
        word[:, :-1] = 0.0
    if kind == "one-sided" or kind.startswith("ideal"):
        word[:, -1] = bit[0] = np.inf
    return word, bit


def state(solution):
    return np.stack([solution.word, solution.bit], axis=1)


def close(actual, expected):
    pairs = [(state(actual), state(expected))]
    pairs += [(getattr(actual, name), getattr(expected, name)) for name in ("column_current", "driver_current")]
    for ours, right in pairs:
        np.testing.assert_allclose(ours, right, rtol=0.0, atol=SAME * np.abs(right).max())


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("cell", SOLVERS)
@pytest.mark.parametrize("kind", ["one-sided", "both ends", "ideal ends", "ideal words"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 13), (32, 24)])
def test_an_estimate_changes_the_way_and_not_the_end(monkeypatch, shape, kind, cell, compiled):
    if not compiled:
        monkeypatch.setattr(mesh, "_solve", reference.solve)
    rng = np.random.default_rng([1, *shape])
    solve, (word, bit) = SOLVERS[cell], wires(shape, 5.0, kind)
    conductance, voltage = rng.uniform(1e-6, 300e-6, shape), rng.uniform(-0.5, 0.5, (3, shape[0]))
    before = solve(conductance, word, bit, voltage)
    changed = conductance * rng.uniform(0.98, 1.02, shape)
    cold = solve(changed, word, bit, voltage)
    close(solve(changed, word, bit, voltage, estimate=state(before)), cold)
    # A bad estimate costs time, not digits: other inputs, and none at all.
    other = solve(conductance, word, bit, -3.0 * voltage[::-1])
    close(solve(changed, word, bit, voltage, estimate=state(other)), cold)
    still = solve(changed, word, bit, 0.0 * voltage, estimate=state(before))
    assert not np.any(still.word)
    assert not np.any(still.column_current)


@pytest.mark.parametrize("cell", SOLVERS)
def test_it_saves_iterations(cell):
    rng = np.random.default_rng(2)
    shape = (64, 64)
    solve, (word, bit) = SOLVERS[cell], wires(shape, 2.0, "one-sided")
    conductance, voltage = rng.uniform(1e-6, 300e-6, shape), rng.uniform(0.0, 0.3, (4, shape[0]))
    before = solve(conductance, word, bit, voltage)
    changed = conductance * rng.uniform(0.999, 1.001, shape)
    cold = solve(changed, word, bit, voltage)
    warm = solve(changed, word, bit, voltage, estimate=state(before))
    assert warm.iterations.sum() < 0.8 * cold.iterations.sum()
    again = solve(changed, word, bit, voltage, estimate=state(warm))
    assert again.iterations.sum() < 0.3 * cold.iterations.sum()


def test_where_a_part_may_float_the_estimate_is_not_used():
    """A cell that opened leaves its node alone; what was there before must not stay."""
    word, bit = wires((3, 4), 1.0, "one-sided")
    bit[2, 1] = bit[3, 1] = np.inf
    conductance, voltage = np.full((3, 4), 1e-4), np.full((1, 3), 0.2)
    before = solve_mesh(conductance, word, bit, voltage)
    assert before.bit[0, 2, 1] > 0.1
    conductance[2, 1] = 0.0
    now = solve_mesh(conductance, word, bit, voltage, estimate=state(before))
    assert now.bit[0, 2, 1] == 0.0
    np.testing.assert_array_equal(now.word, solve_mesh(conductance, word, bit, voltage).word)


@pytest.mark.parametrize(
    ("estimate", "rule"),
    [
        (np.zeros((1, 2, 3, 4)), "must have shape"),
        (np.full((2, 2, 3, 4), np.nan), "must be finite"),
        (np.ones((2, 2, 3, 4)), "must have equal voltages where wires of 0 ohm join nodes"),
    ],
)
def test_bad_estimates_are_refused(estimate, rule):
    word, bit = wires((3, 4), 1.0, "ideal ends")
    with pytest.raises(ValidationError, match=f"^estimate {rule}"):
        solve_mesh(np.ones((3, 4)), word, bit, np.ones((2, 3)), estimate=estimate)


@pytest.mark.parametrize("cell", [LinearCell(), SinhCell(a=2.0)])
@pytest.mark.parametrize("single", [True, False])
def test_the_engine_starts_from_a_solution(cell, single):
    rng = np.random.default_rng(3)
    spec = TileSpec(rows=12, columns=9, word_line_resistance=2.0, bit_line_resistance=2.0, cell=cell)
    tile = Tile(spec, rng.uniform(1e-6, 1e-4, spec.shape), DefectMap.random(spec, yield_=0.8, seed=1))
    engine, voltages = BehavioralEngine(), rng.uniform(0, 0.3, spec.rows if single else (2, spec.rows))
    before = engine.solve(tile, voltages)
    tile.program(tile.conductance * 1.01)
    cold, warm = engine.solve(tile, voltages), engine.solve(tile, voltages, start=before)
    np.testing.assert_allclose(warm.column_current, cold.column_current, rtol=0, atol=SAME * cold.column_current.max())
    np.testing.assert_allclose(warm.bit_line_voltage, cold.bit_line_voltage, rtol=0, atol=SAME)


def test_a_solution_of_another_batch_is_refused():
    tile = Tile(TileSpec(rows=3, columns=2, word_line_resistance=1.0, bit_line_resistance=1.0), np.ones((3, 2)))
    before = BehavioralEngine().solve(tile, np.ones((2, 3)))
    with pytest.raises(ValidationError, match=r"^start must be a solution for the same number of voltages"):
        BehavioralEngine().solve(tile, np.ones(3), start=before)
