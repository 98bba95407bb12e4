"""The gradient through the wire network: against complex steps, finite differences and the transfer matrix."""

import numpy as np
import pytest

from circuitmem import DefectMap, SelectorCell, SinhCell, Tile, TileSpec, TransistorCell
from circuitmem.engine import BehavioralEngine, adjoint
from circuitmem.errors import ValidationError

ACCURACY = 1e-6
"""Largest difference allowed, relative to the largest element."""

SELECTOR = SelectorCell(threshold=0.2, threshold_current=1e-4, swing=0.1)
CELLS = [None, SinhCell(a=3.0), TransistorCell(on_resistance=800.0), SELECTOR]
SHAPES = [(1, 1), (1, 6), (6, 1), (5, 4), (3, 9)]


def drawn(shape, seed=0, kind="defects", cell=None):
    rng = np.random.default_rng(seed)
    rows, columns = shape
    both = kind == "both ends"
    spec = {} if cell is None else {"cell": cell}
    if both:
        spec |= {"word_line_drive": "both", "bit_line_sense": "both"}
    word = rng.uniform(1.0, 20.0, (rows, columns + both))
    bit = rng.uniform(1.0, 20.0, (rows + both, columns))
    ideal = kind in ("ideal wires", "ideal but for the sense ends")
    if ideal:
        word, bit = 0.0, 0.0
    if kind == "some ideal":
        word, bit = word * (rng.random(word.shape) < 0.5), bit * (rng.random(bit.shape) < 0.5)
    defects = {}
    if kind in ("defects", "bridges") and min(shape) > 1:
        defects = {
            "stuck": rng.random(shape) < 0.3,
            "stuck_conductance": rng.choice([0.0, 1e-5, 1e-2], shape),
            "open_word_segments": np.arange(rows * columns).reshape(shape) == columns + 1,
            "open_bit_segments": np.arange(rows * columns).reshape(shape) == 1,
            "dead_drivers": np.arange(rows) == rows - 1,
        }
    if kind == "bridges" and min(shape) > 1:
        defects["bridges"] = [
            (("word", 0, 0), ("word", 1, 0), 40.0),
            (("bit", 0, 1), ("word", 1, columns - 1), 300.0),
        ]
    geometry = TileSpec(
        rows=rows,
        columns=columns,
        word_line_resistance=word,
        bit_line_resistance=bit,
        driver_resistance=0.0 if ideal else 7.0,
        sense_resistance=0.0 if kind == "ideal wires" else 3.0,
        **spec,
    )
    tile = Tile(geometry, rng.uniform(1e-4, 3e-3, shape), DefectMap(**defects))
    return tile, rng.uniform(-0.5, 0.5, (3, rows)), rng.uniform(-1.0, 1.0, (3, columns))


def scalar(tile, voltages, weights):
    """A scalar of the currents whose derivative is ``weights``."""
    return float((BehavioralEngine().solve(tile, voltages).column_current * weights).sum())


def with_conductance(tile, row, column, change):
    """The tile, with one cell changed for good, stuck or not."""
    defects = tile.defects
    conductance = tile.effective_conductance.copy()
    conductance[row, column] += change
    free = DefectMap(
        open_word_segments=defects.open_word_segments,
        open_bit_segments=defects.open_bit_segments,
        dead_drivers=defects.dead_drivers,
        bridges=defects.bridges,
    )
    return Tile(tile.spec, conductance, free)


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=0.0, atol=ACCURACY * np.abs(expected).max(initial=1e-30))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "kind", ["wires", "both ends", "ideal wires", "ideal but for the sense ends", "some ideal", "defects", "bridges"]
)
@pytest.mark.parametrize("cell", CELLS, ids=["linear", "sinh", "transistor", "selector"])
def test_it_is_what_finite_differences_give(shape, kind, cell):
    tile, voltages, weights = drawn(shape, 1, kind, cell)
    gradient = BehavioralEngine().gradient(tile, voltages, weights)
    expected = np.empty(shape)
    for row, column in np.ndindex(shape):
        step = 1e-4 * max(tile.effective_conductance[row, column], 1e-5)
        ends = [scalar(with_conductance(tile, row, column, k * step), voltages, weights) for k in (0, 1, 2)]
        if tile.effective_conductance[row, column] < step:  # no conductance is negative
            expected[row, column] = (4.0 * ends[1] - 3.0 * ends[0] - ends[2]) / (2.0 * step)
        else:
            below = scalar(with_conductance(tile, row, column, -step), voltages, weights)
            expected[row, column] = (ends[1] - below) / (2.0 * step)
    close(gradient.conductance, expected)
    slope = np.empty_like(voltages)
    for place in np.ndindex(voltages.shape):
        change = np.zeros_like(voltages)
        change[place] = 1e-4
        slope[place] = (scalar(tile, voltages + change, weights) - scalar(tile, voltages - change, weights)) / 2e-4
    close(gradient.voltages, slope)


