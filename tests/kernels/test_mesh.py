"""The mesh kernel: against its NumPy twin, and against exact elimination in extended precision."""

import numpy as np
import pytest

from circuitmem import Tile, TileSpec
from circuitmem._kernels import mesh, reference
from circuitmem._kernels.mesh import MeshSolution, solve_mesh, solve_mesh_selector, solve_mesh_sinh
from circuitmem.engine.direct import solve_directly
from circuitmem.errors import ConvergenceError, ValidationError

TWINS = 1e-12
"""Two answers of tolerance 1e-13 each, and rounding errors; relative to the largest value."""

EXACT = 1e-12
"""Ten times the tolerance of a voltage, because currents are sums over many nodes; relative to the largest value."""

SHAPES = [(1, 1), (1, 7), (7, 1), (8, 8), (9, 17), (3, 200), (200, 3), (64, 64)]


def wires(shape, ohms, rng=None, cut=0.0, ideal=0.0, both=False):
    rows, columns = shape
    word, bit = np.full((rows, columns + 1), ohms), np.full((rows + 1, columns), ohms)
    if rng is not None:
        word *= rng.uniform(0.5, 2.0, word.shape)
        bit *= rng.uniform(0.5, 2.0, bit.shape)
        for array in (word, bit):
            array[rng.random(array.shape) < ideal] = 0.0
            array[rng.random(array.shape) < cut] = np.inf
    if not both:
        word[:, -1] = bit[0] = np.inf
    return word, bit


def close(actual, expected, tolerance):
    np.testing.assert_allclose(actual, expected, rtol=0.0, atol=tolerance * np.abs(expected).max(initial=1e-300))


def agree(actual, expected, tolerance=TWINS):
    voltages = [np.stack([solution.word, solution.bit]) for solution in (actual, expected)]
    close(*voltages, tolerance)
    close(actual.column_current, expected.column_current, tolerance)
    close(actual.driver_current, expected.driver_current, tolerance)


def twin(conductance, word, bit, voltage, injection=None, a=0.0, leak=0.0):
    """Return what the reference computes."""
    cells = np.array(conductance, dtype=float)
    extra = np.empty((0, 2, *cells.shape[-2:])) if injection is None else injection
    cells = cells if cells.ndim == 3 else cells[None]
    return MeshSolution(
        *reference.solve(cells, word, bit, voltage, extra, extra[:0], a, leak, mesh.TOLERANCE, 20_000, 1, True)
    )


def exact(conductance, word, bit, voltage):
    """Eliminate every node in extended precision, subtracting nothing: exact for any values."""
    rows, columns = conductance.shape
    known = rows + columns
    w = known + np.arange(rows * columns).reshape(rows, columns)
    b = w + rows * columns
    chain = np.column_stack([np.arange(rows), w, np.arange(rows)])
    fall = np.vstack([rows + np.arange(columns), b, rows + np.arange(columns)])
    first = np.concatenate([chain[:, :-1].ravel(), fall[:-1].ravel()])
    second = np.concatenate([chain[:, 1:].ravel(), fall[1:].ravel()])
    ohms = np.concatenate([word.ravel(), bit.ravel()])
    leader = np.arange(known + 2 * rows * columns)
    for p, q in zip(first[ohms == 0.0], second[ohms == 0.0], strict=True):
        low, high = sorted((leader[p], leader[q]))
        leader[leader == high] = low
    ties = np.zeros((len(leader), len(leader)), dtype=np.longdouble)
    live = (ohms > 0.0) & np.isfinite(ohms)
    pairs = [
        (first[live], second[live], 1 / ohms[live].astype(np.longdouble)),
        (w.ravel(), b.ravel(), conductance.ravel()),
    ]
    for p, q, siemens in pairs:
        np.add.at(ties, (leader[p], leader[q]), siemens)
        np.add.at(ties, (leader[q], leader[p]), siemens)
    np.fill_diagonal(ties, 0.0)
    steps = []
    for node in np.unique(leader)[::-1]:
        if node >= known:
            row = ties[node].copy()
            total = row.sum()
            steps.append((node, row, total))
            if total > 0.0:
                ties += np.outer(row, row) / total
            ties[node] = ties[:, node] = 0.0
            np.fill_diagonal(ties, 0.0)
    volts = np.zeros((len(voltage), len(leader)), dtype=np.longdouble)
    volts[:, :rows] = voltage
    for node, row, total in reversed(steps):
        volts[:, node] = volts @ row / total if total > 0.0 else 0.0
    into = (ties[None] * (volts[:, None, :] - volts[:, :, None])).sum(axis=2)
    volts = volts[:, leader]
    none = np.empty(0)
    return MeshSolution(volts[:, w], volts[:, b], into[:, rows:known], -into[:, :rows], none, none, none)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["plain", "ideal words", "ideal bits", "ideal", "cut", "both ends", "strong"])
