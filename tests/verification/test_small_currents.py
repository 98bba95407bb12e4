"""Currents that are small beside those that circulate in a tile, against ninety decimal digits; and hard tiles."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from circuitmem import DefectMap, LinearCell, SelectorCell, SinhCell, Tile, TileSpec, TransistorCell
from circuitmem._kernels import mesh, reference
from circuitmem.engine import BehavioralEngine, direct
from circuitmem.errors import ConvergenceError, SpiceError

_spec = importlib.util.spec_from_file_location("exact_tiles", Path(__file__).with_name("exact.py"))
exact = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(exact)

AGREEMENT = 1e-9
"""Largest difference of a current, relative to the largest of its kind; what the project promises."""

EPSILON = float(np.finfo(float).eps)


def largest_error(tile, source, engine):
    """Return the largest error of column and of driver currents, relative to the largest of each."""
    found = engine.solve(tile, source)
    expected = exact.Exact(tile).solve(source, (found.word_line_voltage, found.bit_line_voltage))
    errors = [
        np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-300)
        for ours, theirs in (
            (found.column_current, expected.column),
            (engine.read(tile, source), expected.column),
            (found.driver_current, expected.driver),
        )
    ]
    assert np.isfinite(errors).all()
    return max(errors)


@pytest.fixture(params=["as chosen", "direct", "twin"])
def engine(request, monkeypatch):
    """The behavioral engine as it comes, by factoring, and with the NumPy twin of its kernel."""
    if request.param == "twin":
        monkeypatch.setattr(mesh, "_solve", reference.solve)
    return BehavioralEngine(threads=1, method="direct" if request.param == "direct" else None)


@pytest.mark.parametrize(
    "name", ["tiny_current", "sinh_small_difference", "sinh_circulating", "selector_picoampere", "singular_factor"]
)
def test_small_currents_are_right(name, engine):
    tile, voltages = exact.load(name)
    for source in voltages:
        assert largest_error(tile, source, engine) <= AGREEMENT


@pytest.mark.parametrize("solve", [mesh._solve, reference.solve])
def test_currents_that_have_not_settled_are_an_error(solve, monkeypatch):
    """The voltages are right after 4 iterations; currents need three times as many, and are right or not given."""
    (tile, voltages), enough = exact.load("tiny_current"), 15
    monkeypatch.setattr(mesh, "_solve", solve)
    right = mesh.solve_mesh(*tile.mesh, voltages)
    for limit in range(5, enough):
        with pytest.raises(ConvergenceError, match=r"^the currents of a linear tile did not converge: ") as caught:
            mesh.solve_mesh(*tile.mesh, voltages, max_iterations=limit)
        error = caught.value
        assert error.residual == pytest.approx(2.16e-8, rel=1e-2)
        assert error.iterations == limit
    found = mesh.solve_mesh(*tile.mesh, voltages, max_iterations=enough)
    np.testing.assert_array_equal(found.column_current, right.column_current)
    monkeypatch.setattr(mesh, "_solve", lambda *given: solve(*given[:9], 8, *given[10:]))
    with pytest.raises(ConvergenceError, match=r"currents of a linear tile.* > tolerance 1e-10 after 8 iterations"):
        BehavioralEngine(threads=1).solve(tile, voltages)


def test_currents_that_have_not_settled_with_bridges_are_an_error(monkeypatch):
    """Where currents shall settle to the last bit, rounding errors are left, which are none; counted, they are."""
    tile, voltages = wild(1)
    engine = BehavioralEngine(method="direct")
    monkeypatch.setattr(direct, "SETTLED", 1e-30)
    engine.solve(tile, voltages)
    monkeypatch.setattr(direct, "ROUNDING", 0.0)
    with pytest.raises(ConvergenceError, match=r"the currents of a tile with bridges .* > tolerance 1e-30") as caught:
        engine.solve(tile, voltages)
    assert 0.0 < caught.value.residual < 1e-12
    assert direct.EXTRA < caught.value.iterations < 30


@pytest.mark.spice
@pytest.mark.parametrize(
    "name", ["tiny_current", "sinh_small_difference", "sinh_circulating", "selector_picoampere", "singular_factor"]
)
def test_ngspice_agrees_as_far_as_it_can(name, spice):
    tile, voltages = exact.load(name)
    if name == "singular_factor":
        with pytest.raises(SpiceError, match="singular"):
            spice.solve(tile, voltages)
        return
    ours, theirs = BehavioralEngine().solve(tile, voltages), spice.solve(tile, voltages)
    # ngspice knows a node to a few units of the last digit, 4 pV at 1 V, and its currents are differences of such.
    with np.errstate(divide="ignore"):
        ohms = [array[np.isfinite(array) & (array > 0.0)] for array in tile.mesh[1:]]
    siemens = max((1.0 / array).max(initial=0.0) for array in ohms)
    rounding = 8 * EPSILON * np.abs(voltages).max() * siemens
    for name_ in ("column_current", "driver_current"):
        right = getattr(ours, name_)
        assert np.abs(getattr(theirs, name_) - right).max() <= AGREEMENT * np.abs(right).max() + rounding


def wild(seed):
    """Draw a small tile of anything that can be declared, of 1e-12 to 1000 S, with cuts, stuck cells and bridges."""
    rng = np.random.default_rng([99, seed])
    rows, columns = int(rng.integers(1, 6)), int(rng.integers(1, 6))
    shape = rows, columns
    both_driven, both_sensed = (bool(x) for x in rng.random(2) < 0.3)
    cells = [
        LinearCell(),
        SinhCell(a=float(10 ** rng.uniform(-5, 1))),
        TransistorCell(on_resistance=float(10 ** rng.uniform(0, 5))),
        SelectorCell(threshold=float(rng.uniform(0.2, 1.0)), swing=float(rng.uniform(0.05, 0.2))),
    ]

    def segments(shape):
        ideal = rng.choice([0.0, 0.1, 0.7])
        return np.where(rng.random(shape) < ideal, 0.0, 10 ** rng.uniform(-2, 2, shape)).tolist()

    spec = TileSpec(
        rows=rows,
        columns=columns,
        word_line_resistance=segments((rows, columns + both_driven)),
        bit_line_resistance=segments((rows + both_sensed, columns)),
        driver_resistance=float(rng.choice([0.0, 10 ** rng.uniform(-2, 4)])),
        sense_resistance=float(rng.choice([0.0, 10 ** rng.uniform(-2, 5)])),
        word_line_drive="both" if both_driven else "left",
        bit_line_sense="both" if both_sensed else "bottom",
        cell=cells[rng.integers(len(cells))],
    )
    cut_word, cut_bit = rng.random(shape) < 0.3, rng.random(shape) < 0.2
    cut_word[0, 0] = cut_bit[-1, 0] = False  # a tile must stay connected
    bridges = []
    for _ in range(rng.integers(3)):
        ends = [(str(rng.choice(["word", "bit"])), int(rng.integers(rows)), int(rng.integers(columns))) for _ in "ab"]
        if ends[0] != ends[1]:
            bridges.append((*ends, float(10 ** rng.uniform(-2, 5))))
    defects = DefectMap(
        stuck=rng.random(shape) < 0.4,
        stuck_conductance=rng.choice([0.0, 1e-12, 1e-9, 5e-4, 1e-2, 1.0, 1000.0], shape),
        open_word_segments=cut_word,
        open_bit_segments=cut_bit,
        dead_drivers=rng.random(rows) < 0.2,
        bridges=bridges,
    )
    return Tile(spec, 10 ** rng.uniform(-12, 0, shape), defects), rng.uniform(-1.0, 1.0, rows)


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_currents_of_wild_tiles(first, engine):
    for seed in range(first, first + 20):
        assert largest_error(*wild(seed), engine) <= AGREEMENT, seed


def test_bridges_are_not_superposed_where_that_leaves_no_digits():
    """Bit lines at 1e-16 V, below the tolerance of voltages, whose difference drives the current of the bridge."""
    spec = TileSpec(rows=1, columns=2, bit_line_resistance=2e-3, bit_line_sense="both", driver_resistance=2500.0)
    tile = Tile(spec, [[1e-12, 0.0]], DefectMap(bridges=[(("bit", 0, 0), ("bit", 0, 1), 0.5)]))
    assert BehavioralEngine().plan(tile).superposed_bridges
    assert largest_error(tile, [0.1], BehavioralEngine(threads=1)) <= AGREEMENT


@pytest.mark.parametrize("cell", [LinearCell(), SinhCell(a=1e-3)])
@pytest.mark.parametrize("volts", [1.0, 0.7])
def test_where_every_way_is_cut_no_current_flows(cell, volts, engine):
    """Two drivers on a bit line that leads nowhere: what is left is no current, and no power that may be negative."""
    cut = np.array([[False, False], [False, True], [True, False]])
    spec = TileSpec(rows=3, columns=2, word_line_resistance=1.3, bit_line_resistance=0.7, cell=cell)
    tile = Tile(spec, [[1e-3, 0.0], [3e-4, 0.0], [0.0, 0.0]], DefectMap(open_bit_segments=cut))
    source = np.array([volts, volts, 0.3])
    found = engine.solve(tile, source)
    assert np.abs(found.column_current).max() <= 1e-30
    assert np.abs(found.driver_current).max() <= 1e-30


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


def test_a_steep_selector_tile_is_what_ninety_digits_say():
    sizes = [selectors(seed, True)[0].spec.shape for seed in range(75)]
    small = sorted(range(75), key=lambda seed: np.prod(sizes[seed]))[:2]
    for seed in small:
        assert largest_error(*selectors(seed, True), BehavioralEngine(threads=1)) <= AGREEMENT
