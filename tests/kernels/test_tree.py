"""The tree kernel: against nodal analysis, with sixty digits on small tiles, and against its NumPy twin."""

import decimal

import numpy as np
import pytest
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from circuitmem._kernels import _reference_tree, tree
from circuitmem._kernels.tree import transfer_stack
from circuitmem.errors import ValidationError

NODAL = 1e-11
"""Error of the nodal solution in double precision, on wires of 1e-2 S between cells of 1e-6 S; relative to the largest
element, as are the tolerances below."""

SINGLE = 1e-5
"""A hundred rounding errors of single precision."""

EXACT = 1e-14
"""A few dozen rounding errors of double precision: what elimination of a hundred nodes adds up to."""

ELEMENTWISE = 1e-13
"""Of each element by itself, because nothing is subtracted; a thousand rounding errors for the larger tiles."""

SHAPES = [(1, 1), (1, 9), (9, 1), (2, 3), (8, 8), (16, 16), (17, 9), (3, 200), (61, 50), (64, 64)]


def wires(shape, kind, rng):
    """Return the segments [Ω] of a kind of wires."""
    rows, columns = shape
    word, bit = np.ones((rows, columns + 1)), np.ones((rows + 1, columns))
    both = kind == "both ends"
    if kind == "20 Ω":
        word, bit = 20.0 * word, 20.0 * bit
    elif kind == "ideal words":
        word[:] = 0.0
    elif kind == "ideal bits":
        bit[:] = 0.0
    elif kind in ("each its own", "both ends", "some ideal", "some cut"):
        for array in (word, bit):
            array *= rng.uniform(0.1, 20.0, array.shape)
            if kind == "some ideal":
                array[rng.random(array.shape) < 0.3] = 0.0
            if kind == "some cut":
                array[rng.random(array.shape) < 0.1] = np.inf
                array[rng.random(array.shape) < 0.1] = 0.0
    if not both:
        word[:, -1] = bit[0] = np.inf
    elif min(rows, columns) > 1:
        word[0, -1] = bit[0, -1] = np.inf  # some lines may have one driver and one sense amplifier only
    return word, bit


def branches(conductance, word, bit):
    """Return the branches, (first node, second node, conductance), and the number of nodes.

    Nodes joined by ideal wires are one. Drivers come first, then grounds, then the others.
    """
    rows, columns = conductance.shape
    cells = rows * columns
    ports = rows + columns
    w = ports + np.arange(cells).reshape(rows, columns)
    b = w + cells
    drivers, grounds = np.arange(rows)[:, None], rows + np.arange(columns)[None, :]
    chain, fall = np.hstack([drivers, w, drivers]), np.vstack([grounds, b, grounds])
    first = np.concatenate([w.ravel(), chain[:, :-1].ravel(), fall[:-1].ravel()])
    second = np.concatenate([b.ravel(), chain[:, 1:].ravel(), fall[1:].ravel()])
    ohms = np.concatenate([np.full(cells, np.inf), word.ravel(), bit.ravel()])
    with np.errstate(divide="ignore"):
        siemens = np.where(ohms > 0.0, 1.0 / ohms, 0.0)
    siemens[:cells] = conductance.ravel()
    ideal = csr_array(
        (np.ones((ohms == 0.0).sum()), (first[ohms == 0.0], second[ohms == 0.0])), shape=(w.size * 2 + ports,) * 2
    )
    _, label = connected_components(ideal, directed=False)
    _, order = np.unique(label, return_index=True)
    name = np.argsort(np.argsort(order))[label]  # numbered by their first member: drivers and grounds stay in front
    assert (name[:ports] == np.arange(ports)).all()
    p, q = name[first], name[second]
    return p, q, siemens, name.max() + 1