def test_twins_agree_on_linear_tiles(shape, kind):
    rng = np.random.default_rng([1, *shape])
    conductance = rng.uniform(1e-6, 300e-6, shape)
    word, bit = wires(shape, 2.0, rng, both=kind == "both ends")
    if kind == "cut":
        word, bit = wires(shape, 2.0, rng, cut=0.1, ideal=0.1)
        conductance[rng.random(shape) < 0.2] = 0.0
    if kind in ("ideal words", "ideal"):
        word[np.isfinite(word)] = 0.0
    if kind in ("ideal bits", "ideal"):
        bit[np.isfinite(bit)] = 0.0
    if kind == "strong":
        word, bit = wires(shape, 20.0, rng)
        conductance = 10 ** rng.uniform(-12, 0, shape)
    voltage = rng.uniform(-1, 1, (3, shape[0]))
    ours = solve_mesh(conductance, word, bit, voltage, threads=2)
    agree(ours, twin(conductance, word, bit, voltage))
    # margin: iterations end as soon as the residual is below it, so all of it may be used.
    assert ours.residual.max() <= mesh.TOLERANCE


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("a", [0.1, 3.0, 30.0])
def test_twins_agree_on_sinh_tiles(shape, a):
    rng = np.random.default_rng([2, *shape])
    conductance = rng.uniform(0.0, 300e-6, shape)
    word, bit = wires(shape, 2.0, rng, cut=0.02, ideal=0.1)
    voltage = rng.uniform(-0.3, 0.3, (2, shape[0]))
    agree(
        solve_mesh_sinh(conductance, word, bit, voltage, a, threads=2),
        twin(conductance, word, bit, voltage, a=a),
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("leak", "scale"), [(1e-6, 0.2), (1e-12, 0.03), (1e-20, 0.02)])
def test_twins_agree_on_tiles_of_selectors(shape, leak, scale):
    rng = np.random.default_rng([5, *shape])
    conductance = rng.uniform(0.0, 300e-6, shape)
    word, bit = wires(shape, 2.0, rng, cut=0.02, ideal=0.1)
    voltage = rng.uniform(-1.0, 1.0, (2, shape[0]))
    agree(
        solve_mesh_selector(conductance, word, bit, voltage, leak, scale, threads=2),
        twin(conductance, word, bit, voltage, a=1.0 / scale, leak=leak),
    )


@pytest.mark.parametrize("shape", [(1, 1), (5, 9), (16, 16)])
def test_twins_agree_on_conductances_and_injections_of_each_vector(shape):
    rng = np.random.default_rng([3, *shape])
    conductance = rng.uniform(1e-6, 1e-3, (4, *shape))
    word, bit = wires(shape, 5.0, rng, ideal=0.2)
    injection = rng.normal(0.0, 1e-5, (4, 2, *shape))
    voltage = rng.uniform(-0.3, 0.3, (4, shape[0]))
    ours = solve_mesh(conductance, word, bit, voltage, injection=injection)
    agree(ours, twin(conductance, word, bit, voltage, injection))
    each = [solve_mesh(conductance[k], word, bit, voltage[k : k + 1], injection=injection[k : k + 1]) for k in range(4)]
    np.testing.assert_array_equal(ours.bit, np.concatenate([one.bit for one in each]))
    agree(
        solve_mesh_sinh(conductance[0], word, bit, voltage, 5.0, injection=injection),
        twin(conductance[0], word, bit, voltage, injection, a=5.0),
    )