def complex_currents(tile, conductance, voltages):
    """Column currents (batch, columns) from a dense nodal matrix of complex numbers; wires must have resistance."""
    mesh, (rows, columns) = tile.mesh, tile.spec.shape
    count = rows * columns
    matrix = np.zeros((2 * count, 2 * count), dtype=complex)
    source = np.zeros((len(voltages), 2 * count), dtype=complex)

    def tie(first, second, siemens):
        for a, b in ((first, second), (second, first)):
            if a is not None:
                matrix[a, a] += siemens
                if b is not None:
                    matrix[a, b] -= siemens

    for i, j in np.ndindex(rows, columns):
        word, bit = i * columns + j, count + i * columns + j
        tie(word, bit, conductance[i, j])
        near = 1.0 / mesh.word_resistance[i, j]
        tie(word, word - 1 if j else None, near)
        if j == 0:
            source[:, word] += near * voltages[:, i]
        tie(bit, bit + columns if i + 1 < rows else None, 1.0 / mesh.bit_resistance[i + 1, j])
    nodes = np.linalg.solve(matrix, source.T).T
    return nodes[:, 2 * count - columns :] / mesh.bit_resistance[-1]


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (8, 6)])
def test_it_is_what_complex_steps_give(shape):
    tile, voltages, weights = drawn(shape, 2, "wires")
    gradient = BehavioralEngine().gradient(tile, voltages, weights)
    step, expected = 1e-30, np.empty(shape)
    for row, column in np.ndindex(shape):
        conductance = tile.effective_conductance.astype(complex)
        conductance[row, column] += 1j * step
        expected[row, column] = (complex_currents(tile, conductance, voltages) * weights).sum().imag / step
    np.testing.assert_allclose(gradient.conductance, expected, rtol=0.0, atol=1e-11 * np.abs(expected).max())
    slope = np.empty_like(voltages)
    for place in np.ndindex(voltages.shape):
        moved = voltages.astype(complex)
        moved[place] += 1j * step
        slope[place] = (complex_currents(tile, tile.effective_conductance, moved) * weights).sum().imag / step
    np.testing.assert_allclose(gradient.voltages, slope, rtol=0.0, atol=1e-11 * np.abs(slope).max())


def test_dead_drivers_have_no_gradient_and_the_transfer_matrix_is_that_of_the_others():
    tile, voltages, weights = drawn((5, 4), 3, "defects")
    gradient = BehavioralEngine().gradient(tile, voltages, weights)
    assert (gradient.voltages[:, -1] == 0.0).all()
    close(gradient.voltages, weights @ BehavioralEngine().transfer_matrix(tile))


def test_one_vector_has_no_batch_and_a_batch_adds_up():
    tile, voltages, weights = drawn((5, 4), 4)
    engine = BehavioralEngine()
    single = [engine.gradient(tile, v, w) for v, w in zip(voltages, weights, strict=True)]
    assert single[0].voltages.shape == (5,)
    whole = engine.gradient(tile, voltages, weights)
    close(whole.conductance, sum(each.conductance for each in single))
    close(whole.voltages, np.array([each.voltages for each in single]))


@pytest.mark.parametrize("kind", ["ideal wires", "ideal but for the sense ends"])
@pytest.mark.parametrize("cell", [None, TransistorCell(on_resistance=800.0)], ids=["linear", "transistor"])
def test_ideal_wires_need_no_solution_and_give_what_one_would(kind, cell, monkeypatch):
    tile, voltages, weights = drawn((5, 4), 6, kind, cell)
    dead = Tile(tile.spec, tile.conductance, DefectMap(dead_drivers=np.arange(5) == 2))
    for each in (tile, dead):
        solved = BehavioralEngine(method="direct").gradient(each, voltages, weights)
        with monkeypatch.context() as patch:
            patch.setattr(BehavioralEngine, "_solve", None)
            closed = BehavioralEngine().gradient(each, voltages, weights)
        np.testing.assert_allclose(closed.conductance, solved.conductance, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(closed.voltages, solved.voltages, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("threads", [2, 3])
def test_bits_do_not_depend_on_threads(threads):
    tile, _, _ = drawn((64, 50), 5, "wires")
    rng = np.random.default_rng(0)
    voltages, weights = rng.uniform(-1, 1, (40, 64)), rng.uniform(-1, 1, (40, 50))
    one, more = (BehavioralEngine(threads=n).gradient(tile, voltages, weights) for n in (1, threads))
    np.testing.assert_array_equal(one.conductance, more.conductance)
    np.testing.assert_array_equal(one.voltages, more.voltages)


@pytest.mark.parametrize("weights", [np.ones(5), np.ones((2, 4)), np.full((3, 4), np.nan)])
def test_a_wrong_gradient_of_the_currents_is_refused(weights):
    tile, voltages, _ = drawn((5, 4))
    with pytest.raises(ValidationError, match=r"^current_gradient must"):
        BehavioralEngine().gradient(tile, voltages, weights)


@pytest.mark.parametrize("kind", ["wires", "bridges"])
@pytest.mark.parametrize("cell", CELLS, ids=["linear", "sinh", "transistor", "selector"])
def test_many_vectors_are_solved_in_parts_that_fit_into_memory(kind, cell, monkeypatch):
    tile, _, _ = drawn((5, 4), kind=kind, cell=cell)
    rng = np.random.default_rng(3)
    voltages, weights = rng.uniform(-0.5, 0.5, (9, 5)), rng.uniform(-1.0, 1.0, (9, 4))
    whole = BehavioralEngine().gradient(tile, voltages, weights)
    sizes = []
    solve = BehavioralEngine._solve
    monkeypatch.setattr(
        BehavioralEngine,
        "_solve",
        lambda self, tile, batch, *rest, **more: sizes.append(len(batch)) or solve(self, tile, batch, *rest, **more),
    )
    monkeypatch.setattr(adjoint, "NODES", 4 * 5 * 4)
    parts = BehavioralEngine().gradient(tile, voltages, weights)
    assert sizes == [4, 4, 1]
    np.testing.assert_allclose(
        parts.conductance, whole.conductance, rtol=1e-9, atol=1e-12 * np.abs(whole.conductance).max()
    )
    np.testing.assert_allclose(parts.voltages, whole.voltages, rtol=1e-9, atol=1e-12 * np.abs(whole.voltages).max())