def nodal(conductance, word, bit):
    """Solve one tile by sparse LU."""
    rows, columns = conductance.shape
    ports = rows + columns
    p, q, siemens, size = branches(conductance, word, bit)
    live = (siemens > 0.0) & (p != q)
    p, q, siemens = p[live], q[live], siemens[live]
    ties = coo_array((siemens, (p, q)), shape=(size, size)).tocsr()
    ties = ties + ties.T
    _, label = connected_components(ties, directed=False)
    inner = np.flatnonzero(np.isin(label, label[:ports]) & (np.arange(size) >= ports))
    degrees = np.asarray(ties.sum(axis=1)).ravel()
    outer = -ties[:ports, :ports].toarray()
    outer[np.diag_indices(ports)] = degrees[:ports]
    if len(inner):
        matrix = -ties[inner][:, inner] + coo_array((degrees[inner], (range(len(inner)),) * 2))
        coupling = ties[inner][:, :ports].toarray()
        outer -= coupling.T @ splu(matrix.tocsc()).solve(coupling)
    return -outer[rows:, :rows], outer[:rows, :rows]


def with_sixty_digits(conductance, word, bit):
    """Solve one tile by Gaussian elimination with sixty decimal digits."""
    rows, columns = conductance.shape
    ports = rows + columns
    p, q, siemens, size = branches(conductance, word, bit)
    with decimal.localcontext(prec=60):
        matrix = np.full((size, size), decimal.Decimal(0), dtype=object)
        for i, j, g in zip(p, q, siemens, strict=True):
            if i != j and g > 0.0:
                matrix[[i, j], [i, j]] += decimal.Decimal(float(g))
                matrix[[i, j], [j, i]] -= decimal.Decimal(float(g))
        for k in range(size - 1, ports - 1, -1):
            near = np.flatnonzero(matrix[k, :k])
            if len(near):
                matrix[np.ix_(near, near)] -= np.outer(matrix[near, k], matrix[k, near]) / matrix[k, k]
        solved = matrix.astype(float)
    return -solved[rows:ports, :rows], solved[:rows, :rows]


def close(actual, expected, tolerance):
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0.0, atol=tolerance * np.abs(other).max(initial=1e-300))


def draw(shape, tiles, rng):
    """Cells of 1 to 100 µS, a few of them open or shorted."""
    conductance = rng.uniform(1e-6, 1e-4, (tiles, *shape))
    conductance[rng.random(conductance.shape) < 0.05] = 0.0
    conductance[rng.random(conductance.shape) < 0.02] = 1e-2
    return conductance


def twin(conductance, word, bit, monkeypatch, dtype=np.float64):
    with monkeypatch.context() as patch:
        patch.setattr(tree, "_transfer", _reference_tree.transfer)
        return transfer_stack(conductance, word, bit, dtype=dtype)


@pytest.fixture(params=["as chosen", "twin"])
def either(request, monkeypatch):
    """What runs here, and the NumPy twin, of which the same is asked on small tiles."""
    if request.param == "twin":
        monkeypatch.setattr(tree, "_transfer", _reference_tree.transfer)
    return request.param


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "kind", ["1 Ω", "20 Ω", "ideal words", "ideal bits", "each its own", "both ends", "some ideal", "some cut"]
)
def test_matches_nodal_analysis(shape, kind):
    rng = np.random.default_rng([1, *shape])
    conductance = draw(shape, 2, rng)
    word, bit = wires(shape, kind, rng)
    double = transfer_stack(conductance, word, bit)
    single = transfer_stack(conductance, word, bit, dtype=np.float32)
    assert [array.dtype for array in single] == [np.float32, np.float32]
    for k in range(2):
        expected = nodal(conductance[k], word, bit)
        close([array[k] for array in double], expected, NODAL)
        close([array[k] for array in single], expected, SINGLE)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (5, 1), (6, 7), (9, 9)])