@pytest.mark.parametrize("kind", ["all open", "all short", "one ohm of each", "dark"])
@pytest.mark.parametrize("shape", [(1, 1), (6, 11)])
def test_extreme_cells(kind, shape):
    rng = np.random.default_rng(4)
    word, bit = wires(shape, 10.0)
    conductance = {"all open": 0.0, "all short": 1e6, "one ohm of each": 1.0, "dark": 1e-12}[kind]
    conductance = np.full(shape, conductance)
    voltage = rng.uniform(-1, 1, (2, shape[0]))
    ours = solve_mesh(conductance, word, bit, voltage)
    agree(ours, exact(conductance, word, bit, voltage), EXACT)
    agree(ours, twin(conductance, word, bit, voltage))


@pytest.mark.parametrize("solver", [solve_mesh, twin])
@pytest.mark.parametrize("ohms", [1e-6, 1.0, 20.0, 1e4])
@pytest.mark.parametrize("cells", ["mixed", "two kinds", "half open", "shorts"])
@pytest.mark.parametrize("cut", [0.0, 0.05, 0.3])
def test_exact_whatever_the_values(solver, ohms, cells, cut):
    rng = np.random.default_rng([5, int(ohms), len(cells), int(100 * cut)])
    shape = (7, 11)
    conductance = {
        "mixed": 10 ** rng.uniform(-12, 0, shape),
        "two kinds": np.where(rng.random(shape) < 0.3, 1.0, 1e-12),
        "half open": np.where(rng.random(shape) < 0.5, 0.0, 10 ** rng.uniform(-12, 0, shape)),
        "shorts": np.where(rng.random(shape) < 0.1, 1e3, 1e-5),
    }[cells]
    conductance[0, 0] = 1e-3  # with the wires to it, a current to which others are small
    word, bit = wires(shape, ohms, rng, cut=cut, ideal=0.1)
    word[0, 0] = bit[1:, 0] = ohms
    voltage = rng.uniform(0.5, 1, (2, shape[0]))
    agree(solver(conductance, word, bit, voltage), exact(conductance, word, bit, voltage), EXACT)


def regular(shape, ohms, ends=0.0):
    """Wires of which all word lines, and all bit lines, are alike, with ``ends`` more at drivers and senses."""
    word, bit = wires(shape, ohms)
    word[:, 0] += ends
    bit[-1] += ends
    return word, bit


@pytest.mark.parametrize("shape", [*SHAPES[:-1], (16, 8), (33, 40)])
@pytest.mark.parametrize("kind", ["alike", "ends", "ideal words", "ideal bits", "ideal", "each of its own"])
def test_lines_that_hang_together_weakly_are_exact(shape, kind):
    rng = np.random.default_rng([12, *shape])
    conductance, voltage = rng.uniform(0.0, 300e-6, shape), rng.uniform(-0.3, 1.0, (2, shape[0]))
    word, bit = regular(shape, 0.0 if kind == "ideal" else 1.0, 30.0 if kind == "ends" else 0.0)
    if kind == "ideal words":
        word[:, :-1] = 0.0
    if kind == "ideal bits":
        bit[1:] = 0.0
    if kind == "each of its own":
        word, bit = wires(shape, 1.0, rng, ideal=0.1)
    ours = solve_mesh(conductance, word, bit, voltage)
    if np.prod(shape) < 160:
        agree(ours, exact(conductance, word, bit, voltage), EXACT)
    agree(ours, twin(conductance, word, bit, voltage))
    # margin: iterations end as soon as the residual is below it, so all of it may be used.
    assert ours.residual.max() <= mesh.TOLERANCE


