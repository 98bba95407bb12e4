"""The fast path of a read, weakly tied lines solved in turns, against its NumPy twin: iterations, bound and all."""

import numpy as np
import pytest

from circuitmem._kernels import mesh
from circuitmem._kernels._reference_relaxation import relax

SHAPES = [(1, 1), (1, 9), (9, 1), (8, 8), (13, 31), (40, 24), (5, 70)]
LIMITS = {"tolerance": mesh.TOLERANCE, "max_iterations": 1000}


def drawn(shape, ohms, layout, defects):
    """Return conductances, word-line and bit-line segments, driven on the left and sensed at the bottom, and inputs."""
    rng = np.random.default_rng([71, *shape, int(10 * ohms)])
    conductance = rng.uniform(1e-6, 300e-6, shape)
    word, bit = np.full((shape[0], shape[1] + 1), ohms), np.full((shape[0] + 1, shape[1]), ohms)
    if layout == "each its own":
        word *= rng.uniform(0.5, 2.0, word.shape)
        bit *= rng.uniform(0.5, 2.0, bit.shape)
    if layout == "ideal here and there":
        word[rng.random(word.shape) < 0.3] = bit[rng.random(bit.shape) < 0.3] = 0.0
    word[:, -1] = bit[0] = np.inf
    if defects == "stuck":
        conductance[rng.random(shape) < 0.3] = 0.0
        conductance[rng.random(shape) < 0.05] = 2e-3
    voltage = rng.uniform(-0.5, 0.5, (2, shape[0]))
    if defects == "dead rows":
        conductance[::2] = 0.0
        voltage[1] = 0.0
    return conductance, word, bit, voltage


@pytest.mark.parametrize("layout", ["the same", "each its own", "ideal here and there"])
@pytest.mark.parametrize("defects", ["none", "stuck", "dead rows"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_kernel_goes_the_way_of_its_twin(kernel_variant, shape, layout, defects):
    conductance, word, bit, voltage = drawn(shape, 2.0, layout, defects)
    none = np.empty((0, 2, *shape))
    found = kernel_variant("mesh").solve(
        conductance[None], word, bit, voltage, none, none, 0.0, 0.0, mesh.TOLERANCE, 1000, 2, True
    )
    for number, source in enumerate(voltage):
        twin = relax(conductance, word, bit, source, **LIMITS)
        assert twin is not None
        for ours, theirs in zip(found[:4], twin, strict=False):
            np.testing.assert_allclose(ours[number], theirs, rtol=0.0, atol=1e-12 * max(np.abs(theirs).max(), 1e-12))
        assert twin.error <= mesh.TOLERANCE
        assert found[5][number] <= mesh.TOLERANCE
        assert abs(int(found[4][number]) - twin.iterations) <= 1  # a residual near the goal may fall on either side
        assert (twin.iterations > 0) == bool((np.abs(source)[:, None] * conductance).any())


@pytest.mark.parametrize("shape", [(8, 8), (13, 31), (40, 24)])
def test_a_good_start_saves_the_same_iterations(kernel_variant, shape):
    conductance, word, bit, voltage = drawn(shape, 2.0, "each its own", "none")
    cold = relax(conductance, word, bit, voltage[0], **LIMITS)
    moved = conductance * np.random.default_rng(5).uniform(0.999, 1.001, shape)
    warm = relax(moved, word, bit, voltage[0], cold.bit, **LIMITS)
    assert warm.iterations < cold.iterations
    start = np.stack([cold.word, cold.bit])[None]
    found = kernel_variant("mesh").solve(
        moved[None], word, bit, voltage[:1], start[:0], start, 0.0, 0.0, mesh.TOLERANCE, 1000, 1, True
    )
    assert abs(int(found[4][0]) - warm.iterations) <= 1
    np.testing.assert_allclose(
        found[2][0], warm.column_current, rtol=0.0, atol=1e-12 * np.abs(warm.column_current).max()
    )


def test_the_bound_holds_and_is_no_looser_than_a_turn_proves():
    conductance, word, bit, voltage = drawn((20, 20), 10.0, "each its own", "stuck")
    right = relax(conductance, word, bit, voltage[0], **LIMITS)
    for count in (1, 2, 3):
        rough = relax(conductance, word, bit, voltage[0], tolerance=1e-13, max_iterations=count)
        off = np.abs(rough.bit - right.bit).max() / np.abs(voltage[0]).max()
        assert 0.0 < off <= rough.error < 1.0


@pytest.mark.parametrize("kind", ["cut word line", "cut bit line", "both driven", "both sensed", "strong cells"])
def test_tiles_of_other_kinds_are_left_to_the_general_way(kind):
    conductance, word, bit, voltage = drawn((9, 12), 20.0, "the same", "none")
    if kind == "cut word line":
        word[3, 4] = np.inf
    elif kind == "cut bit line":
        bit[5, 5] = np.inf
    elif kind == "both driven":
        word[:, -1] = 20.0
    elif kind == "both sensed":
        bit[0] = 20.0
    else:
        conductance = np.full_like(conductance, 1.0)
    assert relax(conductance, word, bit, voltage[0], **LIMITS) is None
    solved = mesh.solve_mesh(conductance, word, bit, voltage)
    assert (solved.residual <= mesh.TOLERANCE).all()