@pytest.mark.parametrize("kind", ["1 Ω", "ideal bits", "both ends", "some ideal", "some cut"])
@pytest.mark.parametrize("values", ["usual", "1e-12 to 1 S"])
def test_matches_elimination_with_sixty_digits(shape, kind, values):
    rng = np.random.default_rng([2, *shape])
    conductance = draw(shape, 1, rng)
    if values != "usual":
        conductance = 10.0 ** rng.uniform(-12.0, 0.0, (1, *shape))
    word, bit = wires(shape, kind, rng)
    close(
        [array[0] for array in transfer_stack(conductance, word, bit)],
        with_sixty_digits(conductance[0], word, bit),
        EXACT,
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["1 Ω", "both ends", "some cut"])
def test_twins_agree_in_each_element(shape, kind, monkeypatch):
    rng = np.random.default_rng([3, *shape])
    conductance = 10.0 ** rng.uniform(-12.0, 0.0, (2, *shape))
    word, bit = wires(shape, kind, rng)
    word[word == 0.0] = bit[bit == 0.0] = 1e-3  # beyond ideal wires even a current that is nothing is computed
    for actual, expected in zip(
        transfer_stack(conductance, word, bit), twin(conductance, word, bit, monkeypatch), strict=True
    ):
        np.testing.assert_allclose(actual, expected, rtol=ELEMENTWISE, atol=0.0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_variant_agrees_with_the_twin(kernel_variant, dtype, monkeypatch):
    module = kernel_variant("tree")
    rng = np.random.default_rng(4)
    for shape in SHAPES:
        conductance = draw(shape, 3, rng)
        word, bit = wires(shape, "both ends", rng)
        expected = twin(conductance, word, bit, monkeypatch)
        with monkeypatch.context() as patch:
            patch.setattr(tree, "_transfer", module.transfer)
            close(
                transfer_stack(conductance, word, bit, dtype=dtype),
                expected,
                ELEMENTWISE if dtype is np.float64 else SINGLE,
            )


@pytest.mark.parametrize("shape", [(3, 5), (8, 8), (40, 24), (130, 150)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("tiles", [1, 2, 5, 9, 17])
def test_bits_depend_neither_on_threads_nor_on_the_other_tiles(shape, tiles, dtype, either):
    if either == "twin":
        shape = min(shape[0], 20), min(shape[1], 12)
    rng = np.random.default_rng([5, tiles])
    conductance = draw(shape, tiles, rng)
    word, bit = wires(shape, "each its own", rng)
    together = transfer_stack(conductance, word, bit, dtype=dtype, threads=2)
    alone = [transfer_stack(conductance[k : k + 1], word, bit, dtype=dtype, threads=1) for k in range(tiles)]
    for which in range(2):
        assert (together[which] == transfer_stack(conductance, word, bit, dtype=dtype, threads=1)[which]).all()
        assert (together[which] == np.concatenate([result[which] for result in alone])).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(6, 3), (16, 16), (21, 34)])
def test_tiles_abreast_on_two_threads_have_the_bits_of_each_alone(kernel_variant, shape, dtype, monkeypatch):
    # 35 tiles are two groups or more of as many tiles as a vector has lanes, and some that are left over.
    monkeypatch.setattr(tree, "_transfer", kernel_variant("tree").transfer)
    rng = np.random.default_rng([13, *shape])
    conductance = 10.0 ** rng.uniform(-12.0, 0.0, (35, *shape)) * (rng.random((35, *shape)) > 0.05)
    word, bit = (np.stack([wires(shape, "some cut", rng)[k] for _ in range(35)]) for k in range(2))
    word[word == 0.0] = bit[bit == 0.0] = 1e-3  # what an ideal wire is depends on the largest cell of the stack
    shared = word[0], bit[0]
    for lines in (shared, (word, bit)):
        together = transfer_stack(conductance, *lines, dtype=dtype, threads=2)
        for k in range(35):
            own = [each if each.ndim == 2 else each[k] for each in lines]
            alone = transfer_stack(conductance[k : k + 1], *own, dtype=dtype, threads=1)
            np.testing.assert_array_equal(together[0][k], alone[0][0])
            np.testing.assert_array_equal(together[1][k], alone[1][0])
    expected = transfer_stack(conductance, *shared, dtype=dtype)
    some = rng.permutation(35)[:33]
    given = np.full_like(expected[0], 7.0), np.full_like(expected[1], 7.0)
    transfer_stack(conductance, *shared, dtype=dtype, tiles=some, out=given)
    for ours, all_of_them in zip(given, expected, strict=True):
        np.testing.assert_array_equal(ours[some], all_of_them[some])
        assert (np.delete(ours, some, axis=0) == 7.0).all()


@pytest.mark.parametrize("shape", [(3, 5), (20, 30)])
def test_each_tile_may_have_its_own_wires(shape, either):
    rng = np.random.default_rng(6)
    conductance = draw(shape, 5, rng)
    pairs = [wires(shape, kind, rng) for kind in ("1 Ω", "some ideal", "both ends", "some cut", "20 Ω")]
    word, bit = (np.stack(arrays) for arrays in zip(*pairs, strict=True))
    result = transfer_stack(conductance, word, bit)
    for k, (own_word, own_bit) in enumerate(pairs):
        close([array[k] for array in result], nodal(conductance[k], own_word, own_bit), NODAL)
        alone = transfer_stack(conductance[k : k + 1], own_word, own_bit)
        for ours, expected in zip(result, alone, strict=True):
            np.testing.assert_array_equal(ours[k], expected[0])


@pytest.mark.parametrize("layout", ["F", "list", "float32", "strided"])
def test_any_layout_gives_the_same_bits_and_is_left_alone(layout):
    rng = np.random.default_rng(9)
    given = (draw((6, 9), 3, rng).astype(np.float32), *wires((6, 9), "some ideal", rng))
    given = tuple(np.float64(np.float32(array)) for array in given)

    def turned(array):
        if layout == "strided":
            return np.repeat(array, 2, axis=-1)[..., ::2]
        return array.tolist() if layout == "list" else array.astype("f4" if layout == "float32" else "f8", order="F")

    turned_arrays = [turned(array) for array in given]
    copies = [np.array(array) for array in turned_arrays]
    for ours, expected in zip(transfer_stack(*turned_arrays), transfer_stack(*given), strict=True):
        np.testing.assert_array_equal(ours, expected)
    for array, copy in zip(turned_arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("shape", [(784, 24), (136, 150)])
def test_large_tiles_match_nodal_analysis(shape):
    rng = np.random.default_rng(7)
    conductance = draw(shape, 1, rng)
    word, bit = wires(shape, "each its own", rng)
    expected = nodal(conductance[0], word, bit)
    close([array[0] for array in transfer_stack(conductance, word, bit)], expected, NODAL)
    close([array[0] for array in transfer_stack(conductance, word, bit, dtype=np.float32)], expected, SINGLE)


@pytest.mark.parametrize("size", [200, 1024])
def test_errors_of_single_precision_do_not_grow_with_the_tile(size):
    """What many terminals add to a conductance each by itself would be lost to it: 1.7e-5 at 1024."""
    conductance = np.random.default_rng(size).uniform(1e-6, 1e-4, (1, size, size))
    word, bit = wires((size, size), "1 Ω", None)
    matrix, admittance = transfer_stack(conductance, word, bit)
    single, own = transfer_stack(conductance, word, bit, dtype=np.float32)
    assert np.abs(single - matrix).max() <= 2.5e-6 * matrix.max()
    assert np.abs(own - admittance).max() <= 5e-6 * admittance.max()


def test_errors_of_single_precision_in_the_twin_are_of_either_sign(monkeypatch):
    conductance = np.random.default_rng(96).uniform(1e-6, 1e-4, (1, 96, 96))
    word, bit = wires((96, 96), "1 Ω", None)
    double, _ = twin(conductance, word, bit, monkeypatch)
    single, _ = twin(conductance, word, bit, monkeypatch, np.float32)
    assert abs((single / double - 1.0).mean()) <= 1e-7  # 3e-7 too small on average, if all is added to what was there


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_ideal_wires_give_the_conductances_themselves(shape, dtype):
    conductance = draw(shape, 2, np.random.default_rng(8))
    word, bit = np.zeros((shape[0], shape[1] + 1)), np.zeros((shape[0] + 1, shape[1]))
    for second_word, second_bit in [(np.inf, np.inf), (3.0, np.inf), (0.0, 0.0)]:
        word[:, -1], bit[0] = second_word, second_bit
        matrix, admittance = transfer_stack(conductance, word, bit, dtype=dtype)
        assert (matrix == conductance.swapaxes(1, 2).astype(dtype)).all()
        assert (admittance == np.stack([np.diag(cells.sum(axis=1)) for cells in conductance]).astype(dtype)).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("both", [False, True])
def test_ideal_wires_with_sense_resistance_take_no_elimination(shape, both, monkeypatch):
    conductance = draw(shape, 3, np.random.default_rng(18))
    word, bit = np.zeros((shape[0], shape[1] + 1)), np.zeros((shape[0] + 1, shape[1]))
    word[:, -1] = np.inf
    sense = np.random.default_rng(19).uniform(0.01, 1.0, shape[1]) / conductance.sum(axis=1).max()
    bit[-1], bit[0] = sense, 2.0 * sense if both else np.inf
    expected = [nodal(cells, word, bit) for cells in conductance]
    monkeypatch.setattr(tree, "_transfer", lambda *_: pytest.fail("the tree kernel was called"))
    matrix, admittance = transfer_stack(conductance, word, bit)
    for k in range(3):
        close([matrix[k], admittance[k]], expected[k], NODAL)
        alone = transfer_stack(conductance[k : k + 1], word, bit)
        assert (alone[0][0] == matrix[k]).all()
        assert (alone[1][0] == admittance[k]).all()
        assert (admittance[k] == admittance[k].T).all()


def test_tiles_with_and_without_wires_in_one_call():
    rng = np.random.default_rng(20)
    conductance = draw((9, 7), 3, rng)
    word, bit = np.zeros((3, 9, 8)), np.zeros((3, 10, 7))
    word[:, :, -1] = bit[:, 0] = np.inf
    word[1, :, :-1] = bit[1, 1:] = 1.0
    found = transfer_stack(conductance, word, bit)
    for k in range(3):
        alone = transfer_stack(conductance[k : k + 1], word[k], bit[k])
        assert all((stack[k] == own[0]).all() for stack, own in zip(found, alone, strict=True))


@pytest.mark.parametrize("shape", SHAPES)
def test_open_tiles_and_cut_wires_carry_nothing(shape):
    rng = np.random.default_rng(9)
    word, bit = wires(shape, "1 Ω", rng)
    for cells, words, bits in [
        (0.0, word, bit),
        (1e-4, np.full_like(word, np.inf), bit),
        (1e-4, word, np.full_like(bit, np.inf)),
    ]:
        for dtype in (np.float64, np.float32):
            matrix, admittance = transfer_stack(np.full((2, *shape), cells), words, bits, dtype=dtype)
            assert not matrix.any()
            # Nothing is subtracted, so floating bit lines tie drivers to each other, but no current is lost.
            assert (np.abs(admittance.sum(axis=1)) <= 1e-6 * np.abs(admittance).max(axis=1)).all()


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (8, 16), (33, 40)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_shorted_tiles(shape, dtype):
    rng = np.random.default_rng(10)
    word, bit = wires(shape, "1 Ω", rng)
    conductance = np.full((1, *shape), 1.0)
    result = transfer_stack(conductance, word, bit, dtype=dtype)
    close([array[0] for array in result], nodal(conductance[0], word, bit), NODAL if dtype is np.float64 else SINGLE)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["1 Ω", "ideal bits", "both ends", "some cut"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, EXACT), (np.float32, SINGLE)])