@pytest.mark.parametrize("ohms", [0.5, 5.0, 50.0, 500.0, 5000.0])
def test_from_weak_to_strong(ohms):
    """Whatever way is taken as lines hang together ever more strongly, the answer is exact."""
    rng = np.random.default_rng(13)
    conductance, voltage = rng.uniform(1e-6, 300e-6, (9, 11)), rng.uniform(0.5, 1.0, (1, 9))
    word, bit = regular((9, 11), ohms)
    agree(solve_mesh(conductance, word, bit, voltage), exact(conductance, word, bit, voltage), EXACT)


@pytest.mark.parametrize(
    ("shape", "ohms"),
    [
        pytest.param((520, 510), 1.0, id="large"),
        pytest.param((520, 510), 20.0, id="large, tied strongly"),
        pytest.param((40, 70), 20.0, id="shared out in builds that look for races only"),
    ],
)
def test_a_team_of_threads_finds_the_same_bits(shape, ohms):
    """So large a tile that its lines are shared out, one vector after the other."""
    rng = np.random.default_rng(14)
    given = rng.uniform(1e-6, 1e-4, shape), *regular(shape, ohms), rng.uniform(0.0, 0.2, (2, shape[0]))
    one, two, three = (solve_mesh(*given, threads=threads) for threads in (1, 2, 3))
    for expected, *others in zip(one, two, three, strict=True):
        for actual in others:
            np.testing.assert_array_equal(actual, expected)
    # A start from the answer with two digits of it missing: the same way, from there.
    start = np.stack([one.word, one.bit], axis=1).astype(np.float16).astype(float)
    warm = [solve_mesh(*given, estimate=start, threads=threads) for threads in (1, 2)]
    for actual, expected in zip(*warm, strict=True):
        np.testing.assert_array_equal(actual, expected)
    assert (warm[0].iterations < one.iterations).all()
    close(warm[0].bit, one.bit, TWINS)


def test_a_hard_tile_too_large_for_elimination():
    """Elimination would take two iterations; conjugate gradients take hundreds, and agree with a direct solve."""
    size = 264
    conductance = np.full((size, size), 0.05)
    tile = Tile(TileSpec(rows=size, columns=size, word_line_resistance=20.0, bit_line_resistance=20.0), conductance)
    voltage = np.random.default_rng(6).uniform(0.5, 1, (1, size))
    ours = solve_mesh(*tile.mesh, voltage)
    assert ours.iterations[0] > 100
    expected = solve_directly(tile, voltage, mesh.TOLERANCE)
    close(ours.word, expected.word_line_voltage, EXACT)
    close(ours.bit, expected.bit_line_voltage, EXACT)
    close(ours.column_current, expected.column_current, EXACT)


@pytest.mark.parametrize("solver", ["linear", "sinh", "hard"])
def test_bits_do_not_depend_on_threads_or_on_the_batch(solver):
    rng = np.random.default_rng(7)
    shape = (40, 56)
    conductance = rng.uniform(1e-6, 300e-6, shape)
    word, bit = wires(shape, 20.0, rng, cut=0.3 if solver == "hard" else 0.0)
    voltage = rng.uniform(-0.3, 0.3, (33, shape[0]))

    def run(batch, threads):
        if solver == "sinh":
            return solve_mesh_sinh(conductance, word, bit, batch, 4.0, threads=threads)
        return solve_mesh(conductance, word, bit, batch, threads=threads)

    one = run(voltage, 1)
    for other in (run(voltage, 2), run(voltage, 7)):
        for expected, actual in zip(one, other, strict=True):
            np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(run(voltage[5:6], 1).word[0], one.word[5])


