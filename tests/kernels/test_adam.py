"""A step of Adam: the kernel has the bits of its twin, whatever the number of threads."""

import numpy as np
import pytest

from circuitmem._kernels import adam
from circuitmem.errors import ValidationError

SIZES = [(0,), (1,), (7,), (33, 70), (400, 700)]


def arrays(shape, seed=0):
    rng = np.random.default_rng(seed)
    gradient = rng.normal(size=shape) * (rng.random(shape) < 0.7)
    return rng.normal(size=shape), 0.1 * rng.normal(size=shape), rng.random(shape) * 1e-3, gradient


@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("is_limited", [False, True], ids=["free", "limited"])
def test_the_kernel_on_threads_has_the_bits_of_numpy(shape, threads, is_limited, kernel_variant, monkeypatch):
    compiled = kernel_variant("backward")
    found = {}
    for name, step in (("twin", adam._reference_step), ("kernel", compiled.adam_step)):
        monkeypatch.setattr(adam, "_adam_step", step)
        *state, gradient = arrays(shape)
        limits = (state[0] - 0.01, state[0] + 0.02) if is_limited else None
        for number in (1, 2, 40, 355, 356, 2000):  # a division is left out from 356 on
            adam.adam_step(*state, gradient, limits, step=number, rate=1e-2, threads=threads)
        if limits is not None:
            assert np.all((limits[0] <= state[0]) & (state[0] <= limits[1]))
        found[name] = state
    for ours, theirs in zip(found["kernel"], found["twin"], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_one_step_by_hand():
    p, m, v = np.array([1.0]), np.array([0.0]), np.array([0.0])
    adam.adam_step(p, m, v, np.array([-3.0]), step=1, rate=0.25)
    assert (m[0], v[0]) == pytest.approx((-0.3, 0.009))
    assert p[0] == pytest.approx(1.25, abs=1e-6)  # the first step is the rate, against the sign of the gradient


def test_the_first_mean_needs_no_correction_when_the_kernel_leaves_it_out():
    assert 1.0 - 0.9**355 < 1.0
    assert 1.0 - 0.9**356 == 1.0


def test_what_is_moved_must_be_of_one_shape_and_rows_behind_each_other():
    p, m, v, gradient = arrays((3, 4))
    before = p.copy()
    for bad in ((p, m, v, gradient[:2]), (p.T, m.T, v.T, gradient.T)):
        with pytest.raises(ValidationError, match=r"^parameters must have shape \(4, \d, \d\), rows behind"):
            adam.adam_step(*bad, step=1, rate=0.1)
    with pytest.raises(ValidationError, match=r"^parameters must have shape \(6, \d, \d\), rows behind"):
        adam.adam_step(p, m, v, gradient, (before[0], before), step=1, rate=0.1)
    np.testing.assert_array_equal(p, before)