def test_reciprocity_and_conservation_of_current(shape, kind, dtype, tolerance, either):
    if either == "twin":
        shape = min(shape[0], 20), min(shape[1], 30)
    rng = np.random.default_rng([11, *shape])
    conductance = draw(shape, 3, rng)
    matrix, admittance = transfer_stack(conductance, *wires(shape, kind, rng), dtype=dtype)
    assert (admittance == admittance.swapaxes(1, 2)).all()
    assert (matrix >= 0.0).all()
    # What leaves one driver, with the others at 0 V, arrives at the grounds and at the other drivers.
    np.testing.assert_allclose(admittance.sum(axis=1), matrix.sum(axis=1), rtol=0.0, atol=tolerance * admittance.max())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"conductance": np.ones((2, 3))}, r"conductance must have shape \(tiles, rows, columns\)"),
        ({"conductance": np.ones((2, 0, 3))}, r"rows and columns >= 1"),
        ({"word_resistance": np.ones((3, 4))}, r"word_resistance must have shape \(3, 5\) or \(2, 3, 5\)"),
        ({"bit_resistance": np.ones((1, 4, 4))}, r"bit_resistance must have shape \(4, 4\) or \(2, 4, 4\)"),
        ({"dtype": np.float16}, r"dtype must be float64 or float32 \(got 'float16'\)"),
        ({"threads": 0}, r"threads must be >= 1"),
    ],
)
def test_wrong_arguments(arguments, message):
    good = {"conductance": np.ones((2, 3, 4)), "word_resistance": np.ones((3, 5)), "bit_resistance": np.ones((4, 4))}
    with pytest.raises(ValidationError, match=message):
        transfer_stack(**{**good, **arguments})