@pytest.mark.parametrize("layout", ["C", "F", "strided", "float32", "list"])
def test_layouts_and_types_of_the_input(layout):
    rng = np.random.default_rng(8)
    conductance, (word, bit) = rng.uniform(1e-6, 1e-4, (6, 10)).astype(np.float32).astype(float), wires((6, 10), 2.0)
    voltage = rng.uniform(-1, 1, (2, 6)).astype(np.float32).astype(float)

    def turned(array):
        if layout == "strided":
            wide = np.zeros((array.shape[0], 3 * array.shape[1]))
            wide[:, ::3] = array
            return wide[:, ::3]
        if layout == "list":
            return array.tolist()
        return np.asarray(array, order="F") if layout == "F" else array.astype("f4" if layout == "float32" else "f8")

    given = [turned(array) for array in (conductance, word, bit, voltage)]
    copies = [np.array(array) for array in given]
    expected = solve_mesh(conductance, word, bit, voltage)
    for name, ours in solve_mesh(*given)._asdict().items():
        np.testing.assert_array_equal(ours, getattr(expected, name))
    for array, copy in zip(given, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("solver", [solve_mesh, lambda *given, **how: solve_mesh_sinh(*given, 5.0, **how)])
def test_giving_up_says_how_far_it_came(solver):
    rng = np.random.default_rng(10)
    given = (rng.uniform(1e-6, 1e-3, (16, 16)), *wires((16, 16), 5.0), rng.uniform(-1, 1, (4, 16)))
    with pytest.raises(ConvergenceError, match="did not converge") as caught:
        solver(*given, max_iterations=1)
    assert caught.value.iterations == 1
    assert caught.value.residual > caught.value.tolerance == mesh.TOLERANCE
    solver(*given)


@pytest.mark.parametrize("shape", [(1, 1), (9, 17), (40, 24)])
@pytest.mark.parametrize("volts", [0.0, 1e-9, 1e-3, 0.3])
@pytest.mark.parametrize("kind", ["wires", "cut off", "nearly ideal", "estimate"])
def test_sinh_tiles_start_at_rest_and_end_with_slopes_that_stay(shape, volts, kind):
    """Without ideal wires no cell has a voltage at first; at 1e-9 V slopes are those of 0 V to the end."""
    rng = np.random.default_rng([16, *shape])
    conductance = rng.uniform(1e-6, 300e-6, shape)
    word, bit = wires(shape, 1.0, rng)
    if kind == "cut off":
        word[:] = np.inf
    if kind == "nearly ideal":
        word[:, :-1] = 1e-100
    voltage = rng.uniform(-volts, volts, (2, shape[0]))
    start = None
    if kind == "estimate":
        start = rng.uniform(-volts, volts, (2, 2, *shape))
    found = solve_mesh_sinh(conductance, word, bit, voltage, 2.0, estimate=start, threads=1)
    agree(found, twin(conductance, word, bit, voltage, a=2.0))
    if volts == 1e-9:
        agree(found, solve_mesh(conductance, word, bit, voltage))
    if kind == "cut off":
        assert not found.column_current.any()


@pytest.mark.parametrize("solve", [mesh._solve, reference.solve])
@pytest.mark.parametrize("a", [100.0, 1000.0])
def test_strongly_non_linear_cells_are_limited_by_the_wires(monkeypatch, solve, a):
    """Each cell alone would carry G sinh(a)/a = 1e37 A and more; the wires let it have a voltage of some ten 1/a."""
    monkeypatch.setattr(mesh, "_solve", solve)
    conductance = np.random.default_rng(11).uniform(1e-6, 1e-3, (6, 6))
    word, bit = wires((6, 6), 1.0)
    solution = solve_mesh_sinh(conductance, word, bit, np.full((1, 6), 1.0), a)
    cell = conductance * np.sinh(a * (solution.word - solution.bit)) / a
    # A current is as exact as its voltage: 1e-13 V, times the slope a I.
    close(solution.column_current, cell.sum(axis=1), 6 * 1e-13 * a)
    close(solution.driver_current, cell.sum(axis=2), 6 * 1e-13 * a)
    close(solution.bit[0, -1], solution.column_current[0], 1e-12)  # behind it 1 Ω to ground


@pytest.mark.parametrize("solve", [mesh._solve, reference.solve])
@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (32, 32)])
@pytest.mark.parametrize("ohms", [0.0, 1.0])
def test_numbers_that_overflow_are_an_error(monkeypatch, solve, shape, ohms):
    """Ideal wires put the whole voltage on a cell: sinh(1000) is not a number that doubles can hold."""
    monkeypatch.setattr(mesh, "_solve", solve)
    word, bit = wires(shape, ohms)
    word[0, 0] = bit[1:, 0] = 0.0
    with pytest.raises(ConvergenceError, match="residual inf"):
        solve_mesh_sinh(np.full(shape, 1e-4), word, bit, np.full((2, shape[0]), 1.0), 1000.0)