def test_no_tiles():
    matrix, admittance = transfer_stack(np.ones((0, 3, 4)), np.ones((3, 5)), np.ones((4, 4)))
    assert (matrix.shape, admittance.shape) == ((0, 4, 3), (0, 3, 3))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("threads", [1, 2])
def test_some_tiles_of_a_stack_are_replaced_and_the_others_left(shared, dtype, threads):
    rng = np.random.default_rng(4)
    cells = rng.uniform(1e-6, 1e-4, (5, 9, 12))
    word, bit = rng.uniform(0.5, 2.0, (5, 9, 13)), rng.uniform(0.5, 2.0, (5, 10, 12))
    word[:, :, -1], bit[:, 0] = np.inf, np.inf
    wires = (word[0], bit[0]) if shared else (word, bit)
    whole = transfer_stack(cells, *wires, dtype=dtype)
    out = np.full_like(whole[0], 7.0), np.full_like(whole[1], 7.0)
    found = transfer_stack(cells, *wires, dtype=dtype, threads=threads, tiles=[3, 1], out=out)
    assert found is out
    for changed, wanted in zip(out, whole, strict=True):
        np.testing.assert_array_equal(changed[[1, 3]], wanted[[1, 3]])
        np.testing.assert_array_equal(changed[[0, 2, 4]], 7.0)
    kept = out[0].copy()
    transfer_stack(cells, *wires, dtype=dtype, tiles=[], out=out)
    np.testing.assert_array_equal(out[0], kept)


def test_tiles_that_are_none_of_the_stack_are_refused():
    cells, word, bit = np.ones((2, 3, 4)), np.ones((3, 5)), np.ones((4, 4))
    out = np.zeros((2, 4, 3)), np.zeros((2, 3, 3))
    for tiles in ([2], [-1], [0, 0]):
        with pytest.raises(ValidationError, match="tiles must be numbers from 0 to 1, each once"):
            transfer_stack(cells, word, bit, tiles=tiles, out=out)
    with pytest.raises(ValidationError, match="tiles must be given with out"):
        transfer_stack(cells, word, bit, tiles=[0])
    with pytest.raises(ValidationError, match="out must have shape"):
        transfer_stack(cells, word, bit, tiles=[0], out=(out[1], out[1]))