def test_the_reference_gives_up_too(monkeypatch):
    monkeypatch.setattr(mesh, "_solve", reference.solve)
    test_giving_up_says_how_far_it_came(solve_mesh)
    test_giving_up_says_how_far_it_came(lambda *given, **how: solve_mesh_sinh(*given, 5.0, **how))


def test_without_voltages_there_are_none():
    word, bit = wires((3, 4), 1.0)
    solution = solve_mesh(np.full((3, 4), 1e-4), word, bit, np.ones((2, 3)), voltages=False)
    assert solution.word is None
    assert solution.bit is None
    assert solution.column_current.shape == (2, 4)


@pytest.mark.parametrize("solver", [solve_mesh, lambda *given: solve_mesh_sinh(*given, 5.0)])
@pytest.mark.parametrize("before", [0, 3])
def test_without_voltages_nothing_flows(solver, before):
    """Alone, and after vectors that left something in the kernel's memory."""
    rng = np.random.default_rng(11)
    voltage = np.concatenate([rng.uniform(-1, 1, (before, 6)), np.zeros((2, 6))])
    solution = solver(rng.uniform(1e-6, 1e-3, (6, 9)), *wires((6, 9), 5.0), voltage)
    for array in solution[:4]:
        np.testing.assert_array_equal(array[before:], 0.0)


def test_an_empty_batch():
    word, bit = wires((3, 4), 1.0)
    solution = solve_mesh(np.full((3, 4), 1e-4), word, bit, np.ones((0, 3)))
    assert solution.word.shape == (0, 3, 4)
    assert solution.driver_current.shape == (0, 3)


GOOD = {"conductance": np.ones((3, 4)), "word_resistance": np.ones((3, 5)), "bit_resistance": np.ones((4, 4))}


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        ({"conductance": np.ones(3)}, "conductance"),
        ({"conductance": np.ones((5, 3, 4))}, "conductance"),
        ({"word_resistance": np.ones((3, 4))}, "word_resistance"),
        ({"bit_resistance": np.ones((3, 4))}, "bit_resistance"),
        ({"word_voltage": np.ones(3)}, "word_voltage"),
        ({"word_voltage": np.ones((2, 4))}, "word_voltage"),
        ({"injection": np.ones((2, 3, 4))}, "injection"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"max_iterations": 0}, "max_iterations"),
        ({"threads": 0}, "threads"),
    ],
)
def test_bad_arguments_are_refused(bad, name):
    with pytest.raises(ValidationError, match=f"^{name} must"):
        solve_mesh(**{**GOOD, "word_voltage": np.ones((2, 3)), **bad})


@pytest.mark.parametrize(("a", "name"), [(0.0, "a"), (-1.0, "a"), (np.nan, "a")])
def test_bad_non_linearities_are_refused(a, name):
    with pytest.raises(ValidationError, match=f"^{name} must"):
        solve_mesh_sinh(**GOOD, word_voltage=np.ones((2, 3)), a=a)
